"""What all legacy files say together: for each collection its title, its generations and its images.

Pure. Where two manifests say different things of one image, the latest word counts for each field: the
one with the later ``updated_at`` (else the manifest's, else the time of the generation); of words as old as
each other that of the kind of manifest that comes first (style, actor, actor's sync manifest), and within
a file the last. A ``response.json`` is always older than the manifest that was made from it, so it only
fills in what no manifest says.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, Collections
from s3_manifest.manifest.model import Timestamp
from s3_manifest.sidecars.formats import (
    FileDescription,
    GenerationDeclaration,
    SidecarContent,
    description_of,
    is_image,
)
from s3_manifest_cli.migration import places
from s3_manifest_cli.migration.legacy import Document, Format, ImageRecord, Problem

_UNTYPED = GenerationDeclaration.model_fields["type"].default
"""The type of a generation that has none."""


class Mention(NamedTuple):
    """One claim, of one document, and where the file is that it means."""

    document: Document
    claim: ImageRecord
    path: str | None
    named: str | None


class Image(NamedTuple):
    """An image that a legacy file names, or that lies among those (then it has no ``words``).

    ``path`` is its file in the tree, None where it has none; ``words`` has the one that counts most first.
    """

    filename: str
    path: str | None
    said: FileDescription = FileDescription()
    words: tuple[Mention, ...] = ()


@dataclass
class LegacyCollection:
    """What belongs to one collection. ``documents`` are the files that tell of it."""

    title: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()
    images: dict[str, Image] = field(default_factory=dict)
    doubles: list[Image] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


class LegacyData(NamedTuple):
    """What the tree says, by collection, and what of it could not be read."""

    collections: dict[Collection, LegacyCollection]
    problems: tuple[Problem, ...]


class _Gathering:
    def __init__(self, documents: Sequence[Document], paths: Iterable[str], collections: Collections) -> None:
        self.paths = sorted(paths)
        self.files = places.Files(self.paths)
        self.collections = collections
        self.problems: list[Problem] = []
        self.documents = {document.path: document for document in documents}
        self.owners: dict[str, Collection] = {}
        self.words: dict[Collection, dict[str, list[Mention]]] = defaultdict(lambda: defaultdict(list))
        self.taken: dict[str, tuple[Collection, str]] = {}
        self.spare: set[str] = set()

    def blame(self, document: Document, problem: object, where: str = "") -> None:
        self.problems.append(Problem(path=document.path, problem=f"{where}: {problem}" if where else str(problem)))


def merge(documents: Sequence[Document], paths: Iterable[str], collections: Collections) -> LegacyData:
    """What these documents say of the files with these ``paths``, which are all there are in the tree."""
    doing = _Gathering(documents, paths, collections)
    for document in documents:
        for problem in document.problems:
            doing.blame(document, problem)
    manifests = sorted((one for one in documents if one.format is not Format.RESPONSE), key=lambda one: one.format)
    actors = {path.split("/")[2] for path in (*doing.paths, *(one.path for one in documents)) if _is_actors(path)}
    actors |= {name for one in manifests if one.kind == "actor" for name in one.ids}
    for document in manifests:
        _take_manifest(doing, document, actors)
    folders = _Folders(doing)
    for document in documents:
        if document.format is Format.RESPONSE:
            _take_response(doing, document, folders)
    gathered: dict[Collection, LegacyCollection] = defaultdict(LegacyCollection)
    for path, collection in doing.owners.items():
        gathered[collection].documents.append(doing.documents[path])
    for collection, by_name in doing.words.items():
        for filename, words in by_name.items():
            gathered[collection].images[filename] = _image(filename, words)
    for collection, one in gathered.items():
        _take_heading(collection, one)
    _take_orphans(doing, folders, gathered)
    return LegacyData(dict(gathered), tuple(doing.problems))


def _is_actors(path: str) -> bool:
    return path.startswith(places.ACTORS) and path.count("/") > 2


def _take_manifest(doing: _Gathering, document: Document, actors: set[str]) -> None:
    try:
        collection = places.collection_of(document, doing.collections, actors)
    except places.InvalidReference as error:
        if not document.problems:
            doing.blame(document, error)
        return
    doing.owners[document.path] = collection
    if document.base_image:
        doing.spare |= set(_existing(doing, document.base_image, document))
    for claim in document.claims:
        try:
            filename = places.filename_of(claim, collection, doing.collections)
        except places.InvalidReference as error:
            doing.blame(document, error, claim.where)
            continue
        try:
            path, named = places.local_file(claim, document, filename, collection, doing.files)
        except places.InvalidReference as error:
            doing.blame(document, error, claim.where)
            nowhere = claim.model_copy(update={"paths": ()})
            path, named = places.local_file(nowhere, document, filename, collection, doing.files)
        doing.words[collection][filename].append(Mention(document, claim, path, named))
        if path:
            doing.taken.setdefault(path, (collection, filename))


def _existing(doing: _Gathering, path: str, document: Document) -> Iterator[str]:
    try:
        found = places.within(path, posixpath.dirname(document.path))
    except places.InvalidReference:
        return
    yield from (file for place in found if (file := doing.files.find(place)))


class _Folders:
    """Whose the folders are: an actor's, or those of the one collection whose images lie in them."""

    def __init__(self, doing: _Gathering) -> None:
        self._collections = doing.collections
        self._owners: dict[str, set[Collection]] = defaultdict(set)
        for path, (collection, _) in doing.taken.items():
            self._owners[posixpath.dirname(path)].add(collection)
        self._actors = {
            path.split("/")[2]: collection
            for path, collection in doing.owners.items()
            if doing.documents[path].format is Format.ACTOR
        }

    def place(self, path: str) -> tuple[Collection, str] | None:
        """The collection that a file is in, to go by its folder, and its filename there."""
        owners = self._owners.get(posixpath.dirname(path), set())
        if _is_actors(path):
            _, _, actor, below = path.split("/", 3)
            owner = self._actors.get(actor) or self._collections.named("actor", actor)
            if owner and below.startswith(places.TRAINING):
                return owner, below.removeprefix(places.TRAINING)
        return (next(iter(owners)), posixpath.basename(path)) if len(owners) == 1 else None


