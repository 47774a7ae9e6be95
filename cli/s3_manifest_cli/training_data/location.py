"""The bucket and prefix of an actor: those that a caller names must be those of the deployment."""

from typing import NamedTuple

from s3_manifest_cli.errors import Invalid


class ActorLocation(NamedTuple):
    """The bucket and the prefix of an actor's objects in the deployment."""

    s3_bucket: str
    s3_prefix: str


class NamedLocation(NamedTuple):
    """The bucket and the prefix that a caller names; None is not named."""

    bucket: str | None
    s3_prefix: str | None

    @property
    def is_empty(self) -> bool:
        """Whether neither is named."""
        return self == (None, None)

    def check(self, actor: str, actual: ActorLocation) -> None:
        """Raises ``Invalid`` where the deployment has another location. The prefix may lack its last ``/``."""
        is_bucket = self.bucket in (None, actual.s3_bucket)
        is_prefix = self.s3_prefix is None or self.s3_prefix.removesuffix("/") + "/" == actual.s3_prefix
        if is_bucket and is_prefix:
            return
        named = {"bucket": self.bucket, "s3_prefix": self.s3_prefix}
        given = " and ".join(f"{name} {value!r}" for name, value in named.items() if value is not None)
        raise Invalid(
            f"Actor {actor} does not match {given}: this deployment has it in bucket {actual.s3_bucket!r} with"
            f" s3_prefix {actual.s3_prefix!r}.",
            remedy="Pass these, or neither, or connect to the deployment that has the other location.",
        )
