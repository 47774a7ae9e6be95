"""The examples of existing scripts, Node and Flask in docs/python.md, over HTTP and directly in S3."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import Request

import flask
import pytest
from unit.docs.pages import example

from s3_manifest_cli.local_stack.pictures import png
from s3_manifest_cli.local_stack.stack import http_send
from s3_manifest_cli.training_data import (
    Invalid,
    TrainingDataManifest,
    TrainingDataSync,
    get_training_data_api,
)

SCRIPT = """
api = get_training_data_api()
data = api.get_training_data(actor_id="0001_european_20_female", bucket="story-boards-assets",
                             s3_prefix="system_actors/training_data/0001_european_20_female/", force_rescan=False)
print(json.dumps(data)); data["total_images"]; flask.jsonify(data)
api.delete_training_image(actor_id="0001_european_20_female", filename="image_007.png", delete_from_s3=False)
api.rescan_s3(actor_id="0001_european_20_female", bucket="story-boards-assets")
sync = TrainingDataSync(); sync.auto_initialize_manifest(actor_id, bucket, s3_prefix); sync.sync_actor_training_data(actor_id)
"""  # noqa: E501  # as the teams wrote it
IMPORTED = {
    "json": json,
    "flask": flask,
    "get_training_data_api": get_training_data_api,
    "TrainingDataSync": TrainingDataSync,
}
NODE = shutil.which("node")
DOCUMENTED = {"actor": "0001_european_20_female", "bucket": "story-boards-assets"}
IMAGES = ("image_000.png", "image_007.png")
NUMBERS = itertools.count(701)


@pytest.fixture(params=["http", "s3"])
def environment(request, stack, tmp_path, monkeypatch):
    """The environment of a team's process, in a folder of its own; one variable names the deployment."""
    deployment = {"http": {"S3_MANIFEST_API_URL": stack.api_url}, "s3": {"S3_MANIFEST_STACK": "s3-manifest"}}
    for name in os.environ:
        if name.startswith(("AWS_", "S3_MANIFEST_")):
            monkeypatch.delenv(name)
    environment = {
        **stack.platform.environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        **deployment[request.param],
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


class Actor:
    def __init__(self, name, bucket):
        self.name, self.bucket, self.prefix = name, bucket, f"system_actors/training_data/{name}/"

    @property
    def arguments(self):
        return self.name, self.bucket, self.prefix


@pytest.fixture
def new_actor(environment, stack):
    """Names an actor that no other test uses and that does not exist."""

    def new_actor():
        name = f"{next(NUMBERS):04}_european_20_female"
        return Actor(name, stack.get(f"/api/training-data/{name}").body["s3_bucket"])

    return new_actor


@pytest.fixture
def actor(new_actor, stack, s3, eventually):
    """An actor with two images."""
    actor = new_actor()
    for name in IMAGES:
        s3.put_object(Bucket=actor.bucket, Key=actor.prefix + name, Body=png(16, (len(name), 7, 9)))
    eventually(
        lambda: stack.get(f"/api/training-data/{actor.name}"),
        lambda answer: answer.status == 200 and answer.body["total_images"] == 2,
    )
    return actor


@pytest.mark.parametrize("code", [SCRIPT, example("python", "Existing scripts", "python")], ids=["script", "document"])
def test_an_existing_script_runs_unchanged(actor, stack, capsys, eventually, code):
    code = code.replace(DOCUMENTED["actor"], actor.name).replace(DOCUMENTED["bucket"], actor.bucket)
    names = dict(zip(("actor_id", "bucket", "s3_prefix"), actor.arguments, strict=True))
    variables = {**IMPORTED, **names}
    with flask.Flask("team").app_context():
        exec(code, variables)  # noqa: S102  # the example itself
        (printed,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert flask.jsonify(variables["data"]).json == printed
    assert [image["filename"] for image in printed["images"]] == [*IMAGES]
    answered = eventually(
        lambda: stack.get(f"/api/training-data/{actor.name}").body, lambda body: body["total_images"] == 1
    )
    assert printed.keys() == answered.keys()
    assert printed["images"][0] == answered["images"][0]


def test_each_result_is_json(actor, eventually):
    picture = Path("folder/a.png")
    picture.parent.mkdir()
    picture.write_bytes(png(16, (1, 2, 3)))
    api, sync, manifest = get_training_data_api(), TrainingDataSync(), TrainingDataManifest(*actor.arguments)
    generation = manifest.add_generation("replicate_flux_kontext", generation_id=7, metadata={"steps": 28})
    manifest.add_image(picture, filename="added.png", prompt="a fox", generation=7)
    manifest.update_image(IMAGES[0], good=False)
    manifest.remove_image(IMAGES[1])
    staged, saved = manifest.get_all_images(), manifest.save()
    assert (saved["uploaded"], saved["updated"], saved["removed"]) == (["added.png"], [IMAGES[0]], [IMAGES[1]])
    uploaded = api.upload_training_images(actor.name, [picture])
    results = [
        generation,
        staged,
        saved,
        uploaded,
        api.wait_for(actor.name, json.loads(json.dumps(uploaded))),
        api.update_training_image(actor.name, IMAGES[0], prompt="an owl"),
        api.delete_training_image(actor.name, IMAGES[0]),
        api.rescan_s3(actor.name),
        sync.auto_initialize_manifest(*actor.arguments),
        sync.sync_actor_training_data(actor.name, "folder"),
    ]
    with flask.Flask("team").app_context():
        for result in results:
            assert json.loads(json.dumps(result)) == flask.jsonify(result).json == result
    data = eventually(
        lambda: api.get_training_data(actor.name), lambda data: any("declared" in run for run in data["generations"])
    )
    assert json.loads(json.dumps(data)) == data


def test_nothing_is_changed_unless_the_named_location_is_that_of_the_actor(new_actor, s3):
    actor, picture = new_actor(), Path("a.png")
    picture.write_bytes(png(16, (1, 2, 3)))
    manifest = TrainingDataManifest(actor.name, "elsewhere", actor.prefix)
    manifest.add_image(picture, generation=manifest.add_generation("replicate_flux_kontext"))
    with pytest.raises(Invalid, match=rf"bucket 'elsewhere'.*has it in bucket '{actor.bucket}'.*'{actor.prefix}'"):
        manifest.save()
    with pytest.raises(Invalid, match="s3_prefix 'elsewhere/'"):
        TrainingDataSync().sync_actor_training_data(actor.name, Path(), s3_prefix="elsewhere/")
    assert s3.list_objects_v2(Bucket=actor.bucket, Prefix=actor.prefix)["KeyCount"] == 0
    manifest.bucket = actor.bucket
    assert manifest.save()["uploaded"] == ["a.png"]


def test_threads_share_one_api(new_actor, eventually):
    api, actors = get_training_data_api(), [new_actor() for _ in range(3)]
    for index in range(len(actors)):
        Path(f"{index}.png").write_bytes(png(16, (index, 7, 9)))

    def use(index):
        name = actors[index].name
        uploaded = api.upload_training_images(name, [f"{index}.png"], prompts={f"{index}.png": name})
        assert api.wait_for(name, uploaded)
        return [(image["filename"], image["prompt"]) for image in api.get_training_data(name)["images"]]

    with ThreadPoolExecutor(len(actors)) as pool:
        assert [*pool.map(use, range(len(actors)))] == [
            [(f"{index}.png", actor.name)] for index, actor in enumerate(actors)
        ]


@pytest.mark.skipif(
    not (NODE or os.environ.get("NODE_REQUIRED")), reason="node is not installed (Debian's package nodejs)"
)
def test_a_node_process_reads_the_json_of_its_child_process(actor):
    Path("training_data.py").write_text(example("python", "From Node", "python"))
    Path("main.js").write_text(example("python", "From Node", "js"))

    def node(*arguments):
        command = [NODE or "node", "main.js", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    done = node(*actor.arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    failed = node(actor.name, "elsewhere", actor.prefix)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert f"has it in bucket '{actor.bucket}'" in failed.stderr


@pytest.fixture
def server(environment):
    """Runs the documented Flask app in a process of its own; returns what it has printed so far."""
    Path("app.py").write_text(example("python", "In Flask", "python"))
    log = Path("server.log")
    command = [sys.executable, "-m", "flask", "--app", "app", "run", "--host", "127.0.0.1", "--port", "0"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield log.read_text
        finally:
            process.terminate()


def test_a_flask_app_serves_training_data_and_rescans_in_parallel(server, actor, eventually):
    (url,) = re.findall(r"Running on (\S+)", eventually(server, lambda printed: "Running on" in printed))

    def send(method, path, **query):
        return http_send(Request(f"{url}/api/training-data/{quote(path)}?{urlencode(query)}", method=method))

    def rescan_or_read(number):
        if number % 4 == 0:
            return send("POST", f"{actor.name}/rescan")
        return send("GET", actor.name, bucket=actor.bucket, s3_prefix=actor.prefix)

    # Each parallel request to the local stack starts another worker of a function, which takes seconds.
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(rescan_or_read, range(8))]
    assert {(answer.status, answer.body["actor_name"], answer.body["total_images"]) for answer in answers} == {
        (200, actor.name, 2)
    }
    verified = [answer.body["last_verified_at"] for answer in answers[::4]]
    assert all(verified)
    assert send("GET", actor.name).body["last_verified_at"] >= max(verified)
    assert send("GET", "0999_nobody").status == 404
    refused = send("GET", actor.name, bucket="elsewhere")
    assert (refused.status, refused.body["code"]) == (400, "invalid")
    assert f"has it in bucket '{actor.bucket}'" in refused.body["error"]
