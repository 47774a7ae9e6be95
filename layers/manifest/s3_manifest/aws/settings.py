"""The functions' settings, from their environment variables."""

import os
from functools import cache

from pydantic import BaseModel, ConfigDict, Field

from s3_manifest.manifest.collections import Location


class Settings(BaseModel):
    """One field for each environment variable that the template or Lambda sets.

    ``bucket`` is the stack's own: that of the collections whose pattern names none.

    Empty ``event_bus``: nothing is announced. Empty ``change_queue_url``: the queue is not drained.
    ``max_wait_seconds`` limits the waiting of HTTP requests. ``allow_edits``: the edit function is deployed.
    """

    model_config = ConfigDict(frozen=True)

    bucket: str = Field(alias="BUCKET", min_length=1)
    collections: str = Field(alias="COLLECTIONS")
    manifest_root: str = Field(alias="MANIFEST_ROOT")
    change_queue_url: str = Field(alias="CHANGE_QUEUE_URL", default="")
    sweep_queue_url: str = Field(alias="SWEEP_QUEUE_URL", default="")
    event_bus: str = Field(alias="EVENT_BUS", default="")
    history_days: int = Field(alias="HISTORY_DAYS", default=30, ge=1)
    max_wait_seconds: float = Field(alias="MAX_WAIT_SECONDS", default=20, ge=0, le=20)
    allow_edits: bool = Field(alias="ALLOW_EDITS", default=True)
    jwt_read_scope: str = Field(alias="JWT_READ_SCOPE", default="")
    jwt_edit_scope: str = Field(alias="JWT_EDIT_SCOPE", default="")
    jwt_delete_scope: str = Field(alias="JWT_DELETE_SCOPE", default="")
    stack_name: str = Field(alias="STACK_NAME", default="local")
    md5_max_bytes: int = Field(alias="MD5_MAX_BYTES", default=0)
    url_suffix: str = Field(alias="URL_SUFFIX", default="amazonaws.com")
    region: str = Field(alias="AWS_REGION", default="us-east-1")
    own_endpoint: str = Field(alias="S3_MANIFEST_ENDPOINT_URL", default="")
    sdk_endpoint: str = Field(alias="AWS_ENDPOINT_URL", default="")

    @property
    def endpoint(self) -> str | None:
        """The endpoint of another server than AWS.

        ``sam local`` passes only variables that the template names, and naming the SDK's ``AWS_ENDPOINT_URL`` there
        would unset it everywhere else. Hence a variable of this project.
        """
        return self.own_endpoint or self.sdk_endpoint or None

    @property
    def location(self) -> Location:
        """The location of the buckets."""
        return Location(self.region, self.url_suffix, self.endpoint)


@cache
def settings() -> Settings:
    """Returns the settings, read once per process. Raises ``pydantic.ValidationError`` with the variable's name."""
    return Settings.model_validate(dict(os.environ))
