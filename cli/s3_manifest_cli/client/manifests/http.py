"""Manifests read through a deployed HTTP API."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from s3_manifest.http.addressing import address
from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.encoding import facts_from
from s3_manifest.manifest.model import Entry, Facts, NewerManifest, Role, Timestamp, UnreadableManifest, first_problem
from s3_manifest.query.actors import KIND
from s3_manifest.query.stats import CollectionTotals, UnreadableCollection, totals_of
from s3_manifest_cli.client.access.explanations import explain_manifest_error
from s3_manifest_cli.client.access.http_api import HttpApi, Reply, field
from s3_manifest_cli.client.manifests.absent import Connection, no_manifest_error
from s3_manifest_cli.client.manifests.direct import remote_file
from s3_manifest_cli.client.manifests.manifests import Change, Index, Manifest, Segment
from s3_manifest_cli.errors import NotFound, Refused, Unavailable

_PAGE = 1000
_CATALOG_PAGE = 100
_ATTEMPTS = 5
_OTHER_API = "the API answered what this version does not read"
_ROLES: tuple[Role, ...] = ("files", "captions", "hidden")

Shape = TypeVar("Shape", bound=BaseModel)


class HttpManifests:
    """One deployment, through its HTTP API."""

    def __init__(
        self,
        api: HttpApi,
        collections: Collections,
        reached: Connection = Connection(),  # noqa: B008  # it is immutable
    ) -> None:
        self._api = api
        self._collections = collections
        self._reached = reached

    def collections(self) -> Iterator[CollectionTotals | UnreadableCollection]:
        cursor = None
        while True:
            query = {"limit": str(_CATALOG_PAGE)} | ({"cursor": cursor} if cursor else {})
            reply = self._api.ask("GET", "/api/manifests", query)
            try:
                yield from map(totals_of, field(reply, "collections", list))
            except ValidationError as error:
                raise Unavailable(f"{_OTHER_API}: {first_problem(error)}") from error
            except (KeyError, TypeError) as error:
                raise Unavailable(f"{_OTHER_API}: it lacks {error}") from error
            if not (cursor := reply.body.get("cursor")):
                return

    def actor(self, asked: str) -> Collection:
        reply = self._api.ask("GET", *address("/api/actors/{}/training-data", asked))
        if collection := self._collections.named(KIND, field(reply, "actor_name", str)):
            return collection
        raise NotFound(f"there can be no actor {asked}: --collections names no kind {KIND}")

    def facts(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Facts:
        return _facts(collection, self._get(collection, _asked(revision, at) | {"limit": "1"}).body)

    def read(self, collection: Collection, *, revision: int | None = None, at: Timestamp | None = None) -> Manifest:
        asked = _asked(revision, at)
        return self._read(collection, self._get(collection, asked | {"limit": str(_PAGE)}), asked)

    def index(self, collection: Collection, known: Index | None) -> Index:
        headers = {"If-None-Match": f'"{known.etag}"'} if known else {}
        first = self._get(collection, {"limit": str(_PAGE)}, headers=headers)
        if known and first.status == 304:
            return known
        manifest = self._read(collection, first, {})
        entries = sorted((*manifest.files, *manifest.captions, *manifest.hidden), key=lambda entry: entry.filename)
        is_first = manifest.facts.revision == first.body.get("revision")
        etag = first.headers.get("etag", "").strip('"') if is_first else ""
        return Index(manifest.facts, etag, (Segment(None, tuple(map(remote_file, entries))),))

    def changes(self, collection: Collection, since: int, limit: int) -> list[Change]:
        query = {"since": str(since), "limit": str(min(limit, _CATALOG_PAGE))}
        reply = self._api.ask("GET", *address(f"{_path(collection)}/changes", collection.id, query))
        return [_checked(Change, one) for one in field(reply, "changes", list)]

    def rescan(self, collection: Collection) -> Timestamp:
        asked = address(f"{_path(collection)}/rescan", collection.id)
        return field(self._api.ask("POST", *asked), "requested_at", str)

    def rescan_all(self) -> Timestamp:
        return field(self._api.ask("POST", "/api/manifests/rescan"), "requested_at", str)

    def _get(self, collection: Collection, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Reply:
        try:
            return self._api.ask("GET", *address(_path(collection), collection.id, query), headers=headers)
        except NotFound as error:
            # A 404 may also come from a gateway, or be about a revision.
            if not error.message.startswith("there is no manifest of "):
                raise
            raise no_manifest_error(collection, self._reached) from error

    def _read(self, collection: Collection, first: Reply, asked: Mapping[str, str]) -> Manifest:
        """All that is listed, of one revision: the first page's, if it holds so long."""
        for _ in range(_ATTEMPTS):
            try:
                revision = {"revision": str(field(first, "revision", int))}
                listed = {"files": self._rest(collection, first)}
                for role in _ROLES[1:]:
                    query = dict(asked or revision) | {"limit": str(_PAGE), "list": role}
                    listed[role] = self._rest(collection, self._get(collection, query), role)
                return Manifest(_facts(collection, first.body), *(listed[role] for role in _ROLES))
            except (Refused, NotFound):
                # Of a manifest that is begun anew meanwhile, or whose history is not kept, the rest is not to be had.
                first = self._get(collection, dict(asked) | {"limit": str(_PAGE)})
        raise Unavailable(f"{collection.kind}/{collection.id} changes faster than it can be read; try again")

    def _rest(self, collection: Collection, page: Reply, role: Role = "files") -> tuple[Entry, ...]:
        entries = [_checked(Entry, one) for one in field(page, role, list)]
        while cursor := page.body.get("cursor"):
            query = {"limit": str(_PAGE), "cursor": cursor, "list": role}
            page = self._get(collection, query)
            entries += (_checked(Entry, one) for one in field(page, role, list))
        return tuple(entries)


def _asked(revision: int | None, at: Timestamp | None) -> dict[str, str]:
    return {"revision": str(revision)} if revision is not None else {"at": at} if at else {}


def _path(collection: Collection) -> str:
    return f"/api/manifests/{collection.kind}/{{}}"


def _facts(collection: Collection, body: Mapping[str, Any]) -> Facts:
    try:
        facts = facts_from(body)
    except NewerManifest as error:
        raise explain_manifest_error(error) from error
    except UnreadableManifest as error:
        raise Unavailable(f"{_OTHER_API}: {error}") from error
    if (facts.kind, facts.id) != (collection.kind, collection.id):
        # An API that does not read ?id= yet, or something in between that changes paths.
        raise Unavailable(
            f"the API was asked for {collection.kind}/{collection.id} and answered {facts.kind}/{facts.id}: deploy this"
            " version of it, or read the bucket itself (--bucket)"
        )
    return facts


def _checked(shape: type[Shape], fields: object) -> Shape:
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise Unavailable(f"{_OTHER_API}: {first_problem(error)}") from error
