"""Jobs of the sweep queue: one JSON message each."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from s3_manifest.manifest.model import Frozen, Timestamp, first_problem

MAX_BROKEN = 32
"""The most broken objects that a job names; its sweep finds the others."""


class MalformedJob(ValueError):
    """A message in the sweep queue that is not a job; the text gives the reason."""


class JobsNotQueued(Exception):
    """The sweep queue did not accept every job, or its response was lost; the caller must send them again."""


class SweepAll(Frozen):
    """Sweep every collection of a bucket, or of all buckets, with or without a manifest.

    ``kind`` and ``after`` (the id of a collection) are the position of the enumeration.
    """

    job: Literal["sweep_all"] = "sweep_all"
    bucket: str = ""
    kind: str = ""
    after: str = ""


class Progress(Frozen):
    """Progress of a sweep: filenames before ``start`` are compared with the manifest created at ``created_at``.

    ``looks`` are keys with differences, still to be observed; ``unreadable`` are keys that S3 failed to describe.
    ``unannounced``: a revision may have been committed without an announcement. ``missing``, ``unexpected`` and
    ``modified`` count the drift repaired so far. ``first_revision`` is the manifest's: a repair changes it and may
    drop entries, also before ``start``. Earlier versions wrote no ``first_revision``, and ``altered`` for ``modified``.
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
    """Sweep one collection, or resume its sweep at ``progress``.

    ``rebuild`` first archives an unreadable manifest. Conditions skip jobs that are out of date:
    ``created_at``: the manifest was created at this time, or there is none. ``asked_at``: no sweep that began
    later has finished, so repeated requests cause few sweeps. ``broken``: the manifest still refers to one of
    these missing or damaged objects.
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
    """The message's body, in ASCII because SQS rejects some characters that a key may have.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    return job.model_dump_json(ensure_ascii=True)


def decode_job(body: str) -> Job:
    """The job in a message's body. Raises ``MalformedJob``."""
    try:
        return _JOB.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedJob(f"not a job of the sweep queue: {first_problem(error)}") from error
