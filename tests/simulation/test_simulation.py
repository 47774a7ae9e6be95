"""The commit protocol holds in every interleaving tried, and a broken protocol is caught."""

import pytest

from simulation.__main__ import diverging, seeds_to_catch
from simulation.mutants import MUTANTS, Mutant
from simulation.simulate import simulate

SEEDS = 500
PARTS = 3
# Seeds of mutants that few seeds catch, found by ``make simulate`` and tried first. A change of the protocol or of the
# simulation may make one useless; then the test searches again.
KNOWN = {
    "sweep trusts the digest in the head without reading the page": 1187,
    "a manifest that was repaired in part claims to be complete": 5242,
    "HEAD before reading the head": 273,
    "re-use the observation after a conflict": 103,
    "treat 403/5xx on HEAD as absent": 184,
    "take a lost answer for success": 522,
    "undeclared generations are listed by the date of the first file that was observed": 399,
    "whether a manifest has pages depends on how many entries it had": 180,
    "collector ignores grace": 151,
    "a page is read without a comparison with its digest": 204,
    "a copy of a sidecar is read without a comparison with its digest": 64,
    "a change record is read without a comparison with its digest": 235,
    "a repair goes on with the history of what was lost": 204,
    "skip the write when nothing changed": 740,
    "request the sweep only after the head is written": 1415,
    "a caption does not reach the image that came before it": 551,
    "reader mixes revisions": 1159,
}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_interleaving_leaves_a_manifest_that_differs_from_its_bucket(part):
    seeds = range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS)
    commits, failure = diverging(seeds)
    assert failure is None, f"seed {failure}; again: cd tests && python -m simulation --first {failure[0]} --seeds 1"
    assert commits > len(seeds)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulation_catches_each_mutant_of_the_protocol(mutant):
    known = KNOWN.get(mutant.name)
    if known is None or seeds_to_catch(mutant, at_most=1, first=known) is None:
        assert seeds_to_catch(mutant, at_most=20_000) is not None


def test_each_known_seed_belongs_to_a_mutant():
    assert set(KNOWN) <= {mutant.name for mutant in MUTANTS}


def test_a_seed_always_produces_the_same_run():
    assert [simulate(seed) for seed in range(20)] == [simulate(seed) for seed in range(20)]


def test_an_unmodified_copy_of_the_protocol_is_not_caught():
    assert seeds_to_catch(Mutant("none", "reconcile/commit.py", ()), at_most=300) is None


def test_a_mutant_that_no_longer_matches_the_code_raises(tmp_path):
    with pytest.raises(LookupError, match="holds 0 times"):
        Mutant("stale", "reconcile/commit.py", (("no such line", ""),)).write(tmp_path)
