import pytest
from unit.environments import RecordingStore, serial_map
from unit.values import BUCKET, COLLECTIONS, NOON, ROOT

from s3_manifest.manifest.collections import parse_collections
from s3_manifest.query import actors
from s3_manifest.query.actors import AmbiguousActor, NoSuchActor
from s3_manifest.storage.heads import has_objects

ACTORS = "actors/"
MAN, WOMAN = "0042_european_30_male", "0042_asian_25_female"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0042_european_30_male", 42),
        ("0042", 42),
        ("42", 42),
        ("42_", 42),
        ("0042_a\nb", 42),
        ("0", 0),
        ("000_x", 0),
        ("european_0042", None),
        ("42-european", None),
        ("42european", None),
        ("_42", None),
        ("٤٢", None),
        ("", None),
        ("9" * 19, None),
    ],
)
def test_the_number_of_an_actor_is_the_leading_digits_of_its_name(name, number):
    assert actors.number_of(name) == number


@pytest.mark.parametrize(
    ("number", "padded"),
    [
        ("42", ["42", "042", "0042", "00042", "000042", "0000042", "00000042"]),
        ("0042", ["42", "042", "0042", "00042", "000042", "0000042", "00000042"]),
        ("12345678", ["12345678"]),
        ("000000042", ["42", "042", "0042", "00042", "000042", "0000042", "00000042", "000000042"]),
        ("0", ["0", "00", "000", "0000", "00000", "000000", "0000000", "00000000"]),
    ],
)
def test_a_number_may_have_leading_zeros(number, padded):
    assert actors.padded_numbers(number) == padded


@pytest.mark.parametrize(
    ("number", "names", "matching"),
    [
        ("42", [MAN], [MAN]),
        ("0042", [MAN], [MAN]),
        ("42", ["0042", "420_x", "4200"], ["0042"]),
        ("42", [MAN, WOMAN], [WOMAN, MAN]),
        ("42", [MAN, "42"], ["42"]),
        ("0042", [MAN, "0042", "42"], ["0042"]),
        ("42", [MAN, MAN], [MAN]),
        ("42", [], []),
    ],
)
def test_a_number_matches_every_actor_with_it_unless_it_is_the_exact_name_of_one(number, names, matching):
    assert actors.names_with_number(number, names) == matching


def bucket(*names, manifests=()):
    store = RecordingStore()
    for number in range(1000, 1100):
        store.upload(f"{ACTORS}{number}_somebody/a.png", b"x")
        store.upload(f"{ROOT}{ACTORS}{number}_somebody/manifest.json", b"{}")
    for name in names:
        store.upload(f"{ACTORS}{name}/a.png", b"x")
    for name in manifests:
        store.upload(f"{ROOT}{ACTORS}{name}/manifest.json", b"{}")
    return store


def resolved(store, requested, collections=COLLECTIONS):
    return actors.resolve(dict.fromkeys(collections.buckets, store), collections, serial_map, requested).id


@pytest.mark.parametrize("requested", [MAN, "0042", "42", "00042"])
@pytest.mark.parametrize(
    ("objects", "manifests"), [([MAN], [MAN]), ([MAN], []), ([], [MAN])], ids=["both", "objects", "manifest"]
)
def test_an_actor_with_objects_or_a_manifest_is_found_by_name_or_number(requested, objects, manifests):
    assert resolved(bucket(*objects, manifests=manifests), requested) == MAN


@pytest.mark.parametrize("name", ["0042", "42", "000042_x", "42_größe 🎨"])
def test_an_actor_whose_number_is_padded_to_any_width_is_found(name):
    assert resolved(bucket(name), "42") == name


@pytest.mark.parametrize("requested", ["42", "0042", "7"])
def test_the_requests_to_find_an_actor_do_not_depend_on_the_number_of_actors(requested):
    few, many = bucket(MAN), bucket(MAN)
    for number in range(5000):
        many.upload(f"{ACTORS}{number + 20_000}_somebody/a.png", b"x")
    for store in (few, many):
        if requested == "7":
            with pytest.raises(NoSuchActor, match="no actor has the number 7"):
                resolved(store, requested)
        else:
            assert resolved(store, requested) == MAN
    assert few.requests == many.requests
    assert len(few.requests) <= 25


def test_a_full_name_needs_no_search():
    store = bucket()
    assert resolved(store, MAN) == MAN
    assert store.requests == []


def test_an_exact_manifest_name_takes_one_request():
    store = bucket("0042", MAN, manifests=["0042"])
    assert resolved(store, "0042") == "0042"
    assert store.requests == [f"HEAD {ROOT}{ACTORS}0042/manifest.json"]


@pytest.mark.parametrize(("objects", "manifests"), [([MAN, WOMAN], []), ([MAN], [WOMAN]), ([], [MAN, WOMAN])])
def test_a_number_of_several_actors_raises_an_error_that_names_them(objects, manifests):
    with pytest.raises(AmbiguousActor, match=f"full names: {WOMAN}, {MAN}$"):
        resolved(bucket(*objects, manifests=manifests), "42")


def test_the_error_for_a_number_of_very_many_actors_names_some():
    names = [f"0042_{letter}" for letter in "abcdefghijklmnop"]
    with pytest.raises(AmbiguousActor, match=r"0042_a, .*, 0042_j, …$"):
        resolved(bucket(*names), "42")


def test_leftovers_of_a_deleted_actor_do_not_make_a_number_ambiguous():
    store = bucket(MAN, manifests=[MAN])
    store.upload(f"{ROOT}{ACTORS}{WOMAN}/changes/1.json", b"{}")
    assert resolved(store, "42") == MAN


@pytest.mark.parametrize("requested", ["", "a/b", "x" * 1100])
def test_an_impossible_name_raises_no_such_actor(requested):
    with pytest.raises(NoSuchActor, match="cannot be an actor"):
        resolved(bucket(), requested)


def test_a_deployment_without_an_actor_pattern_raises_no_such_actor():
    with pytest.raises(NoSuchActor, match="Collections has no pattern"):
        resolved(bucket(), "42", parse_collections("style=styles/{style_id}/", ROOT, BUCKET))


def test_only_objects_below_the_full_prefix_make_an_actor():
    collections = parse_collections("actor=actors/{actor_id}/training/", ROOT, BUCKET)
    store = RecordingStore()
    store.upload(f"{ACTORS}{MAN}/training/a.png", b"x")
    store.upload(f"{ACTORS}{WOMAN}/other/a.png", b"x")
    assert resolved(store, "42", collections) == MAN


@pytest.mark.parametrize(
    ("key", "holds"),
    [
        ("actors/7/", False),
        ("actors/7/a.png", True),
        ("actors/7/deep/a.png", True),
        ("actors/77/a.png", False),
        ("actors/7/drafts/1/a.png", False),
    ],
)
def test_has_objects_ignores_folders_and_other_collections(key, holds):
    nested = parse_collections("actor=actors/{actor_id}/, draft=actors/7/drafts/{draft_id}/", ROOT, BUCKET)
    store = RecordingStore(now=lambda: NOON)
    store.upload("actors/7/", b"")
    store.upload(key, b"x")
    for collections in [nested] if "drafts" in key else [nested, COLLECTIONS]:
        assert has_objects(store, collections, collections.lookup("actor", "7")) is holds
