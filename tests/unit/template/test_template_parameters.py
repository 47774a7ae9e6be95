"""The template's dependencies, accepted parameters, and deployed resources."""

import json
import os
import re
import subprocess
import sys
from itertools import combinations, product

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from s3_manifest.aws.settings import Settings
from s3_manifest.http import app
from s3_manifest_cli.local_stack.stack import template

TEMPLATE = template()
PARAMETERS = TEMPLATE["Parameters"]
RESOURCES = TEMPLATE["Resources"]
DEFAULTS = {name: str(item["Default"]) for name, item in PARAMETERS.items()}
JWT = {"ApiAuth": "JWT", "JwtIssuer": "https://issuer.example.com/", "JwtAudience": "manifests"}
API_PARTS = ("Integration", "Authorizer", "Route", "Stage")


def truth(condition, values):
    """Evaluates a condition or a rule's assertion."""
    if isinstance(condition, str):
        return condition
    ((function, argument),) = condition.items()
    if function == "Ref":
        return values[argument]
    if function == "Fn::Join":
        delimiter, names = argument
        return delimiter.join(truth(names, values).split(","))
    if function == "Condition":
        return truth(TEMPLATE["Conditions"][argument], values)
    operands = [truth(item, values) for item in argument]
    combine = {"Fn::Equals": lambda pair: pair[0] == pair[1], "Fn::Not": lambda item: not item[0]}
    return (combine | {"Fn::And": all, "Fn::Or": any})[function](operands)


def deployed(**parameters):
    """Returns the resources with these parameters, with all conditions evaluated."""
    values = DEFAULTS | parameters

    def chosen(part):
        match part:
            case {"Fn::If": [name, then, otherwise]}:
                return chosen(then if truth({"Condition": name}, values) else otherwise)
            case dict():
                return {key: chosen(value) for key, value in part.items()}
            case list():
                return [chosen(item) for item in part]
        return part

    return {
        name: chosen(resource)
        for name, resource in RESOURCES.items()
        if "Condition" not in resource or truth({"Condition": resource["Condition"]}, values)
    }


def named_in(part):
    """Yields the resources that a part of the template refers to."""
    match part:
        case {"Ref": name} | {"Fn::GetAtt": [name, *_]}:
            yield name
        case {"Fn::Sub": str() as text} | {"Fn::Sub": [str() as text, _]}:
            yield from (name.partition(".")[0] for name in re.findall(r"\${([\w.:]+)}", text))
            if isinstance(part["Fn::Sub"], list):
                yield from named_in(part["Fn::Sub"][1])
        case dict():
            for key, value in part.items():
                yield from [value] if key == "DependsOn" and isinstance(value, str) else ()
                yield from value if key == "DependsOn" and isinstance(value, list) else named_in(value)
        case list():
            for item in part:
                yield from named_in(item)


def before(name, resources):
    """Returns the resources that are created before this one."""
    ancestors, waiting = set(), [name]
    while waiting:
        direct = set(named_in(resources[waiting.pop()])) & resources.keys()
        waiting += direct - ancestors
        ancestors |= direct
    return ancestors


@pytest.mark.parametrize(("auth", "edits"), list(product(({}, JWT), ("true", "false"))))
def test_parts_of_the_api_are_changed_one_after_another(auth, edits):
    resources = deployed(**auth, AllowEdits=edits)
    parts = [name for name, item in resources.items() if item["Type"].startswith("AWS::ApiGatewayV2::")]
    assert {RESOURCES[name]["Type"].rpartition("::")[2] for name in parts} >= {"Integration", "Route", "Stage"}
    unordered = [
        (item, other)
        for item, other in combinations(parts, 2)
        if item not in before(other, resources) and other not in before(item, resources)
    ]
    assert unordered == []


def test_the_api_precedes_the_functions_so_that_sam_local_reads_it():
    kinds = [item["Type"] for item in RESOURCES.values()]
    last_of_the_api = max(i for i, kind in enumerate(kinds) if kind.startswith("AWS::ApiGatewayV2::"))
    assert last_of_the_api < kinds.index("AWS::Serverless::Function")


