"""The properties of the custom resource, as in the template."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from s3_manifest.manifest.collections import Collections, parse_collections


class InvalidRequest(ValueError):
    """The resource's properties are not those of the template; the message lists the differences."""


class AnyProperties(BaseModel):
    """Properties that may never have been valid; enough to delete the resource."""

    # CloudFormation adds ServiceToken and ServiceTimeout.
    model_config = ConfigDict(frozen=True, extra="ignore")

    bucket: str = Field(alias="Bucket", default="")
    additional_buckets: Any = Field(alias="AdditionalBuckets", default=())
    queue_arn: str = Field(alias="QueueArn", default="")
    collections: Any = Field(alias="Collections", default="")
    manifest_root: Any = Field(alias="ManifestRoot", default="")
    name: str = Field(alias="Name", default="")
    event_source: str = Field(alias="EventSource", default="Notifications")
    rule_prefix: str = Field(alias="RulePrefix", default="")

    @property
    def buckets(self) -> tuple[str, ...]:
        """The stack's own bucket and the additional ones, each once."""
        additional = self.additional_buckets if isinstance(self.additional_buckets, list | tuple) else ()
        names = (self.bucket, *(name for name in additional if isinstance(name, str)))
        return tuple(dict.fromkeys(filter(None, names)))

    @property
    def deployment(self) -> str:
        """A name that no other stack ever has, if the template has the property ``RulePrefix``."""
        return self.rule_prefix or self.name


def _without_empty(names: object) -> object:
    """An empty list parameter is a list of one empty string."""
    return [name for name in names if name != ""] if isinstance(names, list) else names


class Properties(AnyProperties):
    """The resource's properties."""

    bucket: str = Field(alias="Bucket", min_length=1)
    additional_buckets: Annotated[tuple[str, ...], BeforeValidator(_without_empty)] = Field(
        alias="AdditionalBuckets", default=()
    )
    queue_arn: str = Field(alias="QueueArn", min_length=1)
    collections: str = Field(alias="Collections")
    manifest_root: str = Field(alias="ManifestRoot")
    name: str = Field(alias="Name", min_length=1)
    event_source: Literal["Notifications", "EventBridge"] = Field(alias="EventSource", default="Notifications")

    def parsed(self) -> Collections:
        """The kinds of collections. Raises ``InvalidCollections``."""
        return parse_collections(self.collections, self.manifest_root, self.bucket)

    def prefixes(self, bucket: str) -> list[str]:
        """The prefixes to subscribe to in a bucket; empty if it has no collections or is not listed."""
        return self.parsed().notification_prefixes(bucket) if bucket in self.buckets else []

    def check(self) -> None:
        """Raises ``InvalidCollections``, and ``InvalidRequest`` with every bucket that cannot have collections."""
        if problems := "; ".join(self._problems(self.parsed())):
            raise InvalidRequest(problems)

    def _problems(self, collections: Collections) -> Iterator[str]:
        for pattern in collections.patterns:
            if pattern.bucket not in self.buckets:
                yield (
                    f"collection {pattern.kind!r} is in bucket {pattern.bucket}, which is neither the stack's own"
                    f" ({self.bucket}) nor one of AdditionalBuckets: add it to them, or correct Collections"
                )
