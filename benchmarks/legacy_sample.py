"""``python -m benchmarks.legacy_sample FOLDER``: generates a legacy tree of any size, the same for the same seed.

It also returns the expected result: the objects already in S3, the status of each image, and the contents of each
manifest in the end, without using the code that migrates.
"""

import argparse
import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.legacy_truth import Fact, Truth
from s3_manifest_cli.local_stack.pictures import png

BUCKET = "storyboard-user-files"
LOCAL, SYNCED, REMOTE, DIFFERENT, ORPHAN, MISSING = (
    "local_only",
    "synced",
    "s3_only",
    "out_of_sync",
    "orphaned",
    "missing",
)
_WEIGHTS = {LOCAL: 60, SYNCED: 22, REMOTE: 8, DIFFERENT: 3, ORPHAN: 4, MISSING: 3}
_ORIGINS = ("european", "east_asian", "african", "latin_american", "south_asian")
_WHO = ("a lighthouse keeper", "a violinist", "an old fisherman", "a girl with a kite", "two chess players", "Zoë")
_WHERE = ("at dusk", "in the reeds", "under neon rain", "on a café terrace", "in Malmö", "beside a frozen lake")
_HOW = ("soft light", "35 mm", "dynamic simplicity", "three-quarter view", "profile left", "high contrast")


@dataclass
class Sample:
    """A tree: its ``files`` by path, the ``objects`` already in S3 by key, and the expected manifests by prefix.

    ``counts`` are the images by status, ``broken`` the defective files.
    """

    seed: int
    files: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    truth: dict[str, Truth] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # the same tree for the same seed

    def picture(self) -> bytes:
        """A new picture."""
        colour = (self.chance.randrange(1, 256), self.chance.randrange(1, 256), self.chance.randrange(1, 256))
        return png(self.chance.randrange(8, 14), colour)

    def prompt(self) -> str:
        """A prompt; some contain special characters, some are long."""
        words = f"{self.chance.choice(_WHO)} {self.chance.choice(_WHERE)}, {self.chance.choice(_HOW)}"
        match self.chance.randrange(40):
            case 0:
                return f"{words} 🎨\n“quoted”, back\\slash\tand a tab"
            case 1:
                return f"{words}: " + ", ".join(self.chance.choice(_HOW) for _ in range(220))
        return f"{words} #{self.chance.randrange(10_000)}"

    def document(self, path: str, content: object) -> None:
        """Adds a legacy file with the content as JSON."""
        self.files[path] = json.dumps(content, ensure_ascii=False, indent=1).encode()

    def place(self, status: str, prefix: str, filename: str, path: str, fact: Mapping[str, Any]) -> str | None:
        """Adds an image where its status requires, and its expected entry; the MD5 of its manifest."""
        self.counts[status] += 1
        body = self.picture()
        md5 = digest(body)
        if status in (LOCAL, SYNCED, DIFFERENT, ORPHAN):
            self.files[path] = body
        if status in (SYNCED, REMOTE):
            self.objects[prefix + filename] = body
        if status == DIFFERENT:
            remote = self.picture()
            self.objects[prefix + filename] = remote
            self.truth[prefix].files[filename] = Fact(digest(remote), **fact)
        elif status in (LOCAL, SYNCED, REMOTE):
            self.truth[prefix].files[filename] = Fact(md5, **fact)
        return md5

    def write(self, root: Path) -> None:
        """Writes the tree into a folder."""
        for path, body in self.files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)


def digest(body: bytes) -> str:
    """The MD5 in hex."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def actor_prefix(actor: str) -> str:
    """The prefix of an actor's training images."""
    return f"system_actors/training_data/{actor}/"


def sample(actors: int, images: int, seed: int = 5, styles: int = 0) -> Sample:
    """A tree with actors, images in all of them together, and styles of five images each."""
    tree = Sample(seed)
    shares = Counter(tree.chance.randrange(actors) for _ in range(images - actors))
    for number in range(actors):
        _actor(tree, number + 1, shares[number] + 1)
    for number in range(styles):
        _style(tree, number + 1)
    return tree