@pytest.mark.parametrize("edits", ["true", "false"])
def test_deployed_resources_refer_only_to_deployed_resources(edits):
    resources = deployed(AllowEdits=edits)
    known = resources.keys() | PARAMETERS.keys() | {"Name"}
    dangling = {
        (name, other)
        for name, item in resources.items()
        for other in named_in(item)
        if other not in known and not other.startswith("AWS::")
    }
    assert {pair for pair in dangling if pair[1] in RESOURCES} == set()


def test_without_edits_no_function_may_write_or_delete_data():
    resources = deployed(AllowEdits="false")
    assert not [name for name in resources if name.startswith("Edit")]
    routes = [item["Properties"]["RouteKey"] for item in resources.values() if item["Type"].endswith("::Route")]
    assert sorted(routes) == [
        "GET /api/{proxy+}",
        "POST /api/manifests/rescan",
        "POST /api/manifests/{kind}/{id}/rescan",
    ]
    assert resources["QueryFunction"]["Properties"]["Environment"]["Variables"]["ALLOW_EDITS"] == {"Ref": "AllowEdits"}


def test_announcements_and_the_dashboard_are_off_by_default():
    assert "Dashboard" not in deployed()
    assert "Dashboard" in deployed(CreateDashboard="true")
    assert DEFAULTS["AnnounceChanges"] == "false"


@pytest.mark.parametrize("edits", ["true", "false"])
def test_the_dashboard_shows_only_deployed_functions(edits):
    text, more = deployed(CreateDashboard="true", AllowEdits=edits)["Dashboard"]["Properties"]["DashboardBody"][
        "Fn::Sub"
    ]
    for name, value in more.items():
        text = text.replace(f"${{{name}}}", value["Fn::Sub"] if isinstance(value, dict) else value)
    widgets = json.loads(re.sub(r"\${([^}]+)}", r"\1", text))["widgets"]
    shown = {item[3] for widget in widgets for item in widget["properties"]["metrics"] if item[0] == "AWS/Lambda"}
    functions = {"ReconcileFunction", "SweepFunction", "QueryFunction", "RescanFunction"}
    assert shown == functions | ({"EditFunction"} if edits == "true" else set())


RIGHTS = {"GET": "read", "POST": "edit", "PATCH": "edit", "DELETE": "delete"}


@pytest.mark.parametrize("scopes", list(product(("", "images/read"), ("", "images/edit"), ("", "images/delete"))))
def test_each_route_requires_the_scope_that_the_functions_require(scopes, monkeypatch):
    names = ("JwtReadScope", "JwtEditScope", "JwtDeleteScope")
    values = dict(zip(names, scopes, strict=True))
    resources = deployed(**JWT, **values)
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    environment = {name: values.get(item.get("Ref"), "x") for name, item in variables.items() if isinstance(item, dict)}
    monkeypatch.setattr(app, "settings", lambda: Settings.model_validate(environment))
    routes = [item["Properties"] for item in resources.values() if item["Type"] == "AWS::ApiGatewayV2::Route"]
    assert len(routes) == 6
    for route in routes:
        needed = app.required_scope(RIGHTS[route["RouteKey"].partition(" ")[0]])
        required = route["AuthorizationScopes"]
        assert [values[item["Ref"]] for item in required] == [needed] if needed else required == {"Ref": "AWS::NoValue"}


