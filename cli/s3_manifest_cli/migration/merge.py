"""Merges all legacy files: for each collection its title, its generations and its images. Pure.

If manifests disagree about an image, the latest statement wins for each field: that with the later ``updated_at`` (else
the time of its manifest, else of its generation). Among equally old statements, the first format wins (style, actor,
actor's sync manifest), and within a file the last statement. A ``response.json`` is always older than the manifest that
was made from it, so it only adds fields that no manifest has.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.reconcile.delta import oldest_first
from s3_manifest.sidecars.applied import merge_descriptions
from s3_manifest.sidecars.captions import is_image
from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration, SidecarContent
from s3_manifest_cli.migration import places
from s3_manifest_cli.migration.legacy import Document, Format, Problem
from s3_manifest_cli.migration.places import Mention

_DEFAULT_TYPE = GenerationDeclaration.model_fields["type"].default


class Image(NamedTuple):
    """An image that a legacy file names, or that is in the same folder; then it has no ``mentions``.

    ``path`` is its file in the tree, None without one; the mention with the highest precedence comes first.
    """

    filename: str
    path: str | None
    description: FileDescription = FileDescription()
    mentions: tuple[Mention, ...] = ()


@dataclass
class LegacyCollection:
    """What belongs to one collection. ``duplicates`` are other files with the name of one of its images."""

    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()
    images: dict[str, Image] = field(default_factory=dict)
    duplicates: list[Image] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


class LegacyData(NamedTuple):
    """The content of a tree by collection, and what could not be read."""

    collections: dict[Collection, LegacyCollection]
    problems: tuple[Problem, ...]


def merge(documents: Sequence[Document], paths: Iterable[str], collections: Collections) -> LegacyData:
    """Merges documents; ``paths`` are all files of the tree."""
    return _Merger(documents, paths, collections).run()


class _Merger:
    """``owners`` maps documents, and ``image_places`` image files, to where they belong.

    A folder belongs to an actor, or to the only one of its ``folder_owners``: the collections with images in it.
    """

    def __init__(self, documents: Sequence[Document], paths: Iterable[str], collections: Collections) -> None:
        self.paths = sorted(paths)
        self.files = places.Files(self.paths)
        self.collections = collections
        self.documents = {document.path: document for document in documents}
        self.problems = [Problem(document.path, problem) for document in documents for problem in document.problems]
        self.owners: dict[str, Collection] = {}
        self.actors: dict[str, Collection] = {}
        self.mentions: dict[Collection, dict[str, list[Mention]]] = defaultdict(lambda: defaultdict(list))
        self.image_places: dict[str, tuple[Collection, str]] = {}
        self.folder_owners: dict[str, set[Collection]] = defaultdict(set)
        self.base_images: set[str] = set()

    def run(self) -> LegacyData:
        responses = [document for document in self.documents.values() if document.format is Format.RESPONSE]
        manifests = [document for document in self.documents.values() if document.format is not Format.RESPONSE]
        actors = {path.split("/")[2] for path in (*self.paths, *self.documents) if _is_in_actor_folder(path)}
        actors |= {name for document in manifests if document.kind == "actor" for name in document.ids}
        for document in sorted(manifests, key=lambda document: document.format):
            try:
                self._add_manifest(document, places.collection_of(document, self.collections, actors))
            except places.InvalidReference as error:
                if not document.problems:
                    self._report(document.path, error)
        for path, (collection, _) in self.image_places.items():
            self.folder_owners[posixpath.dirname(path)].add(collection)
        for document in responses:
            self._add_response(document)
        merged: dict[Collection, LegacyCollection] = defaultdict(LegacyCollection)
        for path, collection in self.owners.items():
            merged[collection].documents.append(self.documents[path])
        for collection, by_name in self.mentions.items():
            merged[collection].images = {filename: _image(filename, mentions) for filename, mentions in by_name.items()}
        for collection, legacy in merged.items():
            _set_title_and_generations(collection, legacy)
        self._add_orphans(merged)
        return LegacyData(dict(merged), tuple(self.problems))

    def _report(self, path: str, error: places.InvalidReference, where: str = "") -> None:
        self.problems.append(Problem(path, f"{where}: {error}" if where else str(error)))

    @contextmanager
    def _reporting(self, path: str, where: str = "") -> Iterator[None]:
        """Ends the block at an invalid reference, which becomes a problem of the file at that path."""
        try:
            yield
        except places.InvalidReference as error:
            self._report(path, error, where)

    def _add_manifest(self, document: Document, collection: Collection) -> None:
        self.owners[document.path] = collection
        if document.format is Format.ACTOR:
            self.actors[document.path.split("/")[2]] = collection
        if document.base_image:
            with suppress(places.InvalidReference):
                candidates = places.candidate_paths(document.base_image, posixpath.dirname(document.path))
                self.base_images |= {file for path in candidates if (file := self.files.find(path))}
        for record in document.records:
            with self._reporting(document.path, record.where):
                filename = places.filename_of(record, collection, self.collections)
                try:
                    mention = places.locate(record, document, filename, collection, self.files)
                except places.InvalidReference as error:
                    self._report(document.path, error, record.where)
                    without_path = record.model_copy(update={"path": None})
                    mention = places.locate(without_path, document, filename, collection, self.files)
                self._add_mention(mention, collection, filename)

    def _add_response(self, document: Document) -> None:
        folder = posixpath.dirname(document.path)
        for record in document.records:
            named = f"{folder}/{record.filename}"
            path = self.files.find(named) or self._only_image(folder, document)
            place = self._place(path or named)
            if place is None:
                continue
            collection, filename = place
            self.owners.setdefault(document.path, collection)
            # An image of the response that is neither on disk nor in a manifest was not kept.
            if path or filename in self.mentions[collection]:
                with self._reporting(document.path, record.where):
                    places.check_filename(filename, collection, self.collections)
                    self._add_mention(Mention(document, record, path, None), collection, filename)

    def _add_mention(self, mention: Mention, collection: Collection, filename: str) -> None:
        self.mentions[collection][filename].append(mention)
        if mention.path:
            self.image_places.setdefault(mention.path, (collection, filename))

    def _only_image(self, folder: str, document: Document) -> str | None:
        """The only image in the folder of a response with one output, which was saved under another name."""
        images = [path for path in self.paths if posixpath.dirname(path) == folder and is_image(path.lower())]
        return images[0] if len(images) == len(document.records) == 1 else None

    def _place(self, path: str) -> tuple[Collection, str] | None:
        """The collection and the filename of an image; those of its folder unless a manifest names it."""
        if path in self.image_places:
            return self.image_places[path]
        if _is_in_actor_folder(path):
            _, _, actor, below = path.split("/", 3)
            owner = self.actors.get(actor) or self.collections.lookup("actor", actor)
            if owner and below.startswith(places.TRAINING):
                return owner, below.removeprefix(places.TRAINING)
        folder, filename = posixpath.split(path)
        owners = self.folder_owners.get(folder, set())
        return (next(iter(owners)), filename) if len(owners) == 1 else None

    def _add_orphans(self, merged: dict[Collection, LegacyCollection]) -> None:
        chosen = {image.path for legacy in merged.values() for image in legacy.images.values()}
        for path in self.paths:
            if path in chosen or path in self.base_images or not is_image(path.lower()):
                continue
            if place := self._place(path):
                collection, filename = place
                with self._reporting(path):
                    places.check_filename(filename, collection, self.collections)
                    legacy = merged[collection]
                    if filename in legacy.images:
                        legacy.duplicates.append(Image(filename, path))
                    else:
                        legacy.images[filename] = Image(filename, path)


def _is_in_actor_folder(path: str) -> bool:
    return path.startswith(places.ACTORS) and path.count("/") > 2


def _image(filename: str, mentions: list[Mention]) -> Image:
    def precedence(mention: Mention) -> tuple[bool, str, int]:
        return mention.document.format is not Format.RESPONSE, mention.record.at or "", -mention.document.format

    ordered = sorted(mentions, key=precedence)[::-1]  # among equals, the last one comes first
    path = next((mention.path for mention in ordered if mention.path), None)
    sidecars = [SidecarContent(files={filename: mention.record.description}) for mention in ordered]
    local_path = path or next((mention.declared for mention in ordered if mention.declared), None)
    description = merge_descriptions(filename, sidecars).model_copy(update={"local_path": local_path})
    return Image(filename, path, description, tuple(ordered))


def _set_title_and_generations(collection: Collection, legacy: LegacyCollection) -> None:
    """The latest statement wins."""
    latest = sorted(legacy.documents, key=lambda document: (document.at or "", -document.format), reverse=True)
    titles = (document.title for document in latest if document.title and document.title != collection.id)
    legacy.title = next(titles, None)
    descriptions = [image.description for image in legacy.images.values()]
    used = {(entry.generation_id, entry.generation_type or _DEFAULT_TYPE) for entry in descriptions}
    declared: dict[tuple[int | str, str], GenerationDeclaration] = {}
    for document in latest:
        for generation in document.generations:
            identity = generation.generation_id, generation.type
            if document.format is not Format.RESPONSE or identity in used:
                declared.setdefault(identity, generation)
    legacy.generations = oldest_first(declared.values())
