"""The worst situations of a client, as a table: what is wrong, the command, the line that it prints, its exit code.

Each is run as a real process against real files and real servers on loopback (``test_situations``).
``cd tests && python -m client.situations`` runs them all and prints the table in Markdown.
"""

import os
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from client import processes
from client.sides import Sides
from client.transfers import Bucket, Proxy, Reply, fresh_bucket, self_signed
from contract.answers import Answer, AnsweringServer

from s3_manifest_cli.local_stack.platform import Platform, running_platform

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
XML = {"Content-Type": "application/xml"}
HTML = Answer(200, b"<html><body>Log in to the network</body></html>", {"Content-Type": "text/html"})


def refused(status: int, code: str, message: str = "no", more: str = "", **headers: str) -> Answer:
    """An error as AWS sends it."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()
    return Answer(status, body, XML | {name.replace("_", "-"): value for name, value in headers.items()})


def api_error(status: int, message: str) -> Answer:
    """An error as API Gateway sends it."""
    return Answer(status, b'{"message": "%s"}' % message.encode(), {"Content-Type": "application/json"})


class Stage:
    """The setup of a situation: a server that returns the ``answers``, a folder and, if needed, a bucket."""

    def __init__(self, server: AnsweringServer, place: Path, sides: Sides | None) -> None:
        self.server, self.place, self._sides = server, place, sides
        self.environment: dict[str, str] = {}
        self.streams: dict[str, Any] = {}

    @property
    def sides(self) -> Sides:
        """A folder and a bucket with a manifest."""
        assert self._sides
        return self._sides


@dataclass(frozen=True)
class Situation:
    """``line`` is the start of the last line on stderr (after ``Error:``), or with ``stdout`` of a line on stdout."""

    group: str
    what: str
    command: str
    line: str
    exit_code: int
    environment: dict[str, str] = field(default_factory=lambda: KEYS)
    answers: tuple[Answer, ...] = ()
    prepare: Callable[[Stage], None] | None = None
    needs_bucket: bool = False
    stdout: bool = False


def config(text: str) -> Callable[[Stage], None]:
    """A configuration file of AWS."""

    def prepare(stage: Stage) -> None:
        (stage.place / "config").write_text(text)
        stage.environment["AWS_CONFIG_FILE"] = str(stage.place / "config")

    return prepare


def _untrusted(stage: Stage) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(stage.place))
    stage.server._server.socket = context.wrap_socket(stage.server._server.socket, server_side=True)
    stage.environment["AWS_ENDPOINT_URL"] = stage.server.endpoint.replace("http:", "https:")


def _loop(stage: Stage) -> None:
    stage.sides.put("a.png")
    (stage.place / "loop").symlink_to("loop")


def _in_sync(stage: Stage) -> None:
    stage.sides.put("größe 猫.png")


def _only_in_s3(stage: Stage) -> None:
    stage.sides.put("größe 猫.png")


def _read_only(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.sides.folder.chmod(0o500)


def _shut(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.sides.write("a.png", "shut/b.png")
    (stage.sides.folder / "shut").chmod(0)


def _unreadable_file(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.sides.write("a.png", "b.png")
    (stage.sides.folder / "b.png").chmod(0)


def _full_stdout(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.streams["stdout"] = open("/dev/full", "wb")  # noqa: PTH123, SIM115  # the process closes its own


def _closed_pipe(stage: Stage) -> None:
    stage.sides.put("a.png")
    read, write = os.pipe()
    os.close(read)
    stage.streams["stdout"] = os.fdopen(write, "wb")


def _no_utf8_name(stage: Stage) -> None:
    stage.sides.write("a.png")
    with open(os.fsencode(stage.sides.folder) + b"/bad\xff.png", "wb"):  # noqa: PTH123  # pathlib takes no bytes
        pass


def _lines(stage: Stage) -> None:
    stage.sides.write("a.png")
    stage.sides.write("a.txt", body=b"two\nlines")


def _newer(stage: Stage) -> None:
    stage.sides.put("a.png")
    bucket, key = stage.sides.bucket, stage.sides.collection.head_key
    bucket.put(key, bucket.body(key).replace(b'"schema":1', b'"schema":2'))


def _torn(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.sides.bucket.put(stage.sides.collection.head_key, b'{"schema": 1, "ki')


def _incomplete(stage: Stage) -> None:
    stage.sides.commit_incomplete()


def _stale(stage: Stage) -> None:
    stage.sides.put_uncommitted("a.png")
    stage.sides.write("a.png")
    stage.sides.verify(timedelta(days=9), "a.png")


def _changed(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.sides.put_uncommitted("a.png", b"newer bytes")


def _archived(stage: Stage) -> None:
    stage.sides.put("a.png")
    below = f"/{stage.sides.bucket.name}/{stage.sides.key('a.png')}"
    answer = refused(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    stage.sides.proxy.before = lambda request: _reply(answer) if request.key == below else None


def _head_expired(stage: Stage) -> None:
    stage.sides.put("a.png")
    stage.sides.write("a.png")
    answer = _reply(refused(400, "ExpiredToken"))
    below = f"/{stage.sides.bucket.name}/{stage.sides.key('a.png')}"
    stage.sides.proxy.before = lambda request: answer if request.key == below else None


def _deleted_late(stage: Stage) -> None:
    """A local file that the manifest lacks: a pull sends a HEAD to S3 before it deletes the file."""
    stage.sides.put("b.png")
    stage.sides.write("a.png", "b.png")
    below = f"/{stage.sides.bucket.name}/{stage.sides.key('a.png')}"
    stage.sides.proxy.before = lambda request: _reply(refused(400, "ExpiredToken")) if request.key == below else None


def _reply(answer: Answer) -> Any:
    return Reply(answer.status, list(answer.headers.items()), answer.body)


BUCKET = "ls --bucket storyboard"
API = "ls --api-url {endpoint}"
EXPIRED = "Your AWS session has expired. Log in again (for example 'aws sso login') and repeat the command."
FETCHED = "The AWS credentials could not be fetched: "
PORTAL = "If your network has a login page (captive portal), open a browser and log in"

SITUATIONS = [
    Situation(
        "credentials", "none are set", BUCKET, "No AWS credentials found. Set AWS_PROFILE or --profile, or run", 3, {}
    ),
    Situation(
        "credentials",
        "the secret key is missing",
        BUCKET,
        "The AWS credentials are incomplete. Set both",
        3,
        {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"},
    ),
    Situation(
        "credentials",
        "there is no such profile",
        f"{BUCKET} --profile nope",
        "The config profile (nope) could not be found. List the profiles with 'aws configure list-profiles'.",
        2,
    ),
    Situation(
        "credentials",
        "the profile's program is not there",
        f"{BUCKET} --profile p",
        f"{FETCHED}[Errno 2] No such file or directory: '/nowhere/program'. Run 'aws sts get-caller-identity'",
        3,
        {},
        prepare=config("[profile p]\ncredential_process = /nowhere/program\n"),
    ),
    Situation(
        "credentials",
        "the profile's program prints no JSON",
        f"{BUCKET} --profile p",
        FETCHED,
        3,
        {},
        prepare=config("[profile p]\ncredential_process = echo <html>\n"),
    ),
    Situation(
        "credentials",
        "the SSO login has ended",
        f"{BUCKET} --profile p",
        "You are not logged in to AWS, or the login has expired. Log in (for example 'aws sso login')",
        3,
        {},
        prepare=config(
            "[profile p]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\nregion = us-east-1\n"
            "[sso-session s]\nsso_start_url = https://example.invalid/start\nsso_region = us-east-1\n"
        ),
    ),
    Situation("credentials", "the session has expired", BUCKET, EXPIRED, 3, answers=(refused(400, "ExpiredToken"),)),
    Situation(
        "credentials",
        "it expires before a HEAD, whose answer has no code",
        "pull style/16 {folder} --delete",
        f"delete local a.png: {EXPIRED}",
        3,
        prepare=_deleted_late,
        needs_bucket=True,
    ),
    Situation(
        "credentials",
        "the session token belongs to another session",
        BUCKET,
        "AWS refuses the session token. Take AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN from one",
        3,
        answers=(refused(400, "InvalidToken"),),
    ),
    Situation(
        "credentials",
        "the access key was deleted",
        BUCKET,
        "AWS does not know this access key. It may be deleted, or belong to another server",
        3,
        answers=(refused(403, "InvalidAccessKeyId"),),
    ),
    Situation(
        "credentials",
        "the secret key is mistyped",
        BUCKET,
        "AWS refuses the signature: the secret key does not belong to the access key. Check AWS_SECRET_ACCESS_KEY",
        3,
        answers=(refused(403, "SignatureDoesNotMatch"),),
    ),
    Situation(
        "credentials",
        "this machine's clock is wrong",
        BUCKET,
        "This machine's clock is wrong, so AWS refuses its requests. Set the clock",
        3,
        answers=(refused(403, "RequestTimeTooSkewed"),),
    ),
    Situation(
        "credentials",
        "a permission is missing",
        "info style/16 --bucket storyboard",
        "s3://storyboard/_manifests/styles/16/manifest.json: not read: 403 AccessDenied: no. Allow s3:GetObject and"
        " s3:ListBucket",
        3,
        answers=(refused(403, "AccessDenied"),),
    ),
    Situation(
        "credentials",
        "a policy denies it explicitly",
        "info style/16 --bucket storyboard",
        "s3://storyboard/_manifests/styles/16/manifest.json: not read: 403 AccessDenied: with an explicit deny in a"
        " resource-based policy. Change the policy that denies it (the bucket one)",
        3,
        answers=(refused(403, "AccessDenied", "with an explicit deny in a resource-based policy"),),
    ),
    Situation(
        "credentials",
        "AWS has closed the account",
        BUCKET,
        "AWS has disabled access for this account or bucket. Only the account's owner can enable it",
        3,
        answers=(refused(403, "AllAccessDisabled"),),
    ),
    Situation(
        "credentials",
        "the API does not take the token",
        API,
        "{endpoint} does not accept the token (401). Set S3_MANIFEST_API_TOKEN to a valid token",
        3,
        KEYS | {"S3_MANIFEST_API_TOKEN": "old"},
        answers=(api_error(401, "Unauthorized"),),
    ),
    Situation(
        "credentials",
        "the session that signs for the API has expired",
        API,
        EXPIRED,
        3,
        answers=(api_error(403, "The security token included in the request is expired"),),
    ),
    Situation(
        "region",
        "it is set to nothing",
        BUCKET,
        "No AWS region is set. Pass --region, or set AWS_DEFAULT_REGION.",
        3,
        KEYS | {"AWS_DEFAULT_REGION": ""},
    ),
    Situation(
        "region",
        "the bucket is in another one (301)",
        BUCKET,
        "The bucket is in eu-west-1. Pass --region eu-west-1.",
        3,
        answers=(refused(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),),
    ),
    Situation(
        "region",
        "the bucket is in another one (400)",
        BUCKET,
        "The bucket is in eu-west-1. Pass --region eu-west-1.",
        3,
        answers=(refused(400, "AuthorizationHeaderMalformed", more="<Region>eu-west-1</Region>"),),
    ),
    Situation(
        "region",
        "there is none of that name",
        f"{BUCKET} --region eu_west",
        "Provided region_name 'eu_west' doesn't match",
        2,
    ),
    Situation(
        "region",
        "the stack is in another one",
        "ls --stack images",
        "There is no stack images in this account and region. List yours with 'aws cloudformation list-stacks'",
        3,
        answers=(
            Answer(
                400,
                b"<ErrorResponse><Error><Code>ValidationError</Code><Message>no</Message></Error></ErrorResponse>",
                XML,
            ),
        ),
    ),
    Situation(
        "network",
        "nobody listens",
        f"{BUCKET} --endpoint-url http://127.0.0.1:9",
        "127.0.0.1:9 cannot be reached. Check the network and the address: --region and --endpoint-url.",
        3,
    ),
    Situation(
        "network",
        "the name does not resolve",
        f"{BUCKET} --endpoint-url http://nowhere.invalid",
        "nowhere.invalid is not found: its name does not resolve. Check the network",
        3,
    ),
    Situation(
        "network",
        "the certificate is not trusted",
        BUCKET,
        "127.0.0.1:{port} has a TLS certificate that is not trusted. If your network inspects TLS, set AWS_CA_BUNDLE",
        3,
        prepare=_untrusted,
    ),
    Situation(
        "network",
        "the proxy is not there",
        f"{BUCKET} --endpoint-url http://example.invalid",
        "The proxy cannot be used. Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
        3,
        KEYS | {"HTTP_PROXY": "http://127.0.0.1:9"},
    ),
    Situation(
        "network",
        "a login page answers S3's requests",
        BUCKET,
        "Something other than AWS answered.",
        3,
        answers=(HTML,),
    ),
    Situation(
        "network",
        "a login page is redirected to",
        BUCKET,
        "Something other than AWS answered.",
        3,
        answers=(Answer(302, b"<html>", {"Location": "http://127.0.0.1:9/"}),),
    ),
    Situation(
        "network",
        "a login page answers the API's requests",
        API,
        "{endpoint} answered 200 with text/html, so it is not the S3 Manifest API. " + PORTAL,
        3,
        answers=(HTML,),
    ),
    Situation(
        "network",
        "nobody listens at the API's URL",
        "ls --api-url http://127.0.0.1:9",
        "127.0.0.1:9 cannot be reached. Check the network and the address: --api-url.",
        3,
    ),
    Situation(
        "credentials",
        "the token holds a line break",
        "ls --api-url {endpoint}",
        "{endpoint}: a header of the request holds a character that HTTP does not allow. Set S3_MANIFEST_API_TOKEN",
        3,
        KEYS | {"S3_MANIFEST_API_TOKEN": "secret\nsecret"},
    ),
    Situation(
        "network",
        "the bucket's name cannot be one",
        "ls --bucket not:a:bucket",
        "'not:a:bucket' is not a bucket name. Check --bucket and S3_MANIFEST_BUCKET.",
        3,
    ),
    Situation(
        "network",
        "the API's URL has no scheme",
        "ls --api-url abc.execute-api.eu-west-1.amazonaws.com",
        "'abc.execute-api.eu-west-1.amazonaws.com' is not the URL of an API. Pass --api-url https://",
        3,
    ),
    Situation(
        "network",
        "the API's 502 breaks off",
        API,
        "The connection broke. Repeat the command",
        3,
        answers=(Answer(502, b"<html><bo", {"Content-Type": "text/html"}, length=1000),),
    ),
    Situation(
        "network",
        "S3's 503 is no whole XML",
        BUCKET,
        "The server is busy and refused the request. Repeat the command in a minute.",
        3,
        answers=(Answer(503, b"<Error><Code>Slo", XML),),
    ),
    Situation(
        "network",
        "S3 fails",
        BUCKET,
        "The server failed (500 InternalError: no). Repeat the command in a minute.",
        3,
        answers=(refused(500, "InternalError"),),
    ),
    Situation(
        "network",
        "there is no such bucket",
        BUCKET,
        "There is no such bucket. Check --bucket or S3_MANIFEST_BUCKET, the AWS account and --endpoint-url.",
        3,
        answers=(refused(404, "NoSuchBucket"),),
    ),
    Situation(
        "disk",
        "LOCAL is a link to itself",
        "pull style/16 {place}/loop",
        "{place}/loop was not read: its symbolic",
        3,
        prepare=_loop,
        needs_bucket=True,
    ),
    Situation(
        "disk",
        "LOCAL is not there",
        "push {place}/nowhere style/16",
        "There is no folder {place}/nowhere",
        2,
        needs_bucket=True,
    ),
    Situation(
        "disk",
        "stdout is a full disk",
        "status {folder} style/16",
        "No space left on device",
        3,
        prepare=_full_stdout,
        needs_bucket=True,
    ),
    Situation(
        "disk",
        "stdout is read by nobody",
        "status {folder} style/16",
        "Standard output was closed before all output was written.",
        3,
        prepare=_closed_pipe,
        needs_bucket=True,
    ),
    Situation(
        "permissions",
        "LOCAL may not be written",
        "pull style/16 {folder}",
        "'{folder}/.s3-manifest' was not opened: permission denied",
        3,
        prepare=_read_only,
        needs_bucket=True,
    ),
    Situation(
        "permissions",
        "a part of LOCAL may not be read",
        "push {folder} style/16",
        "Warning: shut/: skipped, permission denied",
        3,
        prepare=_shut,
        needs_bucket=True,
    ),
    Situation(
        "permissions",
        "a file may not be read",
        "push {folder} style/16",
        "upload b.png: ",
        3,
        prepare=_unreadable_file,
        needs_bucket=True,
    ),
    Situation(
        "permissions",
        "what is kept here may not be written",
        "status {folder} style/16",
        "Compared {folder} with style/16 (revision 1):",
        1,
        {"S3_MANIFEST_CACHE": "/proc/nowhere"},
        prepare=_in_sync,
        needs_bucket=True,
        stdout=True,
    ),
    Situation(
        "encoding",
        "the terminal cannot show a name",
        "status {folder} style/16 --combined",
        "- größe \\u732b.png",
        1,
        {"PYTHONIOENCODING": "cp1252"},
        prepare=_only_in_s3,
        needs_bucket=True,
        stdout=True,
    ),
    Situation(
        "encoding",
        "Python takes names of files for ASCII",
        "pull style/16 {folder}",
        "Python reads filenames on this system as ascii, and names in S3 are UTF-8. Set PYTHONUTF8=1",
        3,
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        prepare=_only_in_s3,
        needs_bucket=True,
    ),
    Situation(
        "encoding",
        "a file's name is not UTF-8",
        "push {folder} style/16",
        "Warning: bad\\xff.png: skipped, the name is not valid UTF-8",
        3,
        {},
        prepare=_no_utf8_name,
        needs_bucket=True,
    ),
    Situation(
        "encoding",
        "a caption has two lines",
        "push {folder} style/16",
        "",
        0,
        {},
        prepare=_lines,
        needs_bucket=True,
    ),
    Situation(
        "manifest",
        "a newer version wrote it",
        "pull style/16 {folder}",
        "s3://{bucket}/_manifests/styles/16/manifest.json: written by a newer version: its schema is 2; this version"
        " reads 1. Upgrade with '",
        3,
        {},
        prepare=_newer,
        needs_bucket=True,
    ),
    Situation(
        "manifest",
        "it is torn",
        "pull style/16 {folder}",
        "s3://{bucket}/_manifests/styles/16/manifest.json: it is not JSON: EOF while parsing a string at line 1"
        " column 17.",
        3,
        {},
        prepare=_torn,
        needs_bucket=True,
    ),
    Situation(
        "manifest",
        "it is incomplete",
        "pull style/16 {folder}",
        "Warning: the manifest of style/16 is incomplete: files that are in S3 may be missing from it.",
        3,
        {},
        prepare=_incomplete,
        needs_bucket=True,
    ),
    Situation(
        "manifest",
        "nobody compared it with S3 for days",
        "pull style/16 {folder}",
        "Warning: the manifest of style/16 was last compared with S3 on ",
        0,
        {},
        prepare=_stale,
        needs_bucket=True,
    ),
    Situation(
        "manifest",
        "the object changed after the manifest was written",
        "pull style/16 {folder}",
        "download a.png: Skipped: the object in S3 changed or was deleted after this manifest was written.",
        3,
        {},
        prepare=_changed,
        needs_bucket=True,
    ),
    Situation(
        "manifest",
        "the object is archived",
        "pull style/16 {folder}",
        "download a.png: not read: 403 InvalidObjectState: The operation is not valid for the object's storage class."
        " It is archived: restore it from its archive first",
        3,
        {},
        prepare=_archived,
        needs_bucket=True,
    ),
]


class Outcome(NamedTuple):
    """The result of the process, and the expected line with its placeholders filled in."""

    command: str
    exit_code: int
    stdout: str
    stderr: str
    expected: str

    def line(self, situation: Situation) -> str:
        """The line that the user reads."""
        if situation.stdout:
            return next((line for line in self.stdout.splitlines() if line.startswith(self.expected)), "")
        last = (self.stderr.splitlines() or [""])[-1]
        return last.removeprefix("Error: ")


def act(situation: Situation, place: Path, bucket: Callable[[], Bucket]) -> Outcome:
    """Runs the situation in an empty folder; ``bucket`` creates a bucket on a real server."""
    with ExitStack() as stack:
        server = stack.enter_context(AnsweringServer())
        server.answers = list(situation.answers) or [refused(500, "NothingSaid")]
        sides = None
        if situation.needs_bucket:
            created = bucket()
            proxy = stack.enter_context(Proxy(created.endpoint))
            sides = Sides(created, proxy, place / "dest", place / "cache")
            sides.folder.mkdir()
        stage = Stage(server, place, sides)
        if situation.prepare:
            situation.prepare(stage)
        names = {"endpoint": server.endpoint, "port": server.endpoint.rpartition(":")[2], "place": place}
        names |= {"folder": sides.folder, "bucket": sides.bucket.name} if sides else {"folder": place}
        environment = {"AWS_ENDPOINT_URL": server.endpoint} | (sides.environment if sides else {})
        environment |= situation.environment if not sides or situation.environment != KEYS else {}
        arguments = situation.command.format(**names).split()
        ended = processes.run(*arguments, environment=environment | stage.environment, **stage.streams)
        for stream in stage.streams.values():
            stream.close()
        if sides:
            for folder in (sides.folder, sides.folder / "shut"):
                if folder.exists():
                    folder.chmod(0o700)
        encoding = environment.get("PYTHONIOENCODING", "utf-8") if situation.stdout else "utf-8"
        return Outcome(
            situation.command,
            ended.returncode,
            (ended.stdout or b"").decode(encoding),
            ended.stderr.decode(),
            situation.line.format(**names) if "{" in situation.line else situation.line,
        )


def rows(platform: Platform) -> Iterator[str]:
    """The table in Markdown."""
    yield "| | situation | command | printed | exit |"
    yield "| --- | --- | --- | --- | --- |"
    for situation in SITUATIONS:
        with tempfile.TemporaryDirectory() as place:
            outcome = act(situation, Path(place), lambda: fresh_bucket(platform))
            shown = outcome.line(situation).replace(place, "…").replace("|", "\\|")
        command = f"s3-manifest {situation.command}".replace("|", "\\|")
        yield f"| {situation.group} | {situation.what} | `{command}` | {shown} | {outcome.exit_code} |"


if __name__ == "__main__":
    with running_platform() as running:
        for row in rows(running):
            print(row, flush=True)
    sys.exit(0)