def test_requests_are_limited_and_logged():
    stage = deployed()["ApiStage"]["Properties"]
    assert set(stage["DefaultRouteSettings"]) == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
    assert stage["AccessLogSettings"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogs", "Arn"]}
    assert "\n" not in stage["AccessLogSettings"]["Format"].strip()
    quiet = deployed(ApiAccessLog="false")
    assert "ApiLogs" not in quiet
    assert quiet["ApiStage"]["Properties"]["AccessLogSettings"] == {"Ref": "AWS::NoValue"}


@pytest.fixture(scope="module")
def transformed():
    """Returns the template after the SAM transform."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    untransformed = template()
    for item in untransformed["Resources"].values():
        for where in ("CodeUri", "ContentUri"):
            if where in item.get("Properties", {}):
                item["Properties"][where] = "s3://artifacts/code.zip"
    return Translator({}, Parser()).translate(untransformed, {})["Resources"]


def test_each_function_logs_json_at_the_configured_level_into_its_own_group(transformed):
    functions = {name: item for name, item in transformed.items() if item["Type"] == "AWS::Lambda::Function"}
    assert len(functions) == 6
    for name, item in functions.items():
        group = {"Ref": name.replace("Function", "Logs")}
        expected = {"LogFormat": "JSON", "ApplicationLogLevel": {"Ref": "LogLevel"}, "LogGroup": group}
        assert item["Properties"]["LoggingConfig"] == expected


@pytest.mark.parametrize("on_lambda", [True, False], ids=["Lambda", "elsewhere"])
def test_each_log_level_of_the_template_is_applied_by_the_functions(on_lambda):
    levels = PARAMETERS["LogLevel"]["AllowedValues"]
    assert levels == ["DEBUG", "INFO", "WARN", "ERROR"]
    program = "from aws_lambda_powertools import Logger; print(Logger(service='a').log_level)"
    applied = []
    for level in levels:
        # With JSON logs, Lambda sets the first from LoggingConfig; the template sets the second.
        lambda_level = {"AWS_LAMBDA_LOG_LEVEL": level} if on_lambda else {}
        environment = {**os.environ, **lambda_level, "POWERTOOLS_LOG_LEVEL": level}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, check=True
        )
        applied.append(int(done.stdout))
    assert applied == [10, 20, 30, 40]


KEY = "arn:aws:kms:eu-west-1:123456789012:key/"
UUID = "1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (
            "ExistingBucket",
            ["", "abc", "my-images.example.com"],
            ["true", "ab", "My-Images", "s3://images", "arn:aws:s3:::images", "a" * 64, "images/", "images-"],
        ),
        # CloudFormation applies the pattern to each name.
        (
            "AdditionalBuckets",
            ["", "abc", "my-images.example.com"],
            ["ab", "My-Images", "s3://images", "arn:aws:s3:::images", "images/", "images/*", "images-"],
        ),
        ("BucketName", ["", "my-images"], ["Images", "my_images", "-images"]),
        (
            "Collections",
            [
                "style=styles/{style_id}/",
                "a=x/{a_id}/y/,b=z/{b_id}/",
                "style=styles/{style_id}/, actor=a b/{actor_id}/",
                "style=s3://my-images/styles/{style_id}/",
                "style=styles/{style_id}/, actor=s3://story-boards.assets/actors/{actor_id}/training/",
            ],
            [
                "",
                "styles/{style_id}/",
                "style=styles/",
                "style=styles/{actor_id}/",
                "style=/{style_id}/",
                "style={style_id}/",
                "style=styles/{style_id}",
                "Style=styles/{Style_id}/",
                "style=styles/{style_id}/,actor",
                "a=x/{a_id}/ b=y/{b_id}/",
                "style=s3://my-images/{style_id}/",
                "style=s3://My-Images/styles/{style_id}/",
                "style=s3:///styles/{style_id}/",
                "style=s3://my-images//styles/{style_id}/",
                "style=s3:/my-images/styles/{style_id}/",
            ],
        ),
        ("ManifestRoot", ["_manifests/", "a/b/"], ["", "/", "_manifests", "/a/", "a*/", "${aws:username}/", "a//"]),
        (
            "KmsKeyArn",
            ["", KEY + UUID, KEY + "mrk-" + "0" * 32, KEY.replace("aws", "aws-us-gov") + UUID],
            [UUID, "alias/images", KEY.replace("key/", "alias/") + "images", KEY, KEY + "*"],
        ),
        (
            "AlarmTopicArn",
            ["", TOPIC, TOPIC.replace("aws", "aws-cn")],
            ["alarms", TOPIC.replace("sns", "sqs"), TOPIC + ".fifo", TOPIC + ":0d4d", "me@example.com"],
        ),
        (
            "JwtIssuer",
            ["", "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_a", "https://a.example.com/"],
            ["a.example.com", "http://a.example.com", "https://", "https://a.example.com/?a=b"],
        ),
        ("JwtAudience", ["", "a", "a,b"], [",", "a,", "a, b", ",a"]),
        (
            "SweepSchedule",
            [
                "",
                "rate(1 day)",
                "rate(12 hours)",
                "rate(1 hour)",
                "cron(0 3 * * ? *)",
                "cron(0/15 3 ? * MON-FRI *)",
                "cron(0 3 L * ? 2027)",
                "cron(0 3 ? * 6#3 *)",
            ],
            [
                "daily",
                "rate(1 days)",
                "rate(12 hour)",
                "rate(0 days)",
                "rate(1.5 hours)",
                "cron(0 3 * * * *)",
                "cron(0 3 * * ?)",
                "cron(0 3 ? * ? *)",
                "0 3 * * *",
            ],
        ),
        ("EventBusName", ["default", "my.bus/1"], ["", "arn:aws:events:us-east-1:123456789012:event-bus/a"]),
        ("HistoryDays", ["1", "30", "3650"], ["", "0", "-1", "1.5", "1e2", "030"]),
        ("Md5MaxBytes", ["0", "104857600"], ["", "-1", "1.5", "100MB"]),
        ("JwtReadScope", ["", "images/read", "https://a.example.com/images.read"], ["a b", 'a"b', "a\\b", "a" * 65]),
        ("JwtEditScope", ["", "images/edit"], ["a b", "a" * 65]),
        ("JwtDeleteScope", ["", "images/delete"], ["a b", "a" * 65]),
        ("ApiRateLimit", ["1", "10000"], ["0", "1.5", ""]),
        ("ApiBurstLimit", ["1", "5000"], ["0", "1.5", ""]),
        ("MaxWaitSeconds", ["0", "9", "10", "20"], ["21", "-1", "1.5", "", "010"]),
        ("QueryConcurrency", ["0", "1", "1000"], ["-1", "1.5", "", "01"]),
    ],
)
def test_values_that_would_fail_during_a_deployment_are_rejected_before_it(parameter, good, bad):
    pattern = PARAMETERS[parameter]["AllowedPattern"]
    assert [value for value in good if not re.fullmatch(pattern, value)] == []
    assert [value for value in bad if re.fullmatch(pattern, value)] == []
    assert re.fullmatch(pattern, DEFAULTS[parameter])
    assert "ConstraintDescription" in PARAMETERS[parameter]


def test_every_parameter_is_checked_and_described():
    free = {
        name for name, item in PARAMETERS.items() if not item.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}
    }
    assert free == set()
    assert [name for name, item in PARAMETERS.items() if "Description" not in item] == []


def refusals(**parameters):
    """Returns the rules that reject these parameters."""
    values = DEFAULTS | parameters
    return [
        name
        for name, rule in TEMPLATE["Rules"].items()
        if "RuleCondition" not in rule or truth(rule["RuleCondition"], values)
        for assertion in rule["Assertions"]
        if not truth(assertion["Assert"], values)
    ]


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({}, []),
        ({"ExistingBucket": "images"}, []),
        ({"BucketName": "images"}, []),
        ({"ExistingBucket": "images", "BucketName": "images"}, ["EitherBucket"]),
        (JWT, []),
        (JWT | {"JwtReadScope": "images/read", "JwtDeleteScope": "images/delete"}, []),
        ({"JwtReadScope": "images/read"}, ["ScopesAreOfTokens"]),
        ({"JwtDeleteScope": "images/delete"}, ["ScopesAreOfTokens"]),
        (JWT | {"JwtIssuer": ""}, ["JwtHasAnIssuerAndAnAudience"]),
        (JWT | {"JwtAudience": ""}, ["JwtHasAnIssuerAndAnAudience"]),
    ],
)
def test_contradictory_parameters_are_rejected(parameters, refused):
    assert refusals(**parameters) == refused


def test_only_the_query_function_reserves_concurrency_and_only_on_request():
    def reserved(**parameters):
        return deployed(**parameters)["QueryFunction"]["Properties"].get("ReservedConcurrentExecutions")

    assert reserved(QueryConcurrency="100") == {"Ref": "QueryConcurrency"}
    assert reserved() in (None, {"Ref": "AWS::NoValue"})
