"""Reads manifests through a deployed HTTP API."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import ValidationError

from s3_manifest.http.addressing import NO_MANIFEST, address
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.encoding import decode_facts
from s3_manifest.manifest.model import Entry, Facts, NewerManifest, Role, Timestamp, UnreadableManifest, first_problem
from s3_manifest.query.actors import KIND
from s3_manifest.query.catalog import UnreadableBucket
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection, totals_of
from s3_manifest_cli.client.access.explanations import explain_error
from s3_manifest_cli.client.access.http_api import HttpApi, Response, field, parse, unreadable_response
from s3_manifest_cli.client.manifests.manifests import (
    ROLES,
    UNNAMED,
    Admit,
    Change,
    Connection,
    Index,
    ListedHead,
    Manifest,
    Segment,
    admit_all,
)
from s3_manifest_cli.errors import NotFound, Refused, S3ManifestError, Unavailable

_PAGE = 1000
_CATALOG_PAGE = 100
_ATTEMPTS = 5


class HttpManifests:
    """The manifests of one deployment."""

    def __init__(self, api: HttpApi, collections: Collections, connection: Connection = UNNAMED) -> None:
        self.api = api
        self.admit: Admit = admit_all
        self._collections = collections
        self._connection = connection

    def collections(self) -> Iterator[CollectionTotals | UnreadableCollection | UnreadableBucket]:
        cursor = None
        while True:
            query = {"limit": str(_CATALOG_PAGE)} | ({"cursor": cursor} if cursor else {})
            response = self.api.request("GET", "/api/manifests", query)
            try:
                yield from map(totals_of, field(response, "collections", list))
                yield from map(UnreadableBucket.model_validate, response.body.get("problems", ()))
            except ValidationError as error:
                raise unreadable_response(first_problem(error)) from error
            except (KeyError, TypeError) as error:
                raise unreadable_response(f"it lacks {error}") from error
            if not (cursor := response.body.get("cursor")):
                return

    def list_heads(self, kinds: Sequence[str]) -> dict[str, list[ListedHead] | S3ManifestError]:
        heads: dict[str, list[ListedHead]] = {kind: [] for kind in kinds}
        failures: dict[str, S3ManifestError] = {}
        try:
            for entry in self.collections():
                if isinstance(entry, UnreadableBucket):
                    failures[entry.kind] = Unavailable(f"bucket {entry.s3_bucket}: {entry.problem}")
                elif entry.kind in heads and (collection := self._collections.lookup(entry.kind, entry.id)):
                    heads[entry.kind].append(ListedHead(collection, None))
        except S3ManifestError as error:
            failures = dict.fromkeys(kinds, error)
        return {kind: failures.get(kind, found) for kind, found in heads.items()}

    def actor(self, name: str) -> Collection:
        response = self.api.request("GET", *address("/api/actors/{}/training-data", name))
        if collection := self._collections.lookup(KIND, field(response, "actor_name", str)):
            return collection
        raise NotFound(f"There can be no actor {name}.", remedy=f"Add the kind {KIND} to --collections.")

    def facts(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Facts:
        return _facts(collection, self._get(collection, _revision_query(revision, at) | {"limit": "1"}))

    def read(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Manifest:
        query = _revision_query(revision, at)
        return self._read(collection, self._get(collection, query | {"limit": str(_PAGE)}), query)

    def index(self, collection: Collection, known: Index | None) -> Index:
        headers = {"If-None-Match": f'"{known.etag}"'} if known else {}
        first = self._get(collection, {"limit": str(_PAGE)}, headers=headers)
        if known and first.status == 304:
            return known
        manifest = self._read(collection, first, {})
        is_first = manifest.facts.revision == first.body.get("revision")
        etag = first.headers.get("etag", "").strip('"') if is_first else ""
        return Index(manifest.facts, etag, (Segment.from_entries(manifest.entries.values()),))

    def changes(self, collection: Collection, since: int, limit: int) -> list[Change]:
        query = {"since": str(since), "limit": str(min(limit, _CATALOG_PAGE))}
        response = self.api.request("GET", *_address(collection, query, "/changes"))
        return [parse(Change, fields) for fields in field(response, "changes", list)]

    def rescan(self, collection: Collection) -> Timestamp:
        return field(self.api.request("POST", *_address(collection, {}, "/rescan")), "requested_at", str)

    def rescan_all(self) -> Timestamp:
        return field(self.api.request("POST", "/api/manifests/rescan"), "requested_at", str)

    def _get(
        self, collection: Collection, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Response:
        try:
            return self.api.request("GET", *_address(collection, query), headers=headers)
        except NotFound as error:
            # A 404 may also come from a gateway, or be about a revision.
            if not error.message.startswith(NO_MANIFEST):
                raise
            raise self._connection.no_manifest(collection) from error

    def _read(self, collection: Collection, first: Response, query: Mapping[str, str]) -> Manifest:
        """All entries of one revision: that of the first page, if it does not expire meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                self.admit(_facts(collection, first).total_files)
                revision = {"revision": str(field(first, "revision", int))}
                entries = {"files": self._remaining(collection, first)}
                for role in ROLES[1:]:
                    page = self._get(collection, dict(query or revision) | {"limit": str(_PAGE), "list": role})
                    entries[role] = self._remaining(collection, page, role)
                return Manifest(_facts(collection, first), *(entries[role] for role in ROLES))
            except (Refused, NotFound):
                # The manifest was rebuilt meanwhile, or its history is not kept: the other pages are gone.
                first = self._get(collection, dict(query) | {"limit": str(_PAGE)})
        name = f"{collection.kind}/{collection.id}"
        raise Unavailable(f"{name} changes faster than it can be read.", remedy="Repeat the command in a minute.")

    def _remaining(self, collection: Collection, page: Response, role: Role = "files") -> tuple[Entry, ...]:
        """The entries of this page and of those after it."""
        entries = [parse(Entry, fields) for fields in field(page, role, list)]
        while cursor := page.body.get("cursor"):
            page = self._get(collection, {"limit": str(_PAGE), "cursor": cursor, "list": role})
            entries += (parse(Entry, fields) for fields in field(page, role, list))
        return tuple(entries)


def _revision_query(revision: int | None, at: Timestamp | None) -> dict[str, str]:
    return {"revision": str(revision)} if revision is not None else {"at": at} if at else {}


def _address(collection: Collection, query: Mapping[str, str], route: str = "") -> tuple[str, Mapping[str, str]]:
    return address(f"/api/manifests/{collection.kind}/{{}}{route}", collection.id, query)


def _facts(collection: Collection, response: Response) -> Facts:
    try:
        facts = decode_facts(response.body)
    except NewerManifest as error:
        raise explain_error(error) from error
    except UnreadableManifest as error:
        raise unreadable_response(str(error)) from error
    if (facts.kind, facts.id) != (collection.kind, collection.id):
        # The API is too old for ?id=, or a proxy changes paths.
        raise Unavailable(
            f"The API was asked for {collection.kind}/{collection.id} and answered {facts.kind}/{facts.id}.",
            remedy="Deploy this version of the stack, or read the bucket itself (--bucket).",
        )
    return facts
