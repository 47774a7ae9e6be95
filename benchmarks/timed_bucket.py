"""A bucket in memory whose requests are counted and take virtual time."""

from collections.abc import Mapping, Sequence

from benchmarks.synthetic import SyntheticObjects
from benchmarks.traffic import Request, Traffic
from s3_manifest.storage.memory import MemoryStore
from s3_manifest.storage.store import Folders, HeadResult, Listing, NotModified, StoredObject

# The size of one object, or of one folder, in a listing.
_LISTED_BYTES, _FOLDER_BYTES = 304, 120


class TimedBucket:
    """A ``Store`` over ``truth``; each request takes effect at one moment between its start and its end.

    Over ``SyntheticObjects`` it supports the requests of commits, sweeps and reads.
    """

    def __init__(self, truth: MemoryStore | SyntheticObjects, traffic: Traffic) -> None:
        self._truth = truth
        self._traffic = traffic

    def get(self, key: str) -> StoredObject | None:
        self._traffic.begin(Request("GET", key))
        stored = self._truth.get(key)
        self._traffic.end(len(stored.body) if stored else 0)
        return stored

    def get_if_changed(self, key: str, etag: str) -> StoredObject | NotModified | None:
        self._traffic.begin(Request("GET", key, conditional=True))
        result = self._truth.get_if_changed(key, etag)
        self._traffic.end(len(result.body) if isinstance(result, StoredObject) else 0)
        return result

    def head(self, key: str) -> HeadResult:
        self._traffic.begin(Request("HEAD", key))
        return self._truth.head(key)

    def put(self, key: str, body: bytes, *, replaces: str | None, metadata: Mapping[str, str]) -> str:
        self._traffic.begin(Request("PUT", key, len(body), conditional=True))
        return self._truth.put(key, body, replaces=replaces, metadata=metadata)

    def add(self, key: str, body: bytes) -> None:
        self._traffic.begin(Request("PUT", key, len(body)))
        self._truth.add(key, body)

    def delete(self, keys: Sequence[str]) -> None:
        if keys:
            self._traffic.begin(Request("DELETE", keys[0]))
            self._truth.delete(keys)

    def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Listing:
        self._traffic.begin(Request("LIST", prefix))
        listing = self._truth.list(prefix, after=after, limit=limit)
        self._traffic.end(_LISTED_BYTES * len(listing.objects), is_listing=True)
        return listing

    def folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        self._traffic.begin(Request("LIST", prefix))
        folders = self._truth.folders(prefix, after=after, limit=limit)
        self._traffic.end(_FOLDER_BYTES * len(folders.prefixes), is_listing=True)
        return folders

    def md5(self, key: str, etag: str) -> str:
        self._traffic.begin(Request("GET", key, conditional=True))
        md5 = self._truth.md5(key, etag)
        self._traffic.end(self._truth.objects[key][0].size)
        return md5
