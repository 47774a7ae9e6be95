"""An actor's training data, from Python: read, uploaded, described, deleted; over HTTP, or in S3 directly."""

from s3_manifest_cli.errors import Invalid, NotFound, NotYet, Refused, Unavailable
from s3_manifest_cli.errors import S3ManifestError as TrainingDataError
from s3_manifest_cli.training_data.api import TrainingDataAPI, get_training_data_api
from s3_manifest_cli.training_data.files import LocalImage
from s3_manifest_cli.training_data.manifest import Saved, TrainingDataManifest
from s3_manifest_cli.training_data.service import Done
from s3_manifest_cli.training_data.sync import Synced, TrainingDataSync

__all__ = [
    "Done",
    "Invalid",
    "LocalImage",
    "NotFound",
    "NotYet",
    "Refused",
    "Saved",
    "Synced",
    "TrainingDataAPI",
    "TrainingDataError",
    "TrainingDataManifest",
    "TrainingDataSync",
    "Unavailable",
    "get_training_data_api",
]
