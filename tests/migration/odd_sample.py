"""``PYTHONPATH=tests python -m migration.odd_sample FOLDER``: writes the small committed tree with its unusual cases.

Each case has its own actor or style, so that none hides another.
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
    """An actor with an unusual case: its names, and methods that add its files."""

    def __init__(self, tree: Sample, number: int, label: str, title: str | None = None) -> None:
        self.tree, self.name = tree, f"{number}_{label}"
        self.prefix, self.folder = actor_prefix(self.name), f"data/actors/{self.name}/training_data"
        self.truth = tree.truth[self.prefix] = Truth(title=title)

    def image(self, status: str, name: str, path: str | None = None, **fact: Any) -> str:
        """Adds an image; returns its MD5."""
        return self.tree.place(status, self.prefix, name, f"{self.folder}/{path or name}", fact) or ""

    def manifest(self, images: object, **more: object) -> None:
        """Adds the actor's own manifest."""
        self.tree.document(f"{self.folder}/manifest.json", {"actor_name": self.name, "images": images} | more)

    def sync(self, images: object, **more: object) -> None:
        """Adds its sync manifest."""
        path = f"data/actor_manifests/{self.name}_manifest.json"
        self.tree.document(path, {"actor_id": self.name, "images": images} | more)

    def broken(self) -> None:
        """Marks its own manifest as broken."""
        self.tree.broken.add(f"{self.folder}/manifest.json")


def committed_sample() -> Sample:
    """Generates the tree under ``tests/migration/legacy_tree``."""
    tree = sample(actors=44, images=230, seed=7, styles=9)
    for case in (_unreadable, _empty, _prompts, _verdicts, _disagreeing, _misnamed, _responses, _sync, _style_cases):
        case(tree)
    return tree


def _unreadable(tree: Sample) -> None:
    cut = Actor(tree, 9001, "cut_short")
    cut.image(ORPHAN, "a.png")
    tree.files[f"{cut.folder}/manifest.json"] = b'{"actor_name": "9001_cut_short", "images": [{"filename": "a.p'
    cut.broken()
    latin = Actor(tree, 9002, "latin_1")
    latin.image(ORPHAN, "a.png")
    tree.files[f"{latin.folder}/manifest.json"] = '{"actor_name": "9002_latin_1", "images": ["größe"]}'.encode(
        "latin-1"
    )
    latin.broken()
    partly = Actor(tree, 9003, "partly_wrong")
    partly.image(LOCAL, "a.png", prompt="of the good entry")
    partly.image(LOCAL, "b.png")
    entries = [{"filename": "a.png", "prompt": "of the good entry"}, {"filename": "b.png", "prompt": 42}, 7, {}]
    partly.manifest(entries)
    partly.broken()


def _empty(tree: Sample) -> None:
    for number, body in enumerate((b"{}", b"", b'{"images": []}', b'{"generations": [], "images": null}')):
        empty = Actor(tree, 9010 + number, "empty")
        tree.files[f"{empty.folder}/manifest.json"] = body
        if not body:
            empty.broken()
    tree.files["data/actor_manifests/9011_empty_manifest.json"] = b"[]"


def _prompts(tree: Sample) -> None:
    actor = Actor(tree, 9020, "strange_words", title="«Größe» 🎨")
    description = {"a.png": STRANGE, "b.png": LONG, "c.png": "", "d.png": "  blanks around  "}
    for name, prompt in description.items():
        actor.image(LOCAL if name < "c" else SYNCED, name, prompt=prompt)
    actor.manifest({name: {"prompt": prompt} for name, prompt in description.items()}, title="«Größe» 🎨")


def _verdicts(tree: Sample) -> None:
    verdicts = Actor(tree, 9030, "good_and_bad")
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


def _disagreeing(tree: Sample) -> None:
    """Two manifests have different prompts for one image; the later one, here the sync manifest, wins."""
    two = Actor(tree, 9040, "two_prompts")
    two.image(SYNCED, "a.png", prompt="the later one", good=False)
    two.manifest([{"filename": "a.png", "prompt": "the earlier one", "good": False}], updated_at="2025-01-01T00:00:00Z")
    two.sync([{"s3_key": f"{two.prefix}a.png", "prompt": "the later one"}], last_synced=1_759_312_800)
    twice = Actor(tree, 9041, "named_twice")
    twice.image(LOCAL, "a.png", prompt="the second time")
    twice.manifest(
        [{"filename": "a.png", "prompt": "the first time"}, {"filename": "a.png", "prompt": "the second time"}]
    )


