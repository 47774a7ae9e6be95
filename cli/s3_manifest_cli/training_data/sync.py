"""``TrainingDataSync``: creates the manifest of an actor, and uploads the images of a folder."""

from collections.abc import Iterator
from pathlib import Path

from s3_manifest.edits.uploads import GenerationRequest
from s3_manifest.manifest.model import Frozen
from s3_manifest.query.training import ActorManifest
from s3_manifest.sidecars.captions import caption_candidates, caption_text, is_image
from s3_manifest_cli.errors import NotFound
from s3_manifest_cli.training_data.api import LocalImage, TrainingDataAPI, UploadResult, get_training_data_api


class SyncResult(Frozen):
    """A folder compared with S3 by filename and MD5, and the upload of files that are only local.

    ``out_of_sync``: different bytes, neither side is changed. ``unverified``: the MD5 in S3 is unknown.
    """

    synced: tuple[str, ...]
    local_only: tuple[str, ...]
    s3_only: tuple[str, ...]
    out_of_sync: tuple[str, ...]
    unverified: tuple[str, ...]
    uploaded: UploadResult


class TrainingDataSync:
    """Uploads training data from folders to S3, never the other way."""

    def __init__(self, api: TrainingDataAPI | None = None) -> None:
        self._api = api or get_training_data_api()

    def auto_initialize_manifest(self, actor_id: str | int) -> ActorManifest:
        """The manifest of an actor; the stack creates it if there are only objects."""
        return self._api.get_training_data(actor_id)

    def sync_actor_training_data(
        self,
        actor_id: str | int,
        folder: Path | str | None = None,
        *,
        upload: bool = True,
        generation: GenerationRequest | None = None,
    ) -> SyncResult:
        """Compares an actor's manifest with S3 and with a ``folder``, and uploads images that are only local.

        Paths in the folder are filenames in the collection; ``<name>.txt`` beside an image is its prompt. Links are
        not followed. Without a folder, or with ``upload=False``, nothing is uploaded. A repeated call uploads nothing
        more. Raises ``S3ManifestError``, ``OSError``.
        """
        try:
            known = {image.filename: image.md5_hash for image in self._api.rescan_s3(actor_id).images}
        except NotFound:
            known = {}
        local = dict(_images(Path(folder))) if folder else {}
        both = [name for name in local if name in known]
        md5s = {name: local[name].md5() for name in both}
        local_only = [name for name in local if name not in known]
        uploaded = UploadResult()
        if upload and local_only:
            images = [local[name] for name in local_only]
            uploaded = self._api.upload_training_images(actor_id, images, generation=generation)
        return SyncResult(
            synced=tuple(name for name in both if known[name] == md5s[name]),
            local_only=tuple(local_only),
            s3_only=tuple(name for name in known if folder and name not in local),
            out_of_sync=tuple(name for name in both if known[name] not in (md5s[name], None)),
            unverified=tuple(name for name in both if known[name] is None),
            uploaded=uploaded,
        )


def _images(folder: Path) -> Iterator[tuple[str, LocalImage]]:
    """The images below a folder, with their paths below it."""
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        name = below.as_posix()
        # The folder itself may be reached by a link: the caller chose it.
        linked = any((folder / part).is_symlink() for part in (below, *below.parents[:-1]))
        if is_image(name) and path.is_file() and not linked:
            texts = (_caption(folder / caption) for caption in caption_candidates(name))
            yield name, LocalImage(path, name, next((text for text in texts if text), None))


def _caption(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file():
        return None
    return caption_text(path.name, path.read_bytes())
