"""The documents' links: every file and every heading that a relative link names exists."""

import re

import pytest
from unit.docs.pages import DOCUMENTS, PAGES, PROJECT, README, headings, without_code

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")


def links(document):
    targets = LINK.findall(without_code(document.read_text()))
    return [target for target in targets if not re.match(r"\w+:", target)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_every_relative_link_leads_to_a_file_and_a_heading(document):
    for target in links(document):
        path, _, fragment = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        if fragment:
            assert fragment in [anchor(heading) for heading in headings(file.read_text())], target


def test_every_page_is_reached_from_the_readme():
    reached, unread = set(), {README.resolve()}
    while unread:
        document = unread.pop()
        reached.add(document)
        targets = {(document.parent / target.partition("#")[0]).resolve() for target in links(document)}
        unread |= {path for path in targets if path.suffix == ".md"} - reached
    assert {path.resolve() for path in PAGES} <= reached


def test_the_readme_has_at_most_200_lines():
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_no_heading_occurs_twice_on_a_page(page):
    anchors = [anchor(heading) for heading in headings(page.read_text())]
    assert len(set(anchors)) == len(anchors)
