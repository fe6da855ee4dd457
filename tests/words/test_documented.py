import re
import typing
from pathlib import Path

import pytest

from saksi.words.codec import decode_record
from saksi.words.errors import UsageError
from saksi.words.findings import CODES, SEVERITIES, Finding, at_or_above, is_about_coverage
from saksi.words.frames import AnyFrame
from saksi.words.records import AnyRecord
from saksi.words.run import origin_of, parse_run_id, run_id_from

ROOT = Path(__file__).parents[2]


def headings(folder: str, level: str) -> list[str]:
    pattern = re.compile(rf"^{level} `([^`]+)`", re.MULTILINE)
    return [each for path in sorted((ROOT / folder).glob("*.md")) for each in pattern.findall(path.read_text())]


def test_every_code_has_one_heading():
    assert sorted(headings("docs/checks", "##")) == sorted(CODES)
    assert list(CODES) == sorted(set(CODES))


def test_every_record_kind_has_one_heading():
    kinds = [each.__struct_config__.tag for each in typing.get_args(AnyRecord)]
    text = (ROOT / "spec/records.md").read_text()
    assert sorted(re.findall(r"^### `([a-z_]+)`", text, re.MULTILINE)) == sorted(kinds)


def test_every_record_example_in_the_spec_is_an_entry():
    text = (ROOT / "spec/records.md").read_text()
    examples = re.findall(r"^\{\"kind\".*$", text, re.MULTILINE)
    kinds = {decode_record(each.encode()).__struct_config__.tag for each in examples}
    assert kinds == {each.__struct_config__.tag for each in typing.get_args(AnyRecord)}


def test_every_frame_kind_is_in_its_table():
    text = (ROOT / "spec/frames.md").read_text()
    for each in typing.get_args(AnyFrame):
        assert f"| `{each.__struct_config__.tag}` |" in text


def test_severities_are_ordered():
    assert [[at_or_above(a, b) for b in SEVERITIES] for a in SEVERITIES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("coverage.gap", True), ("ckpt.not_checkable", True), ("witness.recorder_fault", True),
     ("witness.frame_refused", True), ("witness.chain_broken", False), ("availability.killed", False)],
)  # fmt: skip
def test_what_is_about_coverage(code, expected):
    found = Finding(
        code=code, severity="info", first_step=None, last_step=None, ranks=(), subject="", check="", message=""
    )
    assert is_about_coverage(found) is expected


def test_run_ids():
    assert run_id_from(bytes(range(8))) == "0001020304050607"
    assert parse_run_id("0001020304050607") == "0001020304050607"
    assert origin_of("0001020304050607") == "saksi/run/0001020304050607"
    for text in ("", "xyz", "0001020304050607\n", "000102030405060A"):
        with pytest.raises(UsageError):
            parse_run_id(text)
    with pytest.raises(ValueError, match="8 bytes"):
        run_id_from(b"")
