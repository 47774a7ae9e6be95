"""Merges all legacy files: for each collection its title, its generations and its images. Pure.

If manifests disagree about an image, the latest statement wins for each field: that with the later ``updated_at`` (else
the time of its manifest, else of its generation). Among equally old statements, the first format wins (style, actor,
actor's sync manifest), and within a file the last statement. A ``response.json`` is always older than the manifest that
was made from it, so it only adds fields that no manifest has.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Timestamp
from s3_manifest.sidecars.captions import is_image
from s3_manifest.sidecars.content import FileDescription, GenerationDeclaration, SidecarContent
from s3_manifest.sidecars.overrides import merge_descriptions
from s3_manifest_cli.migration import places
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord, Problem

_DEFAULT_TYPE = GenerationDeclaration.model_fields["type"].default


class Mention(NamedTuple):
    """One record of one document, with the path of its file and the path that it declares, if any."""

    document: Document
    record: ImageRecord
    path: str | None
    declared: str | None


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
    """``owners`` maps documents, and ``image_places`` image files, to where they belong."""

    def __init__(self, documents: Sequence[Document], paths: Iterable[str], collections: Collections) -> None:
        self.paths = sorted(paths)
        self.files = places.Files(self.paths)
        self.collections = collections
        self.documents = {document.path: document for document in documents}
        self.problems: list[Problem] = []
        self.owners: dict[str, Collection] = {}
        self.mentions: dict[Collection, dict[str, list[Mention]]] = defaultdict(lambda: defaultdict(list))
        self.image_places: dict[str, tuple[Collection, str]] = {}
        self.base_images: set[str] = set()

    def run(self) -> LegacyData:
        documents = self.documents.values()
        for document in documents:
            for problem in document.problems:
                self._add_problem(document, problem)
        manifests = sorted(
            (document for document in documents if document.format is not Format.RESPONSE),
            key=lambda document: document.format,
        )
        actors = {path.split("/")[2] for path in (*self.paths, *self.documents) if _is_in_actor_folder(path)}
        actors |= {name for document in manifests if document.kind == "actor" for name in document.ids}
        for document in manifests:
            self._add_manifest(document, actors)
        folders = _Folders(self)
        for document in documents:
            if document.format is Format.RESPONSE:
                self._add_response(document, folders)
        merged: dict[Collection, LegacyCollection] = defaultdict(LegacyCollection)
        for path, collection in self.owners.items():
            merged[collection].documents.append(self.documents[path])
        for collection, by_name in self.mentions.items():
            for filename, mentions in by_name.items():
                merged[collection].images[filename] = _image(filename, mentions)
        for collection, legacy in merged.items():
            _set_title_and_generations(collection, legacy)
        self._add_orphans(folders, merged)
        return LegacyData(dict(merged), tuple(self.problems))

    def _add_problem(self, document: Document, problem: object, where: str = "") -> None:
        self.problems.append(Problem(path=document.path, problem=f"{where}: {problem}" if where else str(problem)))

    def _add_manifest(self, document: Document, actors: set[str]) -> None:
        try:
            collection = places.collection_of(document, self.collections, actors)
        except places.InvalidReference as error:
            if not document.problems:
                self._add_problem(document, error)
            return
        self.owners[document.path] = collection
        self._add_base_image(document)
        for record in document.records:
            try:
                filename = places.filename_of(record, collection, self.collections)
            except places.InvalidReference as error:
                self._add_problem(document, error, record.where)
                continue
            try:
                location = places.locate(record, document, filename, collection, self.files)
            except places.InvalidReference as error:
                self._add_problem(document, error, record.where)
                without_paths = record.model_copy(update={"paths": ()})
                location = places.locate(without_paths, document, filename, collection, self.files)
            self._add_mention(Mention(document, record, *location), collection, filename)

    def _add_base_image(self, document: Document) -> None:
        if document.base_image:
            try:
                candidates = places.candidate_paths(document.base_image, posixpath.dirname(document.path))
            except places.InvalidReference:
                return
            self.base_images |= {file for path in candidates if (file := self.files.find(path))}

    def _add_response(self, document: Document, folders: "_Folders") -> None:
        folder = posixpath.dirname(document.path)
        for record in document.records:
            path = self.files.find(f"{folder}/{record.filename}") or self._only_image(folder, document)
            place = (self.image_places.get(path) if path else None) or folders.place(
                path or f"{folder}/{record.filename}"
            )
            if place is None:
                continue
            collection, filename = place
            self.owners.setdefault(document.path, collection)
            if path is None and filename not in self.mentions[collection]:
                continue  # an image of the response that was not kept
            try:
                places.check_filename(filename, collection, self.collections)
            except places.InvalidReference as error:
                self._add_problem(document, error, record.where)
                continue
            self._add_mention(Mention(document, record, path, None), collection, filename)

    def _add_mention(self, mention: Mention, collection: Collection, filename: str) -> None:
        self.mentions[collection][filename].append(mention)
        if mention.path:
            self.image_places.setdefault(mention.path, (collection, filename))

    def _only_image(self, folder: str, document: Document) -> str | None:
        """The only image in the folder of a response with one output, which was saved under another name."""
        images = [path for path in self.paths if posixpath.dirname(path) == folder and is_image(path.lower())]
        return images[0] if len(images) == len(document.records) == 1 else None

    def _add_orphans(self, folders: "_Folders", merged: dict[Collection, LegacyCollection]) -> None:
        chosen = {image.path for legacy in merged.values() for image in legacy.images.values() if image.path}
        for path in self.paths:
            if path in chosen or path in self.base_images or not is_image(path.lower()):
                continue
            place = self.image_places.get(path) or folders.place(path)
            if place is None:
                continue
            collection, filename = place
            try:
                places.check_filename(filename, collection, self.collections)
            except places.InvalidReference as error:
                self.problems.append(Problem(path=path, problem=str(error)))
                continue
            if filename in merged[collection].images:
                merged[collection].duplicates.append(Image(filename, path))
            else:
                merged[collection].images[filename] = Image(filename, path)


class _Folders:
    """The owners of folders: an actor, or the only collection that has images in it."""

    def __init__(self, merger: _Merger) -> None:
        self._collections = merger.collections
        self._owners: dict[str, set[Collection]] = defaultdict(set)
        for path, (collection, _) in merger.image_places.items():
            self._owners[posixpath.dirname(path)].add(collection)
        self._actors = {
            path.split("/")[2]: collection
            for path, collection in merger.owners.items()
            if merger.documents[path].format is Format.ACTOR
        }

    def place(self, path: str) -> tuple[Collection, str] | None:
        """The collection that the folder of a file belongs to, and the filename there."""
        owners = self._owners.get(posixpath.dirname(path), set())
        if _is_in_actor_folder(path):
            _, _, actor, below = path.split("/", 3)
            owner = self._actors.get(actor) or self._collections.lookup("actor", actor)
            if owner and below.startswith(places.TRAINING):
                return owner, below.removeprefix(places.TRAINING)
        return (next(iter(owners)), posixpath.basename(path)) if len(owners) == 1 else None


def _is_in_actor_folder(path: str) -> bool:
    return path.startswith(places.ACTORS) and path.count("/") > 2


def _image(filename: str, mentions: list[Mention]) -> Image:
    order = {id(mention): index for index, mention in enumerate(mentions)}

    def precedence(mention: Mention) -> tuple[bool, str, int, int]:
        is_response = mention.document.format is Format.RESPONSE
        return not is_response, mention.record.at or "", -mention.document.format, order[id(mention)]

    ordered = sorted(mentions, key=precedence, reverse=True)
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
    legacy.generations = tuple(sorted(declared.values(), key=_by_time))


def _by_time(generation: GenerationDeclaration) -> tuple[Timestamp, str, str]:
    return generation.generated_at, generation.type, str(generation.generation_id)
