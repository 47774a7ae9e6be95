"""What runs on a person's machine and never in a Lambda: the client, as commands and from Python, and the local stack.

The client is imported from here: ``from s3_manifest_cli import connect, status, pull``. Each name is fetched from its
module when it is first asked for, so that a program waits for boto3, or for the AWS Common Runtime, only if it uses
what needs them. (Not from ``s3_manifest_cli.client``: names as ``status`` are modules there.)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3_manifest.collections import Collection as Collection
    from s3_manifest.stats import CollectionTotals as CollectionTotals
    from s3_manifest_cli.client.audit import Audit as Audit
    from s3_manifest_cli.client.audit import audit as audit
    from s3_manifest_cli.client.carry_out import Carried as Carried
    from s3_manifest_cli.client.carry_out import Progress as Progress
    from s3_manifest_cli.client.carry_out import Step as Step
    from s3_manifest_cli.client.compare import Compared as Compared
    from s3_manifest_cli.client.copies import Prepared as Prepared
    from s3_manifest_cli.client.copies import complete as complete
    from s3_manifest_cli.client.copies import prepare as prepare
    from s3_manifest_cli.client.copies import pull as pull
    from s3_manifest_cli.client.copies import push as push
    from s3_manifest_cli.client.copies import sync as sync
    from s3_manifest_cli.client.copies import wait_until_shown as wait_until_shown
    from s3_manifest_cli.client.deployment import Deployment as Deployment
    from s3_manifest_cli.client.deployment import connect as connect
    from s3_manifest_cli.client.diff import Diff as Diff
    from s3_manifest_cli.client.diff import diff as diff
    from s3_manifest_cli.client.doctor import Examination as Examination
    from s3_manifest_cli.client.doctor import doctor as doctor
    from s3_manifest_cli.client.doctor import doctor_bucket as doctor_bucket
    from s3_manifest_cli.client.export import Exported as Exported
    from s3_manifest_cli.client.export import export as export
    from s3_manifest_cli.client.filters import Filter as Filter
    from s3_manifest_cli.client.history import History as History
    from s3_manifest_cli.client.history import history as history
    from s3_manifest_cli.client.manifests import Manifest as Manifest
    from s3_manifest_cli.client.manifests import Manifests as Manifests
    from s3_manifest_cli.client.plan import Action as Action
    from s3_manifest_cli.client.plan import Plan as Plan
    from s3_manifest_cli.client.plan import Wishes as Wishes
    from s3_manifest_cli.client.points import Point as Point
    from s3_manifest_cli.client.points import parse_point as parse_point
    from s3_manifest_cli.client.rescan import Swept as Swept
    from s3_manifest_cli.client.rescan import rescan as rescan
    from s3_manifest_cli.client.rescan import rescan_all as rescan_all
    from s3_manifest_cli.client.rescan import wait_for as wait_for
    from s3_manifest_cli.client.restore import prepare_restore as prepare_restore
    from s3_manifest_cli.client.restore import restore as restore
    from s3_manifest_cli.client.scan import Problem as Problem
    from s3_manifest_cli.client.status import Status as Status
    from s3_manifest_cli.client.status import status as status
    from s3_manifest_cli.client.stop import Stop as Stop
    from s3_manifest_cli.client.stop import Stopped as Stopped
    from s3_manifest_cli.client.verify import Verification as Verification
    from s3_manifest_cli.client.verify import verify as verify
    from s3_manifest_cli.errors import Invalid as Invalid
    from s3_manifest_cli.errors import NotFound as NotFound
    from s3_manifest_cli.errors import NotYet as NotYet
    from s3_manifest_cli.errors import Refused as Refused
    from s3_manifest_cli.errors import S3ManifestError as S3ManifestError
    from s3_manifest_cli.errors import Unavailable as Unavailable
    from s3_manifest_cli.headers import Told as Told

_PLACES = {
    "s3_manifest.stats": ("CollectionTotals",),
    "s3_manifest_cli.client.audit": ("Audit", "audit"),
    "s3_manifest_cli.client.diff": ("Diff", "diff"),
    "s3_manifest_cli.client.doctor": ("Examination", "doctor", "doctor_bucket"),
    "s3_manifest_cli.client.export": ("Exported", "export"),
    "s3_manifest_cli.client.history": ("History", "history"),
    "s3_manifest_cli.client.manifests": ("Manifest", "Manifests"),
    "s3_manifest_cli.client.points": ("Point", "parse_point"),
    "s3_manifest_cli.client.rescan": ("Swept", "rescan", "rescan_all", "wait_for"),
    "s3_manifest_cli.client.verify": ("Verification", "verify"),
    "s3_manifest.collections": ("Collection",),
    "s3_manifest_cli.client.carry_out": ("Carried", "Progress", "Step"),
    "s3_manifest_cli.client.compare": ("Compared",),
    "s3_manifest_cli.client.copies": (
        "Prepared",
        "complete",
        "prepare",
        "pull",
        "push",
        "sync",
        "wait_until_shown",
    ),
    "s3_manifest_cli.client.deployment": ("Deployment", "connect"),
    "s3_manifest_cli.client.filters": ("Filter",),
    "s3_manifest_cli.client.plan": ("Action", "Plan", "Wishes"),
    "s3_manifest_cli.client.restore": ("prepare_restore", "restore"),
    "s3_manifest_cli.client.scan": ("Problem",),
    "s3_manifest_cli.client.status": ("Status", "status"),
    "s3_manifest_cli.client.stop": ("Stop", "Stopped"),
    "s3_manifest_cli.errors": ("Invalid", "NotFound", "NotYet", "Refused", "S3ManifestError", "Unavailable"),
    "s3_manifest_cli.headers": ("Told",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = sorted(_PLACE_OF)  # noqa: PLE0605  # one list of them is enough


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever has that name
    """PEP 562."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACE_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
