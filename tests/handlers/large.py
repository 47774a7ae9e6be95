"""Large manifests, written without the reconcile function, which would observe every file."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from handlers.account import Account
from handlers.lambda_events import BUCKET
from s3_manifest.manifest import layout
from s3_manifest.manifest.encoding import encode_head
from s3_manifest.manifest.model import Entry, Generation, Head
from s3_manifest.manifest.runs import Run

PREFIX = "styles/16/"
FOLDER = f"_manifests/{PREFIX}"
TIME = "2026-03-01T12:00:00.000Z"


def entry(filename: str, **facts: Any) -> Entry:
    etag = hashlib.md5(filename.encode()).hexdigest()
    defaults = {
        "filename": filename,
        "s3_key": PREFIX + filename,
        "s3_url": f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/{PREFIX}{filename}",
        "size_bytes": 4,
        "md5_hash": etag,
        "md5_source": "etag",
        "etag": etag,
        "checksum": None,
        "content_type": "image/png",
        "storage_class": "STANDARD",
        "version_id": None,
        "uploaded_at": TIME,
        "last_modified": TIME,
        "local_path": None,
        "prompt": None,
        "generated_at": None,
        "generation_id": 1,
        "generation_type": "s3_event",
        "source": "s3_event",
        "good": True,
        "metadata": {},
    }
    return Entry.model_validate(defaults | facts)


def plain(number: int) -> Mapping[str, Any]:
    return {}


def publish(account: Account, count: int, facts_of: Callable[[int], Mapping[str, Any]] = plain, **facts: Any) -> Head:
    """Stores a complete paged manifest of ``count`` files, ``00000.png`` and so on; returns its head."""
    entries = [entry(f"{number:05}.png", **facts_of(number)) for number in range(count)]
    size = sum(file.size_bytes for file in entries)
    commit = facts.get("commit", "c1")
    page_layout = layout.build_layout([layout.LoadedRun(Run(entries))], name=f"{FOLDER}pages/{commit}")
    defaults = {
        "kind": "style",
        "id": "16",
        "title": None,
        "s3_bucket": BUCKET,
        "s3_prefix": PREFIX,
        "created_at": TIME,
        "last_synced": TIME,
        "complete": True,
        "revision": 1,
        "commit": commit,
        "last_change": commit,
        "total_files": count,
        "total_size_bytes": size,
        "generations": (Generation(generation_id=1, type="s3_event", generated_at=TIME, image_count=count),),
        "sidecars": (),
        "problems": (),
        "files": page_layout.with_role("files"),
        "pages": page_layout.pages,
    }
    head = Head.model_validate(defaults | facts)
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for key, run in page_layout.new:
        backend.put_object(BUCKET, key, run.page)
    backend.put_object(BUCKET, f"{FOLDER}manifest.json", encode_head(head))
    return head
