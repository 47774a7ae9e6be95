"""What legacy files say, as frozen values."""

from enum import IntEnum

from s3_manifest.manifest.model import Frozen, Timestamp
from s3_manifest.sidecars.formats import FileDescription, GenerationDeclaration


class Format(IntEnum):
    """The kinds of legacy files; of equally old words the first one's count."""

    STYLE = 0
    ACTOR = 1
    ACTOR_SYNC = 2
    RESPONSE = 3


class ImageRecord(Frozen):
    """What a legacy file says of one image.

    ``where`` is its place in the file, ``at`` when this was said. ``paths`` are local ones, as they
    stand there: not to be trusted, no more than ``key`` and ``filename``. ``status`` is the sync
    status that it claims.
    """

    where: str
    at: Timestamp | None = None
    key: str | None = None
    url: str | None = None
    filename: str | None = None
    paths: tuple[str, ...] = ()
    md5: str | None = None
    status: str | None = None
    said: FileDescription = FileDescription()


class Document(Frozen):
    """One legacy file. ``ids`` are the names it has for its style or actor, the most telling first.

    ``problems`` are what could not be read of it; the rest counts.
    """

    path: str
    format: Format
    ids: tuple[str, ...] = ()
    title: str | None = None
    at: Timestamp | None = None
    base_image: str | None = None
    generations: tuple[GenerationDeclaration, ...] = ()
    claims: tuple[ImageRecord, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of collection that it speaks of; of a response the folder tells."""
        return "style" if self.format is Format.STYLE else "actor"


class Problem(Frozen):
    """What is wrong with one file of the tree, or one object."""

    path: str
    problem: str
