"""The page of the catalogue has every row, and names only findings, layers and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from saksi.words.findings import CODES

ROOT = Path(__file__).resolve().parents[2]
ROWS = [f"A{number:02}" for number in range(1, 19)] + [f"L{number:02}" for number in range(1, 4)]
COLUMNS = ("row", "done", "layer", "named", "when", "honest", "evades", "tests")
LAYERS = {"disk", "live", "outside", "replay"}
CHECKS = {each.partition(".")[0] for each in CODES}


def table():
    text = (ROOT / "docs/checks/catalogue.md").read_text()
    lines = [line for line in text.splitlines() if re.match(r"\| [A-Z]\d\d \|", line)]
    return [dict(zip(COLUMNS, (cell.strip() for cell in line.split("|")[1:-1]), strict=True)) for line in lines]


def test_every_row_is_there_once_and_in_order():
    assert [each["row"] for each in table()] == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_layers_findings_and_tests_that_there_are(row):
    (each,) = (each for each in table() if each["row"] == row)
    layers = set(each["layer"].split(", "))
    assert layers
    assert layers <= LAYERS
    words = re.findall(r"`([a-z_]+\.[a-z_]+)`", each["named"] + each["evades"])
    codes = {word for word in words if word.partition(".")[0] in CHECKS}
    assert codes <= set(CODES)
    assert "`not_checkable`" in each["named"] + each["evades"] or layers != {"replay"}
    seen = layers - {"replay"}
    assert bool(codes) == bool(seen)
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", each["tests"])
    assert bool(tests) == bool(seen)
    for file, name in tests:
        text = (ROOT / file).read_text()
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"{file} has no {name}"
        assert row in text or not file.startswith("tests/catalogue/"), f"{file} says nothing of {row}"
