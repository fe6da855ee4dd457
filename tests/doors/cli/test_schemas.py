"""What `--json` prints is what its schema says, and the schema files are what the types say."""

import json
import os
from importlib import resources

import jsonschema
import msgspec
import pytest

from saksi.doors.cli.schemas import SCHEMAS, file_name, schema_text

FROZEN = [
    "saksi.audit/v1",
    "saksi.diff/v1",
    "saksi.doctor/v1",
    "saksi.env-doors/v1",
    "saksi.env-manifest/v1",
    "saksi.env-verify/v1",
    "saksi.findings/v1",
    "saksi.fsck/v1",
    "saksi.keys/v1",
    "saksi.notice/v1",
    "saksi.range/v1",
    "saksi.runs/v1",
    "saksi.seal-diff/v1",
    "saksi.seal/v1",
    "saksi.show/v1",
    "saksi.suppressions/v1",
    "saksi.verify/v1",
]


def written(name: str) -> str:
    """Every member is always printed, so every member is required."""
    (root,), components = msgspec.json.schema_components([SCHEMAS[name]], ref_template="#/$defs/{name}")
    for each in components.values():
        each["required"] = list(each["properties"])
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{name.replace('.', ':').replace('/', ':')}",
        **root,
        "$defs": dict(sorted(components.items())),
    }
    return json.dumps(schema, indent=2) + "\n"


def test_names_of_schemas_are_frozen():
    assert sorted(SCHEMAS) == FROZEN
    files = {each.name for each in (resources.files("saksi.doors") / "schemas").iterdir()}
    assert {file_name(each) for each in FROZEN} == {each for each in files if each.endswith(".json")}


@pytest.mark.parametrize("name", FROZEN)
def test_schema_file_says_what_the_type_says(name):
    if os.environ.get("SAKSI_UPDATE_GOLDEN") == "1":
        folder = resources.files("saksi.doors") / "schemas"
        (folder / file_name(name)).write_text(written(name), "utf-8")
    assert schema_text(name) == written(name)
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text(name)))


@pytest.mark.parametrize("name", FROZEN)
def test_every_document_names_its_schema(name):
    assert SCHEMAS[name].__struct_fields__[0] == "schema"
    schema = json.loads(schema_text(name))
    root = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert root["properties"]["schema"]["enum"] == [name]
