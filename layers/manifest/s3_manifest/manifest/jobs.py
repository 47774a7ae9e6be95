"""What is asked of the sweep queue: JSON messages, one job each."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from s3_manifest.manifest.model import Frozen, Timestamp, first_problem

MAX_BROKEN = 32
"""So many broken objects are named in a job; the sweep that it starts finds the others."""


class MalformedJob(ValueError):
    """A message in the sweep queue that is none of the jobs; the text says what is wrong with it."""


class JobsNotQueued(Exception):
    """The sweep queue did not take every job, or its answer was lost; whoever asked for them has to ask again."""


class SweepAll(Frozen):
    """Sweep every collection: those that have a manifest, and those that only S3 knows yet.

    ``kind`` and ``after`` (the id of a collection) say how far the enumeration came.
    """

    job: Literal["sweep_all"] = "sweep_all"
    kind: str = ""
    after: str = ""


class Progress(Frozen):
    """How far a sweep came: before the filename ``start`` all is compared with the manifest made at ``created_at``.

    ``looks`` are keys found to differ that are still to be looked at, ``unreadable`` those that S3
    did not tell about. ``unannounced``: a revision may have been made that nobody was told of.
    ``missing``, ``unexpected`` and ``modified`` count the drift mended so far. ``first_revision`` is that of the
    manifest: a repair alters it, and what that could not observe is missing again, also before ``start``. None in
    what earlier versions wrote; those wrote ``altered`` for ``modified``.
    """

    created_at: Timestamp
    started_at: Timestamp
    first_revision: int | None = None
    start: str = ""
    finished_listing: bool = False
    looks: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    unannounced: bool = False
    listed: int = 0
    missing: int = 0
    unexpected: int = 0
    modified: int = Field(0, validation_alias=AliasChoices("modified", "altered"))


class Sweep(Frozen):
    """Sweep one collection, or go on with that.

    ``rebuild`` first sets a manifest aside that cannot be read. ``created_at``: only if that is the
    time its manifest was made at, or if there is none. ``asked_at``: only unless another sweep that began
    since then is finished. So of many that are asked for at once only a few are made. ``broken``: only if the
    manifest still refers to one of these objects, which were found to be missing or damaged.
    """

    job: Literal["sweep"] = "sweep"
    kind: str
    id: str
    rebuild: bool = False
    created_at: Timestamp | None = None
    asked_at: Timestamp | None = None
    broken: tuple[str, ...] = ()
    progress: Progress | None = None


Job = SweepAll | Sweep

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
        return _JOB.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedJob(f"not a job of the sweep queue: {first_problem(error)}") from error
