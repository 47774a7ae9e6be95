"""What the commands and the Python API say no with. One family, whichever way a deployment is reached."""


class S3ManifestError(Exception):
    """Something was not done; the text says why, and the mend."""


class Invalid(S3ManifestError):
    """What was asked for cannot be: a name, a field, a value. Nothing was changed."""


class NotFound(S3ManifestError):
    """There is no such collection, no such file, or no such revision. Nothing was changed."""


class NotKept(NotFound):
    """What was asked for is past keeping; ``oldest`` is the first revision after it whose change may be kept."""

    def __init__(self, reason: str, oldest: int) -> None:
        super().__init__(reason)
        self.oldest = oldest


class Refused(S3ManifestError):
    """What is there is not what it takes: a newer upload, a broken sidecar, a link in the way."""


class NotYet(S3ManifestError):
    """It is under way, and was not done within the time that was waited for it; ask again."""


class Unavailable(S3ManifestError):
    """S3, the queue or the HTTP API did not answer, or refused. A repeat of the call does no harm."""
