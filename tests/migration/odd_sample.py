"""``PYTHONPATH=tests python -m migration.odd_sample FOLDER``: the small tree that is shipped, with its odd cases.

Each case is an actor or a style of its own, so that one does not hide another.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.legacy_sample import (
    BUCKET,
    DIFFERENT,
    LOCAL,
    MISSING,
    ORPHAN,
    REMOTE,
    SYNCED,
    Sample,
    actor_prefix,
    digest,
    sample,
)
from benchmarks.legacy_truth import Fact, Truth

LONG = "a very long walk through a very long street, " * 60
STRANGE = "Größe 🎨 «façade»\nline two\ttabbed, \"quoted\" 'and' \\ back"


class Actor:
    """One odd actor: its names, and its images put where they are."""

    def __init__(self, made: Sample, number: int, what: str, title: str | None = None) -> None:
        self.made, self.name = made, f"{number}_{what}"
        self.prefix, self.folder = actor_prefix(self.name), f"data/actors/{self.name}/training_data"
        self.truth = made.truth[self.prefix] = Truth(title=title)

    def image(self, status: str, name: str, path: str | None = None, **fact: Any) -> str:
        """An image, and its MD5."""
        return self.made.place(status, self.prefix, name, f"{self.folder}/{path or name}", fact) or ""

    def manifest(self, images: object, **more: object) -> None:
        """The actor's own manifest."""
        self.made.document(f"{self.folder}/manifest.json", {"actor_name": self.name, "images": images} | more)

    def sync(self, images: object, **more: object) -> None:
        """Its manifest of what is where."""
        path = f"data/actor_manifests/{self.name}_manifest.json"
        self.made.document(path, {"actor_id": self.name, "images": images} | more)

    def broken(self) -> None:
        """Something is wrong with its own manifest."""
        self.made.broken.add(f"{self.folder}/manifest.json")


def shipped() -> Sample:
    """The tree that is under ``tests/migration/legacy_tree``."""
    made = sample(actors=44, images=230, seed=7, styles=9)
    for case in (_unreadable, _empty, _words, _verdicts, _disagreeing, _misnamed, _answers, _sync, _style_cases):
        case(made)
    return made


def _unreadable(made: Sample) -> None:
    cut = Actor(made, 9001, "cut_short")
    cut.image(ORPHAN, "a.png")
    made.files[f"{cut.folder}/manifest.json"] = b'{"actor_name": "9001_cut_short", "images": [{"filename": "a.p'
    cut.broken()
    latin = Actor(made, 9002, "latin_1")
    latin.image(ORPHAN, "a.png")
    made.files[f"{latin.folder}/manifest.json"] = '{"actor_name": "9002_latin_1", "images": ["größe"]}'.encode(
        "latin-1"
    )
    latin.broken()
    partly = Actor(made, 9003, "partly_wrong")
    partly.image(LOCAL, "a.png", prompt="of the good entry")
    partly.image(LOCAL, "b.png")
    entries = [{"filename": "a.png", "prompt": "of the good entry"}, {"filename": "b.png", "prompt": 42}, 7, {}]
    partly.manifest(entries)
    partly.broken()


def _empty(made: Sample) -> None:
    for number, body in enumerate((b"{}", b"", b'{"images": []}', b'{"generations": [], "images": null}')):
        empty = Actor(made, 9010 + number, "empty")
        made.files[f"{empty.folder}/manifest.json"] = body
        if not body:
            empty.broken()
    made.files["data/actor_manifests/9011_empty_manifest.json"] = b"[]"


def _words(made: Sample) -> None:
    words = Actor(made, 9020, "strange_words", title="«Größe» 🎨")
    description = {"a.png": STRANGE, "b.png": LONG, "c.png": "", "d.png": "  blanks around  "}
    for name, prompt in description.items():
        words.image(LOCAL if name < "c" else SYNCED, name, prompt=prompt)
    words.manifest({name: {"prompt": prompt} for name, prompt in description.items()}, title="«Größe» 🎨")


def _verdicts(made: Sample) -> None:
    verdicts = Actor(made, 9030, "good_and_bad")
    images: list[dict[str, Any]] = [
        {"good": False},
        {"good": 1},
        {"bad": True},
        {"status": "rejected"},
        {"quality": "good"},
        {"good": "no"},
        {},
    ]
    bad = (0, 2, 3, 5)
    for index, entry in enumerate(images):
        entry["filename"] = f"{index}.png"
        verdicts.image(LOCAL, f"{index}.png", good=index not in bad)
    verdicts.manifest(images)


def _disagreeing(made: Sample) -> None:
    """Two manifests have other prompts for one name: the later one counts, here the one of what is synced."""
    two = Actor(made, 9040, "two_prompts")
    two.image(SYNCED, "a.png", prompt="the later one", good=False)
    two.manifest([{"filename": "a.png", "prompt": "the earlier one", "good": False}], updated_at="2025-01-01T00:00:00Z")
    two.sync([{"s3_key": f"{two.prefix}a.png", "prompt": "the later one"}], last_synced=1_759_312_800)
    twice = Actor(made, 9041, "named_twice")
    twice.image(LOCAL, "a.png", prompt="the second time")
    twice.manifest(
        [{"filename": "a.png", "prompt": "the first time"}, {"filename": "a.png", "prompt": "the second time"}]
    )


