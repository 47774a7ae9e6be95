"""What is asked of the sweep queue: JSON messages, one job each."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from s3_manifest.model import Frozen, Timestamp


class MalformedJob(ValueError):
    """A message in the sweep queue that is none of the jobs; the text says what is wrong with it."""


class JobsNotQueued(Exception):
    """The sweep queue did not take every job, or its answer was lost; whoever asked for them has to ask again."""


class SweepAll(Frozen):
    """Sweep every collection: those that have a manifest, and those that only S3 knows yet.

    ``kind`` and ``after`` (a folder's name) say how far the enumeration came.
    """

    job: Literal["sweep_all"] = "sweep_all"
    kind: str | None = None
    after: str = ""


class Sweep(Frozen):
    """Sweep one collection. ``rebuild`` sets a manifest aside that cannot be read, and makes a new one."""

    job: Literal["sweep"] = "sweep"
    kind: str
    id: str
    rebuild: bool = False


class SweepRange(Frozen):
    """Sweep the keys of a collection after ``after``, up to and with ``until`` (None: to the end).

    ``created_at`` is that of the manifest it was planned for: with another one there, it has nothing
    to do. ``looks`` are keys found to differ, to be looked at before going on. The counts are what
    the range's looks have altered so far.
    """

    job: Literal["sweep_range"] = "sweep_range"
    kind: str
    id: str
    sweep: str
    created_at: Timestamp
    started_at: Timestamp
    number: int = 0
    of: int = 1
    after: str = ""
    until: str | None = None
    looks: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    listed: int = 0
    missing: int = 0
    unexpected: int = 0
    altered: int = 0


Job = SweepAll | Sweep | SweepRange

_JOB: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="job")])


def encode_job(job: Job) -> str:
    """The message's body.

    In ASCII, because SQS refuses some characters that a key may have:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    return job.model_dump_json(ensure_ascii=True)


def decode_job(body: str) -> Job:
    """The job in a message's body. Raises ``MalformedJob``."""
    try:
        return _JOB.validate_json(body)
    except ValidationError as error:
        raise MalformedJob(f"not a job of the sweep queue: {error.errors()[0]['msg']}") from error
