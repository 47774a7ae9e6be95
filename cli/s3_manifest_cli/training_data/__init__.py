"""The Python API for the training data of actors: read, upload, describe and delete images, over HTTP or in S3.

May import the client.
"""

from s3_manifest_cli.errors import Invalid, NotFound, NotYet, Refused, Unavailable
from s3_manifest_cli.errors import S3ManifestError as TrainingDataError
from s3_manifest_cli.training_data.api import LocalImage, TrainingDataAPI, UploadResult, get_training_data_api
from s3_manifest_cli.training_data.manifest import SaveResult, TrainingDataManifest
from s3_manifest_cli.training_data.service import EditResult
from s3_manifest_cli.training_data.sync import SyncResult, TrainingDataSync

__all__ = [
    "EditResult",
    "Invalid",
    "LocalImage",
    "NotFound",
    "NotYet",
    "Refused",
    "SaveResult",
    "SyncResult",
    "TrainingDataAPI",
    "TrainingDataError",
    "TrainingDataManifest",
    "TrainingDataSync",
    "Unavailable",
    "UploadResult",
    "get_training_data_api",
]
