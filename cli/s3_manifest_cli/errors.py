"""The errors of the commands and of the Python API, the same over S3 and over HTTP."""


class S3ManifestError(Exception):
    """The base class.

    ``message`` states what failed and on what, ``remedy`` what to do next; the text is both. ``code`` is AWS's error
    code if AWS refused, and otherwise the kind of error.
    """

    code = "failed"

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(f"{message} {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.code = code or self.code


class Invalid(S3ManifestError):
    """A name, a field or a value is not allowed. Nothing was changed."""

    code = "invalid"


class NotFound(S3ManifestError):
    """There is no such collection, file or revision. Nothing was changed."""

    code = "not_found"


class NoSuchActor(NotFound):
    """The actor has neither a manifest nor objects. ``s3_bucket`` and ``s3_prefix`` are where they would be."""

    def __init__(self, reason: str, s3_bucket: str, s3_prefix: str) -> None:
        super().__init__(reason)
        self.s3_bucket = s3_bucket
        self.s3_prefix = s3_prefix


class NoManifest(NotFound):
    """The collection has no manifest yet."""


class HistoryExpired(NotFound):
    """The revision is no longer kept; ``oldest`` is the first later one whose changes may be kept."""

    code = "not_kept"

    def __init__(self, reason: str, oldest: int) -> None:
        super().__init__(reason)
        self.oldest = oldest


class Refused(S3ManifestError):
    """The current state forbids it: a newer upload, a broken sidecar, a link in the way."""

    code = "refused"


class NotYet(S3ManifestError):
    """It was not done within the waiting time and continues; call again."""

    code = "not_yet"


class Unavailable(S3ManifestError):
    """S3, the queue or the HTTP API did not answer, or refused. The call may be repeated."""

    code = "unavailable"