def _misnamed(tree: Sample) -> None:
    names = Actor(tree, 9050, "odd_names")
    listed = []
    for name in ("with blanks and (brackets).png", "größe 🎨.png", "IMG_1.PNG", "deep/er.png", "a+b%20c&d#e.png"):
        names.image(LOCAL, name, prompt=name)
        listed.append({"filename": name, "prompt": name})
    # macOS ignores case: a file saved as .JPEG is found as .jpeg.
    names.image(LOCAL, "photo.jpeg", path="photo.JPEG", prompt="in capitals")
    names.manifest([*listed, {"filename": "photo.jpeg", "prompt": "in capitals"}])
    outside = Actor(tree, 9051, "leads_outside")
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


def _responses(tree: Sample) -> None:
    tree.chance.random()
    actor = Actor(tree, 9060, "answers")
    folder = f"{actor.folder}/run 1"
    model = "black-forest-labs/flux-dev"
    for name in ("out-0.png", "out-1.png"):
        actor.image(LOCAL, f"run 1/{name}", prompt=STRANGE, generation=("r8x", model))
    answer = {"id": "r8x", "model": model, "completed_at": "2025-05-05T05:05:05.555555Z", "status": "succeeded"}
    outputs = [f"https://replicate.delivery/yhqm/{name}?expires=1" for name in ("out-0.png", "out-1.png", "out-2.png")]
    tree.document(f"{folder}/response.json", answer | {"input": {"prompt": STRANGE, "steps": 28}, "output": outputs})
    actor.truth.generations.add(("r8x", model))
    tree.document(f"{actor.folder}/run 2/response.json", {"id": "q", "status": "failed", "output": None})
    tree.document(f"{actor.folder}/run 3/response.json", {"id": "p", "status": "succeeded", "output": []})
    actor.image(LOCAL, "run 4/kept under another name.png", prompt="one of one", generation=("s", "declared"))
    entry = {
        "id": "s",
        "created_at": "2025-05-06T05:05:05Z",
        "input": {"prompt": "one of one"},
        "output": "https://x/out.png",
    }
    tree.document(f"{actor.folder}/run 4/response.json", entry)
    actor.truth.generations.add(("s", "declared"))
    actor.image(ORPHAN, "run 2/unknown.png")


def _sync(tree: Sample) -> None:
    wrong = Actor(tree, 9070, "wrong_status")
    images = []
    for status in (LOCAL, SYNCED, REMOTE, DIFFERENT, MISSING):
        md5 = wrong.image(status, f"{status}.png", prompt=status)
        url = f"https://s3.us-east-1.amazonaws.com/{BUCKET}/{wrong.prefix}{status}.png"
        entry = {"s3_url": url, "sync_status": "synced" if status != SYNCED else "local_only", "prompt": status}
        entry |= {"local_path": f"{wrong.folder}\\{status}.png".replace("/", "\\")} if status != REMOTE else {}
        images.append(entry | ({"etag": f'"{md5}"'} if status == REMOTE else {}))
    wrong.sync(images)
    lost = Actor(tree, 9071, "same_name_elsewhere")
    body = tree.picture()
    tree.files["data/exports/a.png"] = body
    lost.truth.files["a.png"] = Fact(digest(body), "exported")
    tree.counts[LOCAL] += 1
    tree.files[f"{lost.folder}/a.png"] = tree.picture()
    tree.counts[ORPHAN] += 1
    lost.sync([{"filename": "a.png", "local_path": "data/exports/a.png", "prompt": "exported"}])


def _style_cases(tree: Sample) -> None:
    tree.truth["styles/ink & paper/"] = truth = Truth(title="Ink & Paper")
    body = tree.picture()
    tree.objects["styles/ink & paper/größe 1.png"] = body
    tree.counts[REMOTE] += 1
    truth.files["größe 1.png"] = Fact(digest(body), "ink")
    url = f"https://{BUCKET}.s3.amazonaws.com/styles/ink%20%26%20paper/gr%C3%B6%C3%9Fe%201.png?X-Amz-Signature=0"
    content = {"style_title": "Ink & Paper", "files": [{"s3_url": url, "prompt": "ink"}]}
    tree.document("data/s3_manifests/style_ink & paper_s3_manifest.json", content)
    tree.files["data/s3_manifests/style_99_s3_manifest.json"] = b'{"style_id": 99, "files": {'
    tree.broken.add("data/s3_manifests/style_99_s3_manifest.json")
    tree.files["data/s3_manifests/readme.txt"] = b"not a manifest"


def main() -> None:
    """Writes the tree into a folder."""
    folder = Path(sys.argv[1])
    tree = committed_sample()
    tree.write(folder)
    sys.stdout.write(json.dumps({"files": len(tree.files), "counts": tree.counts}) + "\n")


if __name__ == "__main__":
    main()
