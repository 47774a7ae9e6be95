"""An HTTP API with JWT: what each scope allows."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from s3_manifest_cli.local_stack.platform import REGION
from s3_manifest_cli.local_stack.stack import Stack, deploy

READ, EDIT, DELETE = "images/read", "images/edit", "images/delete"
FILE = "/api/manifests/style/16/files/a.png"
UPLOAD = {"images": [{"filename": "b.png", "size": 3, "md5": "0" * 32}]}

pytestmark = pytest.mark.slow


class Issuer:
    """A user pool with a client for each set of scopes."""

    def __init__(self, stack: Stack) -> None:
        self.endpoint = stack.platform.endpoint
        self.cognito: Any = stack.platform.client("cognito-idp")
        self.pool = self.cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
        self.cognito.create_resource_server(
            UserPoolId=self.pool,
            Identifier="images",
            Name="images",
            Scopes=[{"ScopeName": name, "ScopeDescription": name} for name in ("read", "edit", "delete")],
        )
        self.clients = {
            scopes: self.cognito.create_user_pool_client(
                UserPoolId=self.pool,
                ClientName="-".join(scopes).replace("/", "-"),
                GenerateSecret=True,
                AllowedOAuthFlows=["client_credentials"],
                AllowedOAuthFlowsUserPoolClient=True,
                AllowedOAuthScopes=list(scopes),
            )["UserPoolClient"]
            for scopes in ((READ,), (EDIT,), (DELETE,), (EDIT, DELETE))
        }

    @property
    def audience(self) -> str:
        return ",".join(client["ClientId"] for client in self.clients.values())

    def token(self, *scopes: str) -> str:
        client = self.clients[scopes]
        secret = base64.b64encode(f"{client['ClientId']}:{client['ClientSecret']}".encode()).decode()
        answer = urllib3.request(
            "POST",
            f"{self.endpoint}/oauth2/token",
            body=urlencode({"grant_type": "client_credentials", "scope": " ".join(scopes)}),
            headers={"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"},
        )
        return answer.json()["access_token"]


@pytest.fixture(scope="module")
def issuer(stack):
    return Issuer(stack)


@pytest.fixture(scope="module")
def status_of(stack, issuer):
    """Sends a request with a token; returns the status."""
    parameters = {
        "ApiAuth": "JWT",
        "JwtIssuer": f"https://cognito-idp.{REGION}.amazonaws.com/{issuer.pool}",
        "JwtAudience": issuer.audience,
        "JwtReadScope": READ,
        "JwtEditScope": EDIT,
        "JwtDeleteScope": DELETE,
    }
    with_tokens = deploy(stack.platform, "tokens", parameters)
    stack.platform.client("s3").put_object(Bucket=with_tokens.bucket, Key="styles/16/a.png", Body=b"png")

    def status_of(method: str, path: str, token: str | None, body: object = None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = with_tokens.api_url + path
        return urllib3.request(method, url, json=body, headers=headers, timeout=35, retries=False).status

    return status_of


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "/api/manifests", None, {(READ,)}),
        ("POST", "/api/manifests/style/16/rescan", None, {(EDIT,), (EDIT, DELETE)}),
        ("PATCH", FILE, {"good": False}, {(EDIT,), (EDIT, DELETE)}),
        ("POST", "/api/styles/16/uploads", UPLOAD, {(EDIT,), (EDIT, DELETE)}),
        ("POST", "/api/styles/16/uploads", UPLOAD | {"overwrite": True}, {(EDIT, DELETE)}),
        ("DELETE", FILE, None, {(DELETE,), (EDIT, DELETE)}),
    ],
)
def test_a_token_allows_only_the_requests_of_its_scopes(status_of, issuer, method, path, body, allowed):
    statuses = {scopes: status_of(method, path, issuer.token(*scopes), body) for scopes in issuer.clients}
    assert {scopes for scopes, status in statuses.items() if status in {200, 202}} == allowed
    assert {status for scopes, status in statuses.items() if scopes not in allowed} <= {403}
    assert status_of(method, path, None, body) == 401
