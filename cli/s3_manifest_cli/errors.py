"""The errors of the commands and of the Python API: one family, whichever way a deployment is reached."""


class S3ManifestError(Exception):
    """Something was not done.

    ``message`` says what failed and on what, ``remedy`` what to do next; as text they are one. ``code`` is AWS's error
    code where AWS refused, and otherwise names the kind of error.
    """

    code = "failed"

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(f"{message} {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.code = code or self.code


class Invalid(S3ManifestError):
    """What was asked for cannot be: a name, a field, a value. Nothing was changed."""

    code = "invalid"


class NotFound(S3ManifestError):
    """There is no such collection, no such file, or no such revision. Nothing was changed."""

    code = "not_found"


class HistoryExpired(NotFound):
    """What was asked for is past keeping; ``oldest`` is the first revision after it whose change may be kept."""

    code = "not_kept"

    def __init__(self, reason: str, oldest: int) -> None:
        super().__init__(reason)
        self.oldest = oldest


class Refused(S3ManifestError):
    """What is there is not what it takes: a newer upload, a broken sidecar, a link in the way."""

    code = "refused"


class NotYet(S3ManifestError):
    """It is under way, and was not done within the time that was waited for it; ask again."""

    code = "not_yet"


class Unavailable(S3ManifestError):
    """S3, the queue or the HTTP API did not answer, or refused. A repeat of the call does no harm."""

    code = "unavailable"
