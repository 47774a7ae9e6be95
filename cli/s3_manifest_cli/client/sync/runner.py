"""Runs single actions of a plan, each only if both sides still are as planned."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.store import Conflict
from s3_manifest.storage.upload_headers import upload_headers
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.disk import disk_error, disk_errors
from s3_manifest_cli.client.local.folders import Folder, folder_at
from s3_manifest_cli.client.local.partials import Identity
from s3_manifest_cli.client.local.reading import FileChanged, caption_prompt, open_unchanged
from s3_manifest_cli.client.manifests.deployment import Deployment
from s3_manifest_cli.client.sync.options import SyncOptions
from s3_manifest_cli.client.sync.plan import Action, BaselineEntry, Plan
from s3_manifest_cli.client.transfer.cancellation import Cancellation
from s3_manifest_cli.client.transfer.checksums import compute_checksums
from s3_manifest_cli.client.transfer.copying import copy_version
from s3_manifest_cli.client.transfer.download import DownloadRequest, download
from s3_manifest_cli.client.transfer.objects import ObjectVersion
from s3_manifest_cli.client.transfer.resumable_uploads import UnfinishedUploads
from s3_manifest_cli.client.transfer.sharing import SharedObjects
from s3_manifest_cli.client.transfer.upload import UploadRequest, upload
from s3_manifest_cli.client.verify.proofs import ExpectedContent, check_file
from s3_manifest_cli.errors import Refused

Value = TypeVar("Value")


class Step(NamedTuple):
    """The result of an action; ``error`` is None if it succeeded.

    ``local`` and ``etag`` then identify the file and the object with the same bytes, and ``md5`` is their MD5, if it
    was computed. ``proof`` names what proves a download; it is empty if the manifest holds nothing that can. ``note``
    is a warning for the user. ``is_name_refused``: the file was skipped for its name, and running again does not help.
    """

    action: Action
    error: str | None = None
    local: Identity | None = None
    etag: str | None = None
    md5: str | None = None
    proof: tuple[str, ...] = ()
    note: str | None = None
    is_name_refused: bool = False


@dataclass
class Runner:
    """Runs the actions of one plan; its block holds open the bucket, and the folders that the plan reads or changes."""

    deployment: Deployment
    collection: Collection
    plan: Plan
    options: SyncOptions
    baseline: Mapping[str, BaselineEntry]
    source: Folder | None = None
    destination: Destination | None = None

    def __enter__(self) -> Self:
        """Raises ``Refused`` if another run works in the folder; ``Unavailable``."""
        plan, deployment = self.plan, self.deployment
        self.unfinished = UnfinishedUploads(deployment.cache / "uploads")
        with ExitStack() as stack:
            shared = self.options.shared
            if shared is None:
                cancellation = self.options.cancellation or Cancellation()
                shared = stack.enter_context(SharedObjects(deployment.session, deployment.endpoint, cancellation))
            self.objects = shared.of(plan.s3_bucket)
            if plan.select("download", "delete_local"):
                self.destination = stack.enter_context(Destination(Path(plan.folder)))
                self.destination.tidy(
                    (action.filename, self.download_request(action).token) for action in plan.select("download")
                )
            if plan.select("upload"):
                with disk_errors(plan.folder, "not read"):
                    self.source = stack.enter_context(folder_at(plan.folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def cancellation(self) -> Cancellation:
        """That of this plan; ``objects`` may be shared with others."""
        return self.options.cancellation or self.objects.cancellation

    def key(self, action: Action) -> str:
        """The key of the object of an action."""
        return self.collection.prefix + action.filename

    def download_request(self, action: Action) -> DownloadRequest:
        """The request for the object that an action downloads."""
        etag = _required(action.etag)
        expected = ExpectedContent(action.size, action.md5, etag, action.checksum, declared=action.declared)
        return DownloadRequest(ObjectVersion(self.key(action), etag, action.version_id), expected)

    def run(self, action: Action) -> Step:
        """Runs an action, with its method. Raises ``StoreError``, ``S3ManifestError``, ``OSError``; ``Cancelled``."""
        run: Callable[[Action], Step] = getattr(self, action.action)
        return run(action)

    def download(self, action: Action, body: bytes | None = None) -> Step:
        """Downloads a file; ``body`` is its content if it was fetched already."""
        request = self.download_request(action)
        destination = _required(self.destination)
        if body is None and (earlier := self._downloaded_earlier(action)):
            return earlier
        with destination.partial(action.filename, request.token) as partial:
            try:
                result = download(self.objects, request, partial, self.options.progress.on_bytes, body)
            except Conflict:
                partial.discard()  # the next manifest has another object
                raise
            try:
                local = partial.finish(mtime_ns=_nanoseconds(action.last_modified), expected=action.local)
            except Refused:
                earlier = self._downloaded_earlier(action)
                if earlier is None:
                    raise
                partial.discard()
                return earlier
        return Step(action, local=local, etag=action.etag, proof=result.verdict.proofs, note=result.verdict.warning)

    def _downloaded_earlier(self, action: Action) -> Step | None:
        """The step of a download that an earlier run of the same plan did, so that a plan can be applied again.

        The file must have the bytes of the object and differ from the file that the plan saw. It is read. If nothing
        proves its bytes, the baseline decides.
        """
        destination = _required(self.destination)
        local = destination.identity(action.filename)
        if local is None or local == action.local or local.size != action.size or action.etag is None:
            return None
        with destination.open_read(action.filename) as file:
            verdict = check_file(file, self.download_request(action).expected)
        is_same = verdict.status == "match" or (
            verdict.status == "unverifiable" and self.baseline.get(action.filename) == (action.etag, local)
        )
        if not is_same or destination.identity(action.filename) != local:
            return None
        self.options.progress.on_bytes(action.size)
        return Step(action, local=local, etag=action.etag, proof=verdict.proofs)

    def upload(self, action: Action) -> Step:
        """Uploads a file with its MD5, its path, and the prompt of the caption beside it."""
        source, local = _required(self.source), _required(action.local)
        try:
            with open_unchanged(source, action.filename, local) as file:
                checksums = compute_checksums(file, local.size)
                prompt = caption_prompt(source, action.filename)
                # As ``Path`` joins it, in a tenth of the time.
                path = self.plan.folder.rstrip(os.sep) + os.sep + action.filename.replace("/", os.sep)
                metadata = self.options.upload_metadata._replace(prompt=prompt, local_path=path)
                key = self.key(action)
                headers, left_out = upload_headers(key, checksums.md5, metadata)
                request = UploadRequest(key, local.size, checksums, action.etag, headers)
                result = upload(self.objects, file, request, self.unfinished, self.options.progress.on_bytes)
        except FileChanged as error:
            raise Refused(str(error)) from error
        notes = [_left_out_note(left_out)] if left_out else []
        if count := len(result.others):
            uploads = "another unfinished upload" if count == 1 else f"{count} other unfinished uploads"
            notes.append(
                f"S3 keeps the parts of {uploads} to this key. List them with 'aws s3api list-multipart-uploads', and"
                " abort them or add a lifecycle rule that does"
            )
        return Step(action, local=local, etag=result.etag, md5=checksums.md5, note="; ".join(notes) or None)

    def copy(self, action: Action) -> Step:
        """Makes an older version of an object the newest."""
        if action.version_id is None:
            raise Refused(
                "S3 has no older version: the file was stored while the bucket was not versioned. Pass --exclude to"
                " leave it out"
            )
        etag = copy_version(self.objects, self.key(action), action.version_id, action.size, action.etag)
        self.options.progress.on_bytes(action.size)
        return Step(action, etag=etag)

    def delete_local(self, action: Action) -> Step:
        """Deletes a local file, if S3 still has the object, or none, that the plan saw."""
        # The manifest may be seconds late: only S3 knows the current object.
        current = self.objects.head(self.key(action))
        if (current and current.etag) != action.etag:
            raise Refused("not deleted: S3 has another object than the manifest. Run the command again")
        _required(self.destination).remove(action.filename, _required(action.local))
        return Step(action)

    def delete_remote(self, action: Action) -> Step:
        """Deletes an object, if it is the one that the plan saw."""
        self.objects.delete(self.key(action), _required(action.etag))
        return Step(action)

    def explain(self, action: Action, error: Exception | None) -> str:
        """The error without the filename, which the output shows next to it."""
        if isinstance(error, OSError):
            error = disk_error(action.filename, "not read" if action.action == "upload" else "not written", error)
        reason, name = str(error), action.filename
        key = self.key(action)
        for prefix in (f"s3://{self.plan.s3_bucket}/{key}: ", f"{key}: ", f"{name!r}: ", f"{name!r} was "):
            reason = reason.removeprefix(prefix)
        return reason


def _required(value: Value | None) -> Value:
    """A value that an action of its type always has, unless the plan was edited."""
    if value is None:
        raise Refused("the plan lacks what this action needs. Create it again with --plan")
    return value


def _nanoseconds(moment: Timestamp | None) -> int | None:
    return None if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000) * 1_000_000


def _left_out_note(fields: Sequence[str]) -> str:
    names = " and ".join(field.replace("-", " ") for field in fields)
    note = f"uploaded without its {names} (too long for S3 metadata)"
    return f"{note}; the caption beside it has it" if fields == ("prompt",) else note
