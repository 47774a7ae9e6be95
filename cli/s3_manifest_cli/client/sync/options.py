"""The options of ``pull``, ``push``, ``sync`` and ``restore``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from s3_manifest.manifest.model import Timestamp
from s3_manifest.storage.upload_headers import UploadMetadata
from s3_manifest_cli.client.local.reading import ReadProgress, no_progress
from s3_manifest_cli.client.transfer.cancellation import Cancellation

if TYPE_CHECKING:  # it imports the AWS Common Runtime
    from s3_manifest_cli.client.transfer.sharing import SharedObjects

Preference = Literal["local", "s3", "newer"]

MAX_DELETE = 100


class Progress(NamedTuple):
    """Callbacks, called from any thread: see ``ReadProgress``; with transferred bytes; for each transferred file."""

    on_read: ReadProgress = no_progress
    on_bytes: Callable[[int], None] = lambda _: None
    on_file: Callable[[], None] = lambda: None


class SyncOptions(NamedTuple):
    """The options, each with its default.

    ``delete`` deletes files that the other side lacks, unless they are more than ``max_delete``: then nothing is done.
    ``dry_run`` plans, and changes nothing. ``portable`` refuses filenames that some file system cannot hold. ``prefer``
    is the side that wins a conflict of a sync. ``upload_metadata`` becomes user metadata of all uploaded files.
    ``revision`` or ``at``, a time, select what a restore brings back; by default the current files.
    ``progress`` reports how far it is, and ``cancellation`` ends it: the call then raises ``Cancelled``.
    ``shared`` is what ``for_each`` lets several collections use together: ``max_delete`` then limits the sum of their
    deletions.
    """

    delete: bool = False
    prefer: Preference | None = None
    max_delete: int = MAX_DELETE
    dry_run: bool = False
    portable: bool = False
    upload_metadata: UploadMetadata = UploadMetadata()
    revision: int | None = None
    at: Timestamp | None = None
    progress: Progress = Progress()
    cancellation: Cancellation | None = None
    shared: "SharedObjects | None" = None


DEFAULTS = SyncOptions()
