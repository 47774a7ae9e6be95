import pytest

from s3_manifest.http.openapi import corrected, merged


def document(path, schema, **schemas):
    refers = {"$ref": "#/components/schemas/Thing"}
    answer = {"200": {"content": {"application/json": {"schema": refers}}}}
    return {
        "paths": {path: {"get": {"responses": answer}}},
        "components": {"schemas": {"Thing": schema, "Things": {"items": refers}} | schemas},
    }


def schema_of(whole, path):
    ref = whole["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    return whole["components"]["schemas"][ref.rpartition("/")[2]]


def test_schemas_that_share_only_a_name_stay_separate():
    whole = merged([document("/a", {"type": "string"}), document("/b", {"type": "integer"})])
    assert (schema_of(whole, "/a"), schema_of(whole, "/b")) == ({"type": "string"}, {"type": "integer"})
    assert set(whole["components"]["schemas"]) == {"Thing", "Thing2", "Things"}


def test_equal_schemas_are_merged():
    whole = merged([document("/a", {"type": "string"}), document("/b", {"type": "string"}, More={})])
    assert set(whole["components"]["schemas"]) == {"Thing", "Things", "More"}


def test_methods_of_the_same_path_are_merged():
    other = document("/a", {})
    other["paths"]["/a"] = {"post": {"responses": {}}}
    assert set(merged([document("/a", {}), other])["paths"]["/a"]) == {"get", "post"}


def routed(parameter=None, **responses):
    operation = {"responses": responses, "parameters": [parameter] if parameter else []}
    (documented,) = corrected({"paths": {"/a": {"get": operation}}})["paths"]["/a"].values()
    return documented


@pytest.mark.parametrize(
    ("schema", "tidy"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "A"}, {"type": "string", "title": "A"}),
        ({"anyOf": [{"type": "number", "maximum": 20}, {"type": "null"}]}, {"type": "number", "maximum": 20}),
    ],
)
def test_an_optional_parameter_is_not_documented_as_nullable(schema, tidy):
    assert routed({"schema": schema})["parameters"] == [{"schema": tidy}]


def test_statuses_of_the_http_api_are_documented_and_422_is_not():
    problem = {"application/problem+json": {}}
    documented = routed(**{"422": {}, "304": {"content": {"x": {}}}, "404": {"content": problem}})["responses"]
    assert set(documented) == {"304", "401", "403", "404", "429"}
    assert documented["304"] == {}
    assert set(documented["404"]["content"]) == {"application/json", "application/problem+json"}
    assert set(documented["401"]["content"]) == set(documented["429"]["content"]) == {"application/json"}
    assert set(documented["403"]["content"]) == {"application/json", "application/problem+json"}
