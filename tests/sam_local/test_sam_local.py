"""`sam build`, `sam local invoke` and `sam local start-api`: packaging, wiring and the functions, in containers."""

import base64
import hashlib
import json
import re
import zlib
from urllib.parse import quote

import pytest

from s3_manifest.manifest.model import timestamp

pytestmark = pytest.mark.sam_local

DONE = {"batchItemFailures": []}


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


class TestBuild:
    def test_contains_only_the_handler_of_each_function(self, sam):
        for function in ("edit", "reconcile", "sweep", "query", "rescan", "subscription"):
            built = sam.built / f"{function.title()}Function"
            assert [file.name for file in built.iterdir()] == [f"{function}_handler.py"]

    def test_contains_the_package_in_the_layer(self, sam):
        source = sam.project / "layers/manifest/s3_manifest"
        built = sam.built / "ManifestLayer/python/s3_manifest"
        assert {file.name for file in built.glob("*.py")} == {file.name for file in source.glob("*.py")}

    def test_contains_unchecked_bytecode_of_each_module_of_the_layer(self, sam):
        layer = sam.built / "ManifestLayer/python"
        modules = list(layer.rglob("*.py"))
        assert len(modules) > 100
        for module in modules:
            compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
            # https://peps.python.org/pep-0552/: by hash, without a check of the source.
            assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", module

    def test_contains_the_native_modules_of_both_architectures(self, sam):
        native = sorted(file.name for file in (sam.built / "ManifestLayer/python").rglob("*.so"))
        assert native == [f"_pydantic_core.cpython-313-{machine}-linux-gnu.so" for machine in ("aarch64", "x86_64")]

    def test_has_a_layer_that_imports_under_python_3_13_with_exactly_the_pinned_dependencies(self, sam, tmp_path):
        template = tmp_path / "template.json"
        layer = {"ContentUri": str(sam.built / "ManifestLayer"), "CompatibleRuntimes": ["python3.13"]}
        probe = {
            "Runtime": "python3.13",
            "CodeUri": str(sam.project / "tests/sam_local/probe"),
            "Handler": "probe_handler.handler",
            "Layers": [{"Ref": "ManifestLayer"}],
            "MemorySize": 512,
            "Timeout": 60,
        }
        resources = {
            "ManifestLayer": {"Type": "AWS::Serverless::LayerVersion", "Properties": layer},
            "Probe": {"Type": "AWS::Serverless::Function", "Properties": probe},
        }
        template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}))

        probed = sam.invoke("Probe", "s3-test-event", template=template)

        requirements = (sam.project / "layers/manifest/requirements.txt").read_text()
        pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", requirements, re.MULTILINE))
        assert probed["python"] == "3.13"
        assert {name.replace("_", "-"): version for name, version in probed["distributions"].items()} == pinned
        # Not the runtime's own boto3.
        assert all(path.startswith("/opt/python/") for path in probed["imported_from"].values())


