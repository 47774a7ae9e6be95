"""The protocol with one rule left out, each: what the simulation must be able to tell from the real one."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import s3_manifest

PACKAGE = Path(s3_manifest.__file__).parent


@dataclass(frozen=True)
class Mutant:
    """A rule left out, as replacements in one module's source. Each text must stand there exactly once."""

    name: str
    module: str
    replacements: tuple[tuple[str, str], ...]

    def write(self, folder: Path) -> None:
        """A copy of the package with this rule left out, below ``folder``."""
        copy = folder / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / self.module
        source = path.read_text()
        for old, new in self.replacements:
            if source.count(old) != 1:
                raise LookupError(f"mutant {self.name!r}: {self.module} holds {source.count(old)} times {old!r}")
            source = source.replace(old, new)
        path.write_text(source)


_LOAD = "    loaded = heads.load(store, collection)\n"
_OBSERVE = "        seen, failures = observe(world, collection, keys, source, outcome.md5s)\n"
_SAVE = "    heads.save(store, collection, head, replaces=loaded)\n"
_LOST = "        except (Conflict, OutcomeUnknown):\n"
_LIST = "    listing = world.store.list(collection.prefix, after=request.after)\n"

_OBSERVE_ONCE = """\
        looked = outcome.__dict__.setdefault("looked", {})
        unseen = [key for key in keys if key not in looked]
        fresh, failures = observe(world, collection, unseen, source, outcome.md5s)
        looked |= {one.key: one for one in fresh}
        seen = [looked[k] for k in keys if k in looked]
"""
_COMMIT_AS_LISTED = """\
    import dataclasses, types
    store = types.SimpleNamespace(
        get=world.store.get, put=world.store.put, list=world.store.list, md5=world.store.md5,
        head=lambda key: listed.get(key) or world.store.head(key),
    )
    outcome = commit(dataclasses.replace(world, store=store),"""

MUTANTS = (
    Mutant(
        "HEAD before reading the head",
        "commit.py",
        (
            (_LOAD, "    early = observe(world, collection, keys, source, {})\n" + _LOAD),
            (_OBSERVE, "        seen, failures = early\n"),
        ),
    ),
    Mutant("re-use the observation after a conflict", "commit.py", ((_OBSERVE, _OBSERVE_ONCE),)),
    Mutant(
        "skip the write when nothing changed",
        "commit.py",
        ((_SAVE, "    if loaded is None or head.revision != loaded.head.revision:\n    " + _SAVE),),
    ),
    Mutant(
        "write without a fresh commit id",
        "commit.py",
        (("commit=world.commit_id(),", "commit=loaded.head.commit if loaded else 'first',"),),
    ),
    Mutant(
        "sweep writes from its listing without looking again",
        "backfill.py",
        (
            (_LIST, _LIST + "    listed = {key: world.store.truth.head(key) for key in listing.keys}\n"),
            ("    outcome = commit(world,", _COMMIT_AS_LISTED),
        ),
    ),
    Mutant(
        "treat 403/5xx on HEAD as absent",
        "observe.py",
        (("            return failure\n", "            return Seen(key, None)\n"),),
    ),
    Mutant(
        "take a lost answer for success",
        "commit.py",
        ((_LOST, "        except OutcomeUnknown:\n            pass\n        except Conflict:\n"),),
    ),
    Mutant(
        "claim to be complete at first sight",
        "commit.py",
        (("    return seen, failures, covers_all\n", "    return seen, failures, True\n"),),
    ),
    Mutant(
        "ask for the backfill only after the head is written",
        "commit.py",
        (
            ("        world.ask(Backfill(", "        _asks.append(Backfill("),
            (_SAVE, _SAVE + "    while _asks:\n        world.ask(_asks.pop())\n"),
            ("CHUNK = 500\n", "CHUNK = 500\n_asks: list = []\n"),
        ),
    ),
)
"""The six of the design, and three that this code could fall into."""
