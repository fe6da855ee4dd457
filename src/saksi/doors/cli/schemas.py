"""The JSON Schemas that ship in the package, one for each document."""

from __future__ import annotations

from importlib import resources

__all__ = ["file_name", "schema_text"]


def file_name(schema: str) -> str:
    """`saksi.show/v1` is in `show-v1.json`."""
    return f"{schema.removeprefix('saksi.').replace('/', '-')}.json"


def schema_text(schema: str) -> str:
    """The JSON Schema of the documents that say `"schema": schema`."""
    return (resources.files("saksi.doors") / "schemas" / file_name(schema)).read_text("utf-8")