class TestReconcile:
    def test_adds_an_upload_with_the_facts_from_s3(self, sam, buckets):
        key, body = "styles/16/image_001.jpg", b"not the size nor the ETag that the event says"
        buckets.put(key, body, ContentType="image/jpeg", Metadata={"prompt": "a lighthouse", "generation-id": "3"})

        assert sam.reconcile("s3-put", buckets) == DONE

        head = buckets.s3.head_object(Bucket=buckets.name, Key=key)
        uploaded_at = timestamp(head["LastModified"])
        manifest = buckets.manifest("styles/16/")
        written_at = manifest["last_synced"]
        assert manifest == {
            "schema": 1,
            "kind": "style",
            "style_id": "16",
            "style_title": None,
            "s3_bucket": buckets.name,
            "s3_prefix": "styles/16/",
            "created_at": written_at,
            "last_synced": written_at,
            "last_verified_at": written_at,
            "complete": True,
            "revision": 1,
            "commit": manifest["commit"],
            "last_change": manifest["commit"],
            "total_files": 1,
            "total_size_bytes": len(body),
            "generations": [
                {
                    "generation_id": 3,
                    "type": "declared",
                    "generated_at": uploaded_at,
                    "image_count": 1,
                    "metadata": {},
                }
            ],
            "sidecars": [],
            "problems": [],
            "files": [
                {
                    "filename": "image_001.jpg",
                    "s3_key": key,
                    "s3_url": f"{buckets.platform.endpoint}/{buckets.name}/{key}",
                    "size_bytes": len(body),
                    "md5_hash": md5(body),
                    "md5_source": "etag",
                    "etag": md5(body),
                    "checksum": {
                        "crc32": base64.b64encode(zlib.crc32(body).to_bytes(4)).decode(),
                        "type": "FULL_OBJECT",
                    },
                    "content_type": "image/jpeg",
                    "storage_class": "STANDARD",
                    "version_id": head["VersionId"],
                    "uploaded_at": uploaded_at,
                    "last_modified": uploaded_at,
                    "local_path": None,
                    "prompt": "a lighthouse",
                    "generated_at": None,
                    "generation_id": 3,
                    "generation_type": "declared",
                    "source": "s3_scan",  # no subscription of this bucket is recorded
                    "good": True,
                    "labels": [],
                    "metadata": {},
                }
            ],
            "captions": [],
            "hidden": [],
        }

    def test_adds_an_upload_in_another_bucket_to_a_manifest_in_that_bucket(self, sam, buckets):
        prefix = "system_actors/training_data/7/"
        buckets.put(f"{prefix}pose_001.png", b"png")

        assert sam.reconcile("s3-put-actor", buckets) == DONE

        manifest = buckets.manifest(prefix)
        (entry,) = manifest["files"]
        assert (manifest["s3_bucket"], manifest["actor_id"], entry["md5_hash"]) == (buckets.actors, "7", md5(b"png"))
        assert entry["s3_url"] == f"{buckets.platform.endpoint}/{buckets.actors}/{prefix}pose_001.png"
        assert buckets.manifests(buckets.name) == []

    def test_adds_a_copy_to_the_manifest(self, sam, buckets):
        buckets.put("elsewhere/original.jpg", b"jpeg")
        source = {"Bucket": buckets.name, "Key": "elsewhere/original.jpg"}
        buckets.s3.copy_object(Bucket=buckets.name, Key="styles/16/image_002.jpg", CopySource=source)

        assert sam.reconcile("s3-copy", buckets) == DONE

        (entry,) = buckets.manifest("styles/16/")["files"]
        assert (entry["filename"], entry["md5_hash"]) == ("image_002.jpg", md5(b"jpeg"))

    def test_computes_the_md5_of_a_multipart_upload(self, sam, buckets):
        target = {"Bucket": buckets.name, "Key": "styles/16/video_001.mp4"}
        upload = target | {"UploadId": buckets.s3.create_multipart_upload(**target)["UploadId"]}
        part = {"PartNumber": 1, "ETag": buckets.s3.upload_part(**upload, PartNumber=1, Body=b"mpeg")["ETag"]}
        buckets.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})

        assert sam.reconcile("s3-multipart", buckets) == DONE

        (entry,) = buckets.manifest("styles/16/")["files"]
        assert entry["etag"].endswith("-1")
        assert (entry["md5_hash"], entry["md5_source"]) == (md5(b"mpeg"), "computed")

    def test_decodes_a_key_with_spaces_signs_and_other_scripts_exactly(self, sam, buckets):
        filename = "más de 100% + ½ 日本 & co.jpg"
        buckets.put(f"styles/16/{filename}", b"jpeg")

        assert sam.reconcile("s3-put-odd-key", buckets) == DONE

        (entry,) = buckets.manifest("styles/16/")["files"]
        assert (entry["filename"], entry["s3_key"]) == (filename, f"styles/16/{filename}")
        assert entry["s3_url"].endswith(f"/styles/16/{quote(filename)}")

    def test_removes_a_deleted_object(self, sam, buckets):
        buckets.put("styles/16/image_001.jpg", b"stays")
        buckets.put("styles/16/image_003.jpg", b"goes")
        sam.reconcile("s3-put", buckets)
        assert buckets.manifest("styles/16/")["total_files"] == 2

        buckets.delete("styles/16/image_003.jpg")
        assert sam.reconcile("s3-delete", buckets) == DONE

        after = buckets.manifest("styles/16/")
        assert [entry["filename"] for entry in after["files"]] == ["image_001.jpg"]
        assert (after["total_files"], after["total_size_bytes"], after["revision"]) == (1, len(b"stays"), 2)

    def test_trusts_s3_over_an_expiration_event(self, sam, buckets):
        prefix = "system_actors/training_data/7/"
        buckets.put(f"{prefix}pose_001.png", b"uploaded again since")
        sam.reconcile("s3-lifecycle-expiration", buckets)
        assert buckets.manifest(prefix)["total_files"] == 1

        buckets.delete(f"{prefix}pose_001.png")
        assert sam.reconcile("s3-lifecycle-expiration", buckets) == DONE

        after = buckets.manifest(prefix)
        assert (after["actor_id"], after["total_files"], after["files"]) == ("7", 0, [])

    def test_keeps_an_existing_object_despite_an_event_about_a_delete_marker(self, sam, buckets):
        buckets.put("styles/16/image_002.jpg", b"jpeg")
        sam.reconcile("s3-copy", buckets)
        before = buckets.manifest("styles/16/")

        assert sam.reconcile("s3-delete-marker", buckets) == DONE

        after = buckets.manifest("styles/16/")
        assert (after["files"], after["revision"]) == (before["files"], before["revision"])
        assert after["commit"] != before["commit"]

    def test_returns_the_malformed_message_of_a_batch_and_processes_the_others(self, sam, buckets):
        buckets.put("styles/16/image_001.jpg", b"jpeg")
        buckets.put("system_actors/training_data/7/pose_002.png", b"png")
        buckets.put("exports/2025-10/report.csv", b"csv")
        malformed = json.loads((sam.project / "events/sqs-batch.json").read_text())["Records"][3]["messageId"]

        assert sam.reconcile("sqs-batch", buckets) == {"batchItemFailures": [{"itemIdentifier": malformed}]}

        for bucket, prefix in ((buckets.name, "styles/16/"), (buckets.actors, "system_actors/training_data/7/")):
            change, head = buckets.manifests(bucket)
            assert change.startswith(f"_manifests/{prefix}changes/000000000001-")
            assert head == f"_manifests/{prefix}manifest.json"
        (style,) = buckets.manifest("styles/16/")["files"]
        (actor,) = buckets.manifest("system_actors/training_data/7/")["files"]
        assert (style["filename"], style["md5_hash"]) == ("image_001.jpg", md5(b"jpeg"))
        assert (actor["filename"], actor["md5_hash"]) == ("pose_002.png", md5(b"png"))

    def test_writes_nothing_for_the_test_message_of_s3(self, sam, buckets):
        buckets.put("styles/16/image_001.jpg", b"jpeg")
        assert sam.reconcile("s3-test-event", buckets) == DONE
        assert buckets.manifests(buckets.name) == []

    @pytest.mark.parametrize(("wrapped", "filename"), [("sqs-sns-wrapped", "image_001.jpg"), ("sns", "image_002.jpg")])
    def test_unwraps_messages_from_sns(self, sam, buckets, wrapped, filename):
        buckets.put(f"styles/16/{filename}", b"jpeg")
        assert sam.reconcile(wrapped, buckets) == DONE
        assert [entry["filename"] for entry in buckets.manifest("styles/16/")["files"]] == [filename]

    def test_processes_an_eventbridge_event(self, sam, buckets):
        buckets.put("styles/16/image_001 + 100%.jpg", b"jpeg")
        assert sam.reconcile("eventbridge", buckets) == DONE
        assert [entry["filename"] for entry in buckets.manifest("styles/16/")["files"]] == ["image_001 + 100%.jpg"]