def _actor(tree: Sample, number: int, count: int) -> None:
    sex = tree.chance.choice(("male", "female"))
    actor = f"{number:04d}_{tree.chance.choice(_ORIGINS)}_{tree.chance.randrange(20, 70)}_{sex}"
    tree.truth[actor_prefix(actor)] = Truth()
    shape = (_generated, _flat, _synced, _answered, _in_s3)[number % 5]
    shape(tree, actor, count)
    tree.files[f"data/actors/{actor}/base.png"] = tree.picture()


def _statuses(tree: Sample, count: int, without: tuple[str, ...] = ()) -> list[str]:
    weights = {status: weight for status, weight in _WEIGHTS.items() if status not in without}
    return tree.chance.choices(list(weights), list(weights.values()), k=count)


def _filename(number: int, tree: Sample) -> str:
    return tree.chance.choice((f"image_{number:03d}.png", f"{number}.PNG", f"profile left {number}.png"))


def _generated(tree: Sample, actor: str, count: int) -> None:
    """Images in generations, as one tool wrote them."""
    prefix, folder, kind = actor_prefix(actor), f"data/actors/{actor}/training_data", "replicate_flux_kontext"
    generations: list[dict[str, Any]] = []
    for index, status in enumerate(_statuses(tree, count)):
        if index % 4 == 0:
            run = len(generations) + 1
            when = f"2025-0{run % 9 + 1}-11T10:00:00Z"
            metadata = {"seed": tree.chance.randrange(10**6)}
            generations.append(
                {"generation_id": run, "type": kind, "generated_at": when, "metadata": metadata, "images": []}
            )
            tree.truth[prefix].generations.add((run, kind))
        name, prompt, good = _filename(index, tree), tree.prompt(), tree.chance.random() > 0.15
        fact = {"prompt": prompt, "good": good, "generation": (len(generations), kind)}
        md5 = tree.place(status, prefix, name, f"{folder}/{name}", fact)
        if status != ORPHAN:
            generations[-1]["images"].append({"filename": name, "prompt": prompt, "good": good, "md5": md5})
    head = {"actor_id": int(actor[:4]), "actor_name": actor, "base_image_path": f"data/actors/{actor}/base.png"}
    tree.document(f"{folder}/manifest.json", head | {"generations": generations, "images": []})


def _flat(tree: Sample, actor: str, count: int) -> None:
    """Images in one list, without MD5s, some of them bad."""
    prefix, folder = actor_prefix(actor), f"data/actors/{actor}/training_data"
    title = f"{actor.split('_')[1].title()} {actor[:4]}"
    tree.truth[prefix].title = title
    images = []
    for index, status in enumerate(_statuses(tree, count)):
        name, prompt, good = _filename(index, tree), tree.prompt(), tree.chance.random() > 0.15
        tree.place(status, prefix, name, f"{folder}/{name}", {"prompt": prompt, "good": good})
        if status != ORPHAN:
            images.append({"index": index, "s3_key": prefix + name, "prompt": prompt, "good": good, "size": 91})
    tree.document(f"{folder}/manifest.json", {"actor_id": actor[:4], "actor_name": title, "images": images})


def _synced(tree: Sample, actor: str, count: int) -> None:
    """Two manifests: the actor's own is newer, so the prompts of the other one do not count."""
    prefix, folder = actor_prefix(actor), f"data/actors/{actor}/training_data"
    mine, other = [], []
    for index, status in enumerate(_statuses(tree, count)):
        name, prompt = _filename(index, tree), tree.prompt()
        md5 = tree.place(status, prefix, name, f"{folder}/{name}", {"prompt": prompt})
        if status == ORPHAN:
            continue
        mine.append({"filename": name, "prompt": prompt})
        other.append(
            {
                "local_path": f"{folder}/{name}",
                "s3_key": prefix + name,
                "s3_url": f"s3://{BUCKET}/{prefix}{name}",
                "sync_status": status if index % 7 else SYNCED,
                "md5": md5,
                "prompt": tree.prompt() if index % 3 == 0 else prompt,
            }
        )
    head = {"actor_id": actor, "actor_name": actor}
    tree.document(f"{folder}/manifest.json", head | {"updated_at": "2025-10-11T10:00:00", "images": mine})
    synced = head | {"last_synced": "2025-10-09T10:00:00", "images": other}
    tree.document(f"data/actor_manifests/{actor}_manifest.json", synced)


