"""`.pth` and `.start` files, against what `site` of the interpreters at hand makes of them."""

from __future__ import annotations

import json
import subprocess
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.seeded import SEED, nearly
from recorder.interpreters import SINCE_3_9
from saksi.judgement.environment.pth import (
    MAX_STARTUP_FILE,
    Line,
    is_readable_start,
    modules_named,
    parse_pth,
    parse_start,
    passes_over,
    version_of,
)

OLD, NEW, NEXT, LATER = (3, 11, 7), (3, 13, 0), (3, 15, 0), (3, 18, 0)
SEEDS = (
    b"import os; x = 1\n/opt/lib\n# comment\n\n  \nrelative/lib  \n",
    b"import\ta\r\nimport b\rimportc\n  import d\n",
    "\ufeffimport a\nb\u2028import c\x0cimport d\x1cimport e\x85import f\n".encode(),
    b"import os\x00\n\x00\nfrom x import y\n",
)
# `site` itself, with what it would do replaced by notes: nothing is executed and nothing is added.
ORACLE = """
import json, os, site, sys
notes = []
def makepath(*parts):
    notes.append(["path", parts[-1]])
    return "", ""
site.makepath = makepath
site.exec = lambda line: notes.append(["runs", line])
answers = []
for content in json.load(sys.stdin):
    notes.clear()
    with open(os.path.join(sys.argv[1], "x.pth"), "wb") as file:
        file.write(content.encode("latin-1"))
    try:
        site.addpackage(sys.argv[1], "x.pth", {""})
        error = False
    except UnicodeDecodeError:
        error = True
    answers.append([list(notes), error])
json.dump([list(sys.version_info[:3]), answers], sys.stdout)
"""


def of_site(python, folder, contents):
    done = subprocess.run(
        [python, "-I", "-S", "-X", "utf8", "-c", ORACLE, str(folder)],
        input=json.dumps([each.decode("latin-1") for each in contents]),
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("python", SINCE_3_9)
def test_each_line_is_what_site_takes_it_for(tmp_path, python):
    contents = [*SEEDS, *nearly(Random(SEED), SEEDS, inputs=500)]
    version, answers = of_site(python, tmp_path, contents)
    agreed = 0
    for content, (notes, error) in zip(contents, answers, strict=True):
        parsed = parse_pth(content, tuple(version))
        ours = [[each.effect, each.text] for each in parsed.lines]
        # `exec` gets the line with its end; blanks at the end of a path are dropped by both.
        theirs = [[effect, text.rstrip("\n") if effect == "runs" else text] for effect, text in notes if text.strip()]
        if error or parsed.note is not None:
            assert parsed.note is not None or not error, content
            assert ours[: len(theirs)] == theirs or tuple(version) >= NEW, content
            continue
        assert ours == theirs, content
        agreed += 1
    assert agreed > len(contents) / 3


def effects(content, version, **options):
    return [(each.effect, each.text) for each in parse_pth(content, version, **options).lines]


def test_lines_end_otherwise_from_3_13():
    content = "a\u2028import evil\n".encode()
    assert effects(content, OLD) == [("path", "a\u2028import evil")]
    assert effects(content, NEW) == [("path", "a"), ("runs", "import evil")]


def test_the_mark_of_utf_8_hides_a_line_up_to_3_12():
    content = b"\xef\xbb\xbfimport evil\n"
    assert [each for each, _ in effects(content, OLD)] == ["path"]
    assert effects(content, NEW) == [("runs", "import evil")]


def test_blanks_before_a_line_hide_it_up_to_3_14():
    assert effects(b"  import evil\n", NEW) == [("path", "  import evil")]
    assert effects(b"  import evil\n", NEXT) == [("runs", "import evil")]


def test_a_start_file_silences_the_pth_file_beside_it_from_3_15():
    content = b"import evil\n/opt/lib\n"
    assert len(effects(content, NEW, has_start=True)) == 2
    assert effects(content, NEXT, has_start=True) == [("path", "/opt/lib")]
    assert effects(content, LATER) == [("path", "/opt/lib")]


def test_a_start_file_calls_from_3_15_on():
    content = b"\xef\xbb\xbf# mine\npkg.mod:start\n  other:a.b  \nno entry point\n:x\npkg.mod\n"
    assert parse_start(content, NEW).lines == ()
    assert "3.15" in parse_start(content, NEW).note
    parsed = parse_start(content, NEXT)
    assert [each.text for each in parsed.executed] == ["pkg.mod:start", "other:a.b"]
    assert parsed.note == "3 of its lines are no entry point"
    assert parse_start(b"\xff", NEXT).lines == ()
    assert (is_readable_start(b"a:b"), is_readable_start(b"\xff")) == (True, False)


@pytest.mark.parametrize(
    ("version", "hidden"),
    [("3.11.7", False), ("3.11.8", True), ("3.12.1", False), ("3.12.2", True), ("3.10.14", True), ("3.13.0", True),
     ("3.15.0rc3", True), ("3.7.9", False)],
)  # fmt: skip
def test_names_with_a_dot_are_passed_over_since_a_security_release(version, hidden):
    assert passes_over(".x.pth", version_of(version)) is hidden
    assert passes_over("x.pth", version_of(version)) is False


def test_what_is_no_version():
    with pytest.raises(ValueError, match="no version"):
        version_of("three")


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import os, a.b as c; from d.e import f", ("os", "a.b", "d.e")),
        ("import sys; enabled and __import__('_distutils_hack').add_shim()", ("sys", "_distutils_hack")),
        ("import importlib; importlib.import_module('x')", ("importlib", "x")),
        ("import sys; exec('try:\\n import coverage\\nexcept: pass')", ("sys", "coverage")),
        ("import sys; from . import x; __import__(name); exec(code)", ("sys",)),
        ("import sys; a = '\\d'; 1 is 1", ("sys",)),  # the parser warns of both
        ("import sys; (", ()),
        ("import sys\0", ()),
        ("import sys; x = " + "-" * 4000 + "1", ("sys",)),
        ("import sys; x = " + "(" * 3000, ()),
        ("import sys; #" + "x" * 5000, ()),
    ],
)
def test_modules_that_a_line_names(text, modules):
    found = modules_named(Line(number=1, text=text, effect="runs"))
    assert found == modules or (text.count("-") > 100 and found == ())  # too deep for some parsers


def test_modules_of_entry_points_and_of_paths():
    assert modules_named(Line(number=1, text="a.b:c.d", effect="calls")) == ("a.b",)
    assert modules_named(Line(number=1, text="import/os", effect="path")) == ()


@given(st.binary(max_size=300), st.sampled_from([OLD, NEW, NEXT, LATER]), st.booleans())
def test_any_bytes_can_be_parsed(content, version, has_start):
    parsed = parse_pth(content, version, has_start=has_start)
    for each in (*parsed.lines, *parse_start(content, version).lines):
        assert isinstance(modules_named(each), tuple)
    assert len(parsed.executed) + len(parsed.folders) == len(parsed.lines)


def test_a_long_file_of_imports():
    content = b"import x\n" * (MAX_STARTUP_FILE // 9)
    assert len(parse_pth(content, OLD).executed) == MAX_STARTUP_FILE // 9