class TestQuery:
    @pytest.mark.parametrize(
        ("request_event", "expected"),
        [
            ("http-get-manifest", {"style_id": "16", "total_files": 3}),
            ("http-get-page", {"style_id": "16", "total_files": 3}),
            ("http-get-catalog", {"cursor": None}),
        ],
    )
    def test_responds_to_http_api_requests(self, sam, published, request_event, expected):
        answer = sam.invoke("QueryFunction", request_event, "--env-vars", published.env_vars)
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"]).items() >= expected.items()

    def test_returns_the_whole_manifest(self, api, published):
        answer = api.get("/api/s3/manifest?styleId=16")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.body == published.manifest("styles/16/")

    def test_returns_404_for_a_style_without_uploads(self, api):
        answer = api.get("/api/s3/manifest?styleId=17")
        assert answer.status == 404
        assert answer.body == {
            "error": "Manifest not found",
            "message": "No S3 uploads have been made for this style yet",
        }

    def test_returns_304_for_the_current_etag(self, api):
        etag = api.get("/api/s3/manifest?styleId=16").headers["etag"]
        again = api.get("/api/s3/manifest?styleId=16", {"If-None-Match": etag})
        assert (again.status, again.body, again.headers["etag"]) == (304, None, etag)

    def test_lists_every_collection_with_its_totals(self, api):
        answer = api.get("/api/manifests")
        collections = answer.body["collections"]
        assert [(c["kind"], c.get("style_id"), c.get("actor_id"), c["total_files"]) for c in collections] == [
            ("actor", None, "7", 1),
            ("style", "16", None, 3),
        ]
        assert answer.body["cursor"] is None

    def test_pages_through_a_manifest_to_its_end(self, api):
        filenames, query = [], "limit=1"
        while query:
            answer = api.get(f"/api/manifests/style/16?{query}")
            assert (answer.status, answer.body["total_files"]) == (200, 3)
            filenames += [entry["filename"] for entry in answer.body["files"]]
            assert len(filenames) <= 3
            query = answer.body["cursor"] and f"limit=1&cursor={quote(answer.body['cursor'], safe='')}"
        assert filenames == ["image_001.jpg", "image_002.jpg", "image_003.jpg"]

    def test_rejects_an_invalid_parameter_by_name(self, api):
        answer = api.get("/api/manifests/style/16?limit=0")
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert (answer.body["status"], answer.body["parameter"]) == (400, "limit")
