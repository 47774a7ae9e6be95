"""Each route answers valid and invalid requests as the OpenAPI document describes."""

from typing import Any

import pytest
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from s3_manifest_cli.local_stack.platform import ACCESS_KEY, REGION, SECRET_KEY
from s3_manifest_cli.local_stack.stack import ACTOR_BUCKET

REQUESTS_PER_ROUTE = 20
STYLE, ACTOR = "described", "0201_male"
# The document accepts any text as a cursor; the API only those that it returned.
EXCLUDED_CHECKS = [positive_data_acceptance]


def signed(request: Any) -> Any:
    content_type = {name: value for name, value in request.headers.items() if name.lower() == "content-type"}
    signed_request = AWSRequest(request.method, request.url, data=request.body, headers=content_type)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "execute-api", REGION).add_auth(signed_request)
    request.headers.update(dict(signed_request.headers))
    return request


def use_existing_names(case: Any, number: int) -> None:
    """Makes most requests name existing things, and none wait; ``number``: 0 to 9."""
    known = {"kind": "style", "collection_id": STYLE, "id": STYLE, "styleId": STYLE}
    known |= {"actor_id": "201", "actorId": "201"}
    if "training-data" in case.operation.path:  # it would request a sweep and wait for it
        case.query = dict(case.query or {}) | {"wait": 0}
    for where in (case.path_parameters, case.query):
        for name in list(where or ()):
            if name == "wait":
                where[name] = 0
            elif number and (name in {"cursor", "reflects"} or (name == "actorId" and "styleId" in where)):
                del where[name]
            elif name in known and number < 8:
                where[name] = known[name]


def can_be_invalid(operation: dict[str, Any]) -> bool:
    """Returns whether the document constrains a request; a path may contain any text."""
    parameters = operation.get("parameters", ())
    return "requestBody" in operation or any(
        parameter["in"] == "query" or "enum" in parameter["schema"] for parameter in parameters
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_route_answers_as_the_document_describes(stack, s3, eventually, mode):
    s3.put_object(Bucket=stack.bucket, Key=f"styles/{STYLE}/a.png", Body=b"bytes")
    s3.put_object(Bucket=ACTOR_BUCKET, Key=f"system_actors/training_data/{ACTOR}/a.png", Body=b"bytes")
    for query in ({"styleId": STYLE}, {"actorId": ACTOR}):
        eventually(lambda query=query: stack.get("/api/s3/manifest", query), lambda answer: answer.status == 200)
    document = stack.get("/api/openapi.json").body
    statuses = set()
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not can_be_invalid(document["paths"][operation.path][operation.method]):
            continue

        @seed(1)
        @settings(
            max_examples=REQUESTS_PER_ROUTE,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), number=st.integers(0, 9))
        def send(case: Any, number: int) -> None:
            if mode is GenerationMode.POSITIVE:
                use_existing_names(case, number)
            answer = case.call(base_url=stack.api_url, auth=signed, timeout=35)
            statuses.add(answer.status_code)
            case.validate_response(answer, excluded_checks=EXCLUDED_CHECKS)

        send()
    assert statuses >= ({200, 202, 404} if mode is GenerationMode.POSITIVE else {400})
