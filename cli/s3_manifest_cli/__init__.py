"""The program on the user's machine, never in a Lambda: the client, as commands and from Python, and the local stack.

Import the client from here: ``from s3_manifest_cli import connect, status, pull``. A name is loaded from its module at
its first use, so that a program loads boto3 or the AWS Common Runtime only if it needs them. (Names such as ``status``
are modules in ``s3_manifest_cli.client``.)
"""

from importlib import import_module
from importlib.util import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3_manifest.manifest.collections import Collection as Collection
    from s3_manifest.query.stats import CollectionTotals as CollectionTotals
    from s3_manifest.storage.upload_headers import UploadMetadata as UploadMetadata
    from s3_manifest_cli.client.bulk.folders import local_paths as local_paths
    from s3_manifest_cli.client.bulk.for_each import for_each as for_each
    from s3_manifest_cli.client.bulk.selection import Selection as Selection
    from s3_manifest_cli.client.bulk.selection import SelectionFailure as SelectionFailure
    from s3_manifest_cli.client.bulk.selection import select as select
    from s3_manifest_cli.client.doctor import DoctorOptions as DoctorOptions
    from s3_manifest_cli.client.doctor import Examination as Examination
    from s3_manifest_cli.client.doctor import doctor as doctor
    from s3_manifest_cli.client.doctor import doctor_bucket as doctor_bucket
    from s3_manifest_cli.client.export import ExportResult as ExportResult
    from s3_manifest_cli.client.export import export as export
    from s3_manifest_cli.client.local.filters import Filter as Filter
    from s3_manifest_cli.client.local.scan import Problem as Problem
    from s3_manifest_cli.client.manifests.deployment import Deployment as Deployment
    from s3_manifest_cli.client.manifests.deployment import connect as connect
    from s3_manifest_cli.client.manifests.diff import Diff as Diff
    from s3_manifest_cli.client.manifests.diff import diff as diff
    from s3_manifest_cli.client.manifests.history import History as History
    from s3_manifest_cli.client.manifests.history import history as history
    from s3_manifest_cli.client.manifests.manifests import Manifest as Manifest
    from s3_manifest_cli.client.manifests.manifests import Manifests as Manifests
    from s3_manifest_cli.client.manifests.rescan import RescanResult as RescanResult
    from s3_manifest_cli.client.manifests.rescan import rescan as rescan
    from s3_manifest_cli.client.manifests.rescan import rescan_all as rescan_all
    from s3_manifest_cli.client.manifests.rescan import wait_for as wait_for
    from s3_manifest_cli.client.manifests.revision_spec import RevisionSpec as RevisionSpec
    from s3_manifest_cli.client.manifests.revision_spec import parse_revision_spec as parse_revision_spec
    from s3_manifest_cli.client.sync.execute import SyncResult as SyncResult
    from s3_manifest_cli.client.sync.options import Progress as Progress
    from s3_manifest_cli.client.sync.options import SyncOptions as SyncOptions
    from s3_manifest_cli.client.sync.plan import Action as Action
    from s3_manifest_cli.client.sync.plan import Plan as Plan
    from s3_manifest_cli.client.sync.restore import prepare_restore as prepare_restore
    from s3_manifest_cli.client.sync.restore import restore as restore
    from s3_manifest_cli.client.sync.runner import Step as Step
    from s3_manifest_cli.client.sync.sync import PreparedPlan as PreparedPlan
    from s3_manifest_cli.client.sync.sync import apply_plan as apply_plan
    from s3_manifest_cli.client.sync.sync import prepare as prepare
    from s3_manifest_cli.client.sync.sync import pull as pull
    from s3_manifest_cli.client.sync.sync import push as push
    from s3_manifest_cli.client.sync.sync import sync as sync
    from s3_manifest_cli.client.sync.sync import wait_until_shown as wait_until_shown
    from s3_manifest_cli.client.transfer.cancellation import Cancellation as Cancellation
    from s3_manifest_cli.client.transfer.cancellation import Cancelled as Cancelled
    from s3_manifest_cli.client.transfer.concurrency import Outcome as Outcome
    from s3_manifest_cli.client.verify.audit import Audit as Audit
    from s3_manifest_cli.client.verify.audit import audit as audit
    from s3_manifest_cli.client.verify.compare import FileStatus as FileStatus
    from s3_manifest_cli.client.verify.status import LocalCopy as LocalCopy
    from s3_manifest_cli.client.verify.status import Status as Status
    from s3_manifest_cli.client.verify.status import status as status
    from s3_manifest_cli.client.verify.verify import Verification as Verification
    from s3_manifest_cli.client.verify.verify import verify as verify
    from s3_manifest_cli.errors import Invalid as Invalid
    from s3_manifest_cli.errors import NotFound as NotFound
    from s3_manifest_cli.errors import NotYet as NotYet
    from s3_manifest_cli.errors import Refused as Refused
    from s3_manifest_cli.errors import S3ManifestError as S3ManifestError
    from s3_manifest_cli.errors import Unavailable as Unavailable

_MODULES = {
    "s3_manifest.manifest.collections": ("Collection",),
    "s3_manifest.query.stats": ("CollectionTotals",),
    "s3_manifest.storage.upload_headers": ("UploadMetadata",),
    ".client.bulk.folders": ("local_paths",),
    ".client.bulk.for_each": ("for_each",),
    ".client.bulk.selection": ("Selection", "SelectionFailure", "select"),
    ".client.doctor": ("DoctorOptions", "Examination", "doctor", "doctor_bucket"),
    ".client.export": ("ExportResult", "export"),
    ".client.local.filters": ("Filter",),
    ".client.local.scan": ("Problem",),
    ".client.manifests.deployment": ("Deployment", "connect"),
    ".client.manifests.diff": ("Diff", "diff"),
    ".client.manifests.history": ("History", "history"),
    ".client.manifests.manifests": ("Manifest", "Manifests"),
    ".client.manifests.rescan": ("RescanResult", "rescan", "rescan_all", "wait_for"),
    ".client.manifests.revision_spec": ("RevisionSpec", "parse_revision_spec"),
    ".client.sync.execute": ("SyncResult",),
    ".client.sync.options": ("Progress", "SyncOptions"),
    ".client.sync.plan": ("Action", "Plan"),
    ".client.sync.restore": ("prepare_restore", "restore"),
    ".client.sync.runner": ("Step",),
    ".client.sync.sync": ("PreparedPlan", "apply_plan", "prepare", "pull", "push", "sync", "wait_until_shown"),
    ".client.transfer.cancellation": ("Cancellation", "Cancelled"),
    ".client.transfer.concurrency": ("Outcome",),
    ".client.verify.audit": ("Audit", "audit"),
    ".client.verify.compare": ("FileStatus",),
    ".client.verify.status": ("LocalCopy", "Status", "status"),
    ".client.verify.verify": ("Verification", "verify"),
    ".errors": ("Invalid", "NotFound", "NotYet", "Refused", "S3ManifestError", "Unavailable"),
}
"""The exported names by the module that defines them, as in the imports above."""

_MODULE_OF = {name: resolve_name(module, __name__) for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605  # one list of them is enough


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the type of that name
    """Loads a name from its module; see PEP 562."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
