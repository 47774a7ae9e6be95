"""The Python API for the training data of actors: read, upload, describe and delete images, over HTTP or in S3.

May import the client.
"""

from s3_manifest_cli.errors import Invalid, NotFound, NotYet, Refused, Unavailable
from s3_manifest_cli.errors import S3ManifestError as TrainingDataError
from s3_manifest_cli.training_data.api import LocalImage, TrainingDataAPI, get_training_data_api
from s3_manifest_cli.training_data.manifest import TrainingDataManifest
from s3_manifest_cli.training_data.results import (
    ActorImage,
    ActorManifest,
    EditResult,
    Generation,
    GenerationDeclaration,
    GenerationStatistics,
    SaveResult,
    StagedGeneration,
    StagedImage,
    Statistics,
    SyncResult,
    UploadResult,
)
from s3_manifest_cli.training_data.service import ImageFields
from s3_manifest_cli.training_data.sync import TrainingDataSync

__all__ = [
    "ActorImage",
    "ActorManifest",
    "EditResult",
    "Generation",
    "GenerationDeclaration",
    "GenerationStatistics",
    "ImageFields",
    "Invalid",
    "LocalImage",
    "NotFound",
    "NotYet",
    "Refused",
    "SaveResult",
    "StagedGeneration",
    "StagedImage",
    "Statistics",
    "SyncResult",
    "TrainingDataAPI",
    "TrainingDataError",
    "TrainingDataManifest",
    "TrainingDataSync",
    "Unavailable",
    "UploadResult",
    "get_training_data_api",
]
