"""``TrainingDataSync``: creates the manifest of an actor, and uploads the images of a folder."""

from collections.abc import Iterator
from pathlib import Path

from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.sidecars.captions import is_image
from s3_manifest_cli.client.local.folders import folder_at
from s3_manifest_cli.client.local.reading import caption_prompt
from s3_manifest_cli.client.local.scan import scan
from s3_manifest_cli.errors import NotFound
from s3_manifest_cli.training_data.api import LocalImage, TrainingDataAPI, get_training_data_api
from s3_manifest_cli.training_data.results import ActorManifest, SyncResult


class TrainingDataSync:
    """Uploads training data from folders to S3, never the other way. Threads may share an object."""

    def __init__(self, api: TrainingDataAPI | None = None) -> None:
        self._api = api or get_training_data_api()

    def auto_initialize_manifest(
        self, actor_id: str | int, bucket: str | None = None, s3_prefix: str | None = None
    ) -> ActorManifest:
        """The manifest of an actor; the stack creates it if there are only objects."""
        return self._api.get_training_data(actor_id, bucket, s3_prefix)

    def sync_actor_training_data(
        self,
        actor_id: str | int,
        folder: Path | str | None = None,
        *,
        upload: bool = True,
        generation: GenerationRequest | None = None,
        bucket: str | None = None,
        s3_prefix: str | None = None,
    ) -> SyncResult:
        """Compares an actor's manifest with S3 and with a ``folder``, and uploads images that are only local.

        Paths in the folder are filenames in the collection; ``<name>.txt`` beside an image is its prompt. Links are
        not followed. Without a folder, or with ``upload=False``, nothing is uploaded. A repeated call uploads nothing
        more. Raises ``S3ManifestError``, ``OSError``.
        """
        try:
            images = self._api.rescan_s3(actor_id, bucket, s3_prefix)["images"]
            known = {image["filename"]: image["md5_hash"] for image in images}
        except NotFound:
            known = {}
        local = dict(_images(Path(folder))) if folder else {}
        md5s = {name: image.md5() for name, image in local.items() if name in known}
        local_only = [name for name in local if name not in known]
        files = [local[name] for name in local_only] if upload else []
        return SyncResult(
            synced=[name for name, md5 in md5s.items() if known[name] == md5],
            local_only=local_only,
            s3_only=[name for name in known if folder and name not in local],
            out_of_sync=[name for name, md5 in md5s.items() if known[name] not in (md5, None)],
            unverified=[name for name in md5s if known[name] is None],
            uploaded=self._api.upload_training_images(actor_id, files, generation=generation),
        )


def _images(folder: Path) -> Iterator[tuple[str, LocalImage]]:
    """The images below a folder, if there is one, with their paths below it, and with their captions as prompts."""
    if folder.is_dir():
        with folder_at(str(folder)) as top:
            for name in sorted(file.filename for file in scan(folder, problems=[]) if is_image(file.filename)):
                yield name, LocalImage(folder / name, name, caption_prompt(top, name))
