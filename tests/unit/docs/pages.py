"""The project's documents: their text, code blocks, sections and tables."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]
README = PROJECT / "README.md"
CONTRIBUTING = PROJECT / "CONTRIBUTING.md"
PAGES = sorted((PROJECT / "docs").glob("*.md"))
DOCUMENTS = [README, CONTRIBUTING, PROJECT / "CHANGELOG.md", PROJECT / "events" / "README.md", *PAGES]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (PROJECT / "docs" / f"{name}.md").read_text()


def blocks(language: str | None = None) -> list[str]:
    """The code blocks of all documents, in any language or in one."""
    texts = [path.read_text() for path in DOCUMENTS]
    return [block for text in texts for name, block in _FENCE.findall(text) if language in {None, name}]


def commands(beginning: str) -> list[str]:
    """The lines of all code blocks that begin with ``beginning``, each with its continuation lines."""
    lines = [line for block in blocks() for line in block.replace("\\\n", "").splitlines()]
    return [line for line in lines if line.startswith(beginning)]


def code_spans(*documents: Path) -> list[str]:
    """The code in running text and tables of some documents, or of all."""
    texts = [_FENCE.sub("", path.read_text()) for path in documents or DOCUMENTS]
    return [" ".join(span.split()) for text in texts for span in re.findall(r"`([^`]+)`", text)]


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)


def section(text: str, heading: str) -> str:
    """The text below a heading of the second level, up to the next such heading."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each table row of a section, without the tables' heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def example(name: str, heading: str, language: str) -> str:
    """The only code block in this language below a heading of a page."""
    (code,) = (block for kind, block in _FENCE.findall(section(page(name), heading)) if kind == language)
    return code


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