def _take_response(doing: _Gathering, document: Document, folders: _Folders) -> None:
    folder = posixpath.dirname(document.path)
    for claim in document.claims:
        path = doing.files.find(f"{folder}/{claim.filename}") or _only_image(doing, folder, document)
        placed = (doing.taken.get(path) if path else None) or folders.place(path or f"{folder}/{claim.filename}")
        if placed is None:
            continue
        collection, filename = placed
        doing.owners.setdefault(document.path, collection)
        if path is None and filename not in doing.words[collection]:
            continue  # the answer named it, and nobody kept it
        try:
            places.checked(filename, collection, doing.collections)
        except places.InvalidReference as error:
            doing.blame(document, error, claim.where)
            continue
        doing.words[collection][filename].append(Mention(document, claim, path, None))
        if path:
            doing.taken.setdefault(path, placed)


def _only_image(doing: _Gathering, folder: str, document: Document) -> str | None:
    """The one image in the folder of an answer with one output: it was saved under another name."""
    beside = [path for path in doing.paths if posixpath.dirname(path) == folder and is_image(path.lower())]
    return beside[0] if len(beside) == len(document.claims) == 1 else None


def _image(filename: str, words: list[Mention]) -> Image:
    order = {id(word): index for index, word in enumerate(words)}

    def weight(word: Mention) -> tuple[bool, str, int, int]:
        is_response = word.document.format is Format.RESPONSE
        return not is_response, word.claim.at or "", -word.document.format, order[id(word)]

    ordered = sorted(words, key=weight, reverse=True)
    path = next((word.path for word in ordered if word.path), None)
    said = description_of(filename, [SidecarContent(files={filename: word.claim.said}) for word in ordered])
    local_path = path or next((word.named for word in ordered if word.named), None)
    return Image(filename, path, said.model_copy(update={"local_path": local_path}), tuple(ordered))


def _take_heading(collection: Collection, gathered: LegacyCollection) -> None:
    """The title and the generations: of each the latest word."""
    latest = sorted(gathered.documents, key=lambda one: (one.at or "", -one.format), reverse=True)
    titles = (one.title for one in latest if one.title and one.title != collection.id)
    gathered.title = next(titles, None)
    said = [image.said for image in gathered.images.values()]
    used = {(one.generation_id, one.generation_type or _UNTYPED) for one in said}
    declared: dict[tuple[int | str, str], GenerationDeclaration] = {}
    for document in latest:
        for one in document.generations:
            identity = one.generation_id, one.type
            if document.format is not Format.RESPONSE or identity in used:
                declared.setdefault(identity, one)
    gathered.generations = tuple(sorted(declared.values(), key=_by_time))


def _by_time(generation: GenerationDeclaration) -> tuple[Timestamp, str, str]:
    return generation.generated_at, generation.type, str(generation.generation_id)


def _take_orphans(doing: _Gathering, folders: _Folders, gathered: dict[Collection, LegacyCollection]) -> None:
    chosen = {image.path for one in gathered.values() for image in one.images.values() if image.path}
    for path in doing.paths:
        if path in chosen or path in doing.spare or not is_image(path.lower()):
            continue
        placed = doing.taken.get(path) or folders.place(path)
        if placed is None:
            continue
        collection, filename = placed
        try:
            places.checked(filename, collection, doing.collections)
        except places.InvalidReference as error:
            doing.problems.append(Problem(path=path, problem=str(error)))
            continue
        if filename in gathered[collection].images:
            gathered[collection].doubles.append(Image(filename, path))
        else:
            gathered[collection].images[filename] = Image(filename, path)