def _answered(tree: Sample, actor: str, count: int) -> None:
    """A manifest that only names its images, and the API's response with their prompt."""
    prefix, folder = actor_prefix(actor), f"data/actors/{actor}/training_data"
    prompt, id_, model = tree.prompt(), f"{tree.chance.randrange(10**12):x}", "black-forest-labs/flux-kontext-pro"
    fact: Mapping[str, Any] = {"prompt": prompt, "generation": (id_, model)}
    names = []
    for index, status in enumerate(_statuses(tree, count, without=(ORPHAN,))):
        name = f"out-{index}.png"
        tree.place(status, prefix, name, f"{folder}/{name}", fact)
        names.append(name)
    tree.truth[prefix].generations.add((id_, model))
    tree.document(f"{folder}/manifest.json", {"actor_name": actor, "images": names})
    answer = {"id": id_, "model": model, "created_at": "2025-09-01T08:00:00.123456Z", "status": "succeeded"}
    urls = [f"https://replicate.delivery/xezq/{id_}/{name}" for name in names]
    tree.document(
        f"{folder}/response.json", answer | {"input": {"prompt": prompt, "aspect_ratio": "1:1"}, "output": urls}
    )


def _in_s3(tree: Sample, actor: str, count: int) -> None:
    """A manifest of objects that exist only in S3."""
    prefix = actor_prefix(actor)
    images = []
    for index in range(count):
        name, prompt = f"image_{index:03d}.png", tree.prompt()
        md5 = tree.place(REMOTE, prefix, name, "", {"prompt": prompt})
        url = f"https://{BUCKET}.s3.us-east-1.amazonaws.com/{prefix}{name}"
        images.append({"s3_url": url, "md5_hash": md5, "prompt": prompt})
    number = actor[:4]
    tree.document(f"data/actor_manifests/{number}_manifest.json", {"actor_id": actor, "images": images})


def _style(tree: Sample, number: int) -> None:
    prefix, folder = f"styles/{number}/", f"data/styles/{number}/images"
    tree.truth[prefix] = Truth(title=f"Dynamic Simplicity {number}", generations={(1, "s3_scan")})
    files = []
    # An unnamed image belongs to a style only if other images of the style lie beside it.
    for index, status in enumerate([LOCAL, *_statuses(tree, 4)]):
        name, prompt = f"image_{index:03d}.png", tree.prompt()
        fact = {"prompt": prompt, "generation": (1, "s3_scan")}
        md5 = tree.place(status, prefix, name, f"{folder}/{name}", fact)
        if status != ORPHAN:
            entry = {"filename": name, "s3_key": prefix + name, "md5_hash": md5, "prompt": prompt, "generation_id": 1}
            entry |= {"local_path": f"{folder}/{name}", "size_bytes": 91, "generation_type": "s3_scan"}
            files.append(entry)
    generation = {"generation_id": 1, "type": "s3_scan", "generated_at": "2025-10-01T00:00:00Z", "image_count": 5}
    head = {"style_id": number, "style_title": f"Dynamic Simplicity {number}", "generations": [generation]}
    tree.document(f"data/s3_manifests/style_{number}_s3_manifest.json", head | {"files": files})


def main() -> None:
    """Writes a tree, and beside it the objects that are in S3, to try the migration on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--actors", type=int, default=289)
    parser.add_argument("--images", type=int, default=1699)
    parser.add_argument("--styles", type=int, default=0)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    tree = sample(arguments.actors, arguments.images, arguments.seed, arguments.styles)
    tree.write(arguments.folder / "tree")
    for key, body in tree.objects.items():
        target = arguments.folder / "bucket" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
    print(
        f"{arguments.folder}: {len(tree.files):,} files in tree/, {len(tree.objects):,} in bucket/; {dict(tree.counts)}"
    )


if __name__ == "__main__":
    main()