def _misnamed(made: Sample) -> None:
    names = Actor(made, 9050, "odd_names")
    listed = []
    for name in ("with blanks and (brackets).png", "größe 🎨.png", "IMG_1.PNG", "deep/er.png", "a+b%20c&d#e.png"):
        names.image(LOCAL, name, prompt=name)
        listed.append({"filename": name, "prompt": name})
    # macOS does not care about case: what was saved as .JPEG is found as .jpeg.
    names.image(LOCAL, "photo.jpeg", path="photo.JPEG", prompt="in capitals")
    names.manifest([*listed, {"filename": "photo.jpeg", "prompt": "in capitals"}])
    outside = Actor(made, 9051, "leads_outside")
    for name in ("a.png", "b.png", "c.png"):
        outside.image(LOCAL, name)
    outside.manifest(
        [
            {"filename": "../../../../outside.png", "prompt": "out of the collection"},
            {"filename": "/etc/passwd"},
            {"filename": "a.png", "local_path": "../../../../../etc/passwd"},
            {"filename": "b.png", "local_path": "/etc/hostname"},
            {"filename": "c.png", "local_path": f"/Users/anna/storyboard/{outside.folder}/c.png"},
            {"s3_key": "styles/1/image_000.png", "prompt": "somebody else's"},
            {"filename": "prompt_metadata.json"},
        ]
    )
    outside.broken()


def _answers(made: Sample) -> None:
    made.chance.random()
    answered = Actor(made, 9060, "answers")
    folder = f"{answered.folder}/run 1"
    model = "black-forest-labs/flux-dev"
    for name in ("out-0.png", "out-1.png"):
        answered.image(LOCAL, f"run 1/{name}", prompt=STRANGE, generation=("r8x", model))
    answer = {"id": "r8x", "model": model, "completed_at": "2025-05-05T05:05:05.555555Z", "status": "succeeded"}
    outputs = [f"https://replicate.delivery/yhqm/{name}?expires=1" for name in ("out-0.png", "out-1.png", "out-2.png")]
    made.document(f"{folder}/response.json", answer | {"input": {"prompt": STRANGE, "steps": 28}, "output": outputs})
    answered.truth.generations.add(("r8x", model))
    made.document(f"{answered.folder}/run 2/response.json", {"id": "q", "status": "failed", "output": None})
    made.document(f"{answered.folder}/run 3/response.json", {"id": "p", "status": "succeeded", "output": []})
    answered.image(LOCAL, "run 4/kept under another name.png", prompt="one of one", generation=("s", "declared"))
    entry = {
        "id": "s",
        "created_at": "2025-05-06T05:05:05Z",
        "input": {"prompt": "one of one"},
        "output": "https://x/out.png",
    }
    made.document(f"{answered.folder}/run 4/response.json", entry)
    answered.truth.generations.add(("s", "declared"))
    answered.image(ORPHAN, "run 2/unknown.png")


def _sync(made: Sample) -> None:
    wrong = Actor(made, 9070, "wrong_status")
    images = []
    for status in (LOCAL, SYNCED, REMOTE, DIFFERENT, MISSING):
        md5 = wrong.image(status, f"{status}.png", prompt=status)
        url = f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{wrong.prefix}{status}.png"
        entry = {"s3_url": url, "sync_status": "synced" if status != SYNCED else "local_only", "prompt": status}
        entry |= {"local_path": f"{wrong.folder}\\{status}.png".replace("/", "\\")} if status != REMOTE else {}
        images.append(entry | ({"etag": f'"{md5}"'} if status == REMOTE else {}))
    wrong.sync(images)
    lost = Actor(made, 9071, "same_name_elsewhere")
    body = made.picture()
    made.files["data/exports/a.png"] = body
    lost.truth.files["a.png"] = Fact(digest(body), "exported")
    made.counts[LOCAL] += 1
    made.files[f"{lost.folder}/a.png"] = made.picture()
    made.counts[ORPHAN] += 1
    lost.sync([{"filename": "a.png", "local_path": "data/exports/a.png", "prompt": "exported"}])


def _style_cases(made: Sample) -> None:
    made.truth["styles/ink & paper/"] = truth = Truth(title="Ink & Paper")
    body = made.picture()
    made.objects["styles/ink & paper/größe 1.png"] = body
    made.counts[REMOTE] += 1
    truth.files["größe 1.png"] = Fact(digest(body), "ink")
    url = f"https://{BUCKET}.s3.amazonaws.com/styles/ink%20%26%20paper/gr%C3%B6%C3%9Fe%201.png?X-Amz-Signature=0"
    content = {"style_title": "Ink & Paper", "files": [{"s3_url": url, "prompt": "ink"}]}
    made.document("data/s3_manifests/style_ink & paper_s3_manifest.json", content)
    made.files["data/s3_manifests/style_99_s3_manifest.json"] = b'{"style_id": 99, "files": {'
    made.broken.add("data/s3_manifests/style_99_s3_manifest.json")
    made.files["data/s3_manifests/readme.txt"] = b"not a manifest"


def main() -> None:
    """Writes the tree into a folder."""
    folder = Path(sys.argv[1])
    made = shipped()
    made.write(folder)
    sys.stdout.write(json.dumps({"files": len(made.files), "counts": made.counts}) + "\n")


if __name__ == "__main__":
    main()
