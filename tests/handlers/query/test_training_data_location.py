"""The bucket and prefix that callers of the Python API name must be those of the actor, else nothing is done."""

import pytest
from handlers.lambda_events import BUCKET, s3_event

from s3_manifest.query import training
from s3_manifest_cli.training_data import Invalid, NotFound, NotYet, TrainingDataManifest, TrainingDataSync

ACTOR = "0042_male"
PREFIX = f"system_actors/training_data/{ACTOR}/"


@pytest.fixture
def api(account, reconcile, training_api):
    """The API, in front of an actor with one image."""
    account.put(f"{PREFIX}a.png")
    reconcile({"m": s3_event(f"{PREFIX}a.png")})
    account.requests.clear()
    return training_api


def changes(account):
    return [request for request in account.requests if request.method not in {"GET", "HEAD"}] + account.queued()


SAME = [(BUCKET, PREFIX), (BUCKET, None), (None, PREFIX), (None, PREFIX.removesuffix("/")), (None, None)]
OTHER = [
    ("elsewhere", None),
    ("elsewhere", PREFIX),
    ("", None),
    (BUCKET, ""),
    (BUCKET, f"{PREFIX}/"),
    (None, f"s3://{BUCKET}/{PREFIX}"),
    (None, "system_actors/training_data/0042/"),
    (None, "system_actors/training_data/"),
]


@pytest.mark.parametrize("actor", [ACTOR, "0042", 42])
@pytest.mark.parametrize(("bucket", "s3_prefix"), SAME)
def test_the_location_of_the_actor_is_accepted(api, account, actor, bucket, s3_prefix):
    api.check_location(actor, bucket, s3_prefix)
    data = api.get_training_data(actor, bucket, s3_prefix)
    assert (data["s3_bucket"], data["s3_prefix"], data["total_images"]) == (BUCKET, PREFIX, 1)
    assert TrainingDataSync(api).auto_initialize_manifest(actor, bucket, s3_prefix) == data
    assert TrainingDataManifest(actor, bucket, s3_prefix, api=api).get_all_images()[0]["filename"] == "a.png"
    api.delete_training_image(actor, "a.png", delete_from_s3=True, bucket=bucket, s3_prefix=s3_prefix)
    assert account.below(PREFIX) == []


@pytest.mark.parametrize(("bucket", "s3_prefix"), OTHER)
def test_a_location_that_is_not_the_actors_is_invalid_and_names_both(api, account, bucket, s3_prefix):
    location = {"bucket": bucket, "s3_prefix": s3_prefix}
    manifest, sync = TrainingDataManifest(42, **location, api=api), TrainingDataSync(api)
    manifest.remove_image("a.png", delete_from_s3=True)
    calls = [
        lambda: api.check_location(42, **location),
        lambda: api.get_training_data(42, **location),
        lambda: api.get_training_data(42, **location, force_rescan=True),
        lambda: api.rescan_s3(42, **location),
        lambda: api.delete_training_image(42, "a.png", **location, delete_from_s3=True),
        lambda: api.delete_training_image(42, "a.png", **location),
        lambda: sync.auto_initialize_manifest(42, bucket, s3_prefix),
        lambda: sync.sync_actor_training_data(42, **location),
        manifest.get_all_images,
        manifest.save,
    ]
    for call in calls:
        with pytest.raises(Invalid) as raised:
            call()
        given = [f"{name} {value!r}" for name, value in location.items() if value is not None]
        assert f"Actor 42 does not match {' and '.join(given)}: this deployment has it in" in raised.value.message
        assert raised.value.message.endswith(f"bucket {BUCKET!r} with s3_prefix {PREFIX!r}.")
    assert changes(account) == []


@pytest.mark.parametrize("actor", ["0007_new", "größe 🎨+%2F"])
def test_the_location_of_an_actor_that_does_not_exist_is_known(api, account, actor):
    prefix = f"system_actors/training_data/{actor}/"
    api.check_location(actor, BUCKET, prefix)
    with pytest.raises(NotFound, match="neither a manifest nor objects"):
        api.get_training_data(actor, BUCKET, prefix)
    with pytest.raises(Invalid, match="has it in"):
        api.get_training_data(actor, "elsewhere", prefix)
    with pytest.raises(Invalid, match="has it in"):
        api.check_location(actor, BUCKET, PREFIX)
    with pytest.raises(NotFound, match="no actor has the number 7"):
        api.check_location(7, BUCKET, PREFIX)
    assert changes(account) == []


def test_the_location_of_an_actor_without_a_manifest_is_known(training_api, account):
    account.put(f"{PREFIX}a.png")
    account.requests.clear()
    with pytest.raises(Invalid, match="has it in"):
        training_api.rescan_s3(ACTOR, "elsewhere")
    # Before the manifest exists, and without waiting for it.
    with pytest.raises(Invalid, match="has it in"):
        training_api.get_training_data(ACTOR, "elsewhere", wait=0)
    training_api.check_location(ACTOR, BUCKET, PREFIX)
    assert [request.method for request in account.requests if request.method == "PUT"] == []
    with pytest.raises(NotYet):
        training_api.get_training_data(ACTOR, BUCKET, wait=0)


def test_the_location_of_an_actor_with_too_many_images_for_an_answer_is_known(api, account, monkeypatch):
    monkeypatch.setattr(training, "MAX_FILES", 0)
    api.check_location(ACTOR, BUCKET, PREFIX)
    with pytest.raises(Invalid, match="has it in"):
        api.check_location(ACTOR, BUCKET, "elsewhere/")
    with pytest.raises(Invalid, match="too many images"):
        api.get_training_data(ACTOR, BUCKET, PREFIX)


@pytest.fixture
def assets(account, monkeypatch, new_process):
    """The bucket that the deployment has actors in; styles are in its own bucket."""
    bucket = "story-boards-assets"
    account.make_bucket(bucket)
    actors = f"actor=s3://{bucket}/system_actors/training_data/{{actor_id}}/"
    monkeypatch.setenv("COLLECTIONS", f"style=styles/{{style_id}}/,{actors}")
    new_process()
    return bucket


def test_actors_may_have_another_bucket_than_the_deployments_own(assets, training_api):
    training_api.check_location(ACTOR, assets, PREFIX)
    with pytest.raises(NotFound, match="neither a manifest nor objects"):
        training_api.get_training_data(ACTOR, assets, PREFIX)
    with pytest.raises(Invalid, match=f"bucket '{BUCKET}': this deployment has it in bucket '{assets}'"):
        training_api.get_training_data(ACTOR, BUCKET)
