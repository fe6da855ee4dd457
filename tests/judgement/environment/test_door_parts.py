"""Smaller parts: variables and what they name, `pyvenv.cfg`, rows of RECORD, what is shown of a start-up file."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.seeded import SEED, nearly
from judgement.environment.door_values import facts
from saksi.judgement.environment.door_variables import VARIABLES, category_modules, paths_named, variable_acts
from saksi.judgement.environment.doors import Owner
from saksi.judgement.environment.path_settings import home_in, start_modules
from saksi.judgement.environment.pth import parse_pth, parse_start
from saksi.judgement.environment.record_file import digest_of_row, record_rows
from saksi.judgement.environment.startup_doors import MAX_SHOWN_LINES, MAX_TEXT, customize_door, shown, startup_door
from saksi.words.digest import sha256

BY_NAME = {each.name: each for each in VARIABLES}
DOCS = Path(__file__).resolve().parents[3] / "docs" / "environment-doors.md"


def test_every_variable_is_listed_once_and_documented():
    assert len(BY_NAME) == len(VARIABLES)
    page = DOCS.read_text()
    assert [each for each in BY_NAME if f"`{each}`" not in page] == []


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("PYTHONPATH", "/a::/b:/a", ("/a", "", "/b")),
        ("PYTHONPATH", ":", ("",)),
        ("LD_PRELOAD", " a.so:/b.so  c.so\n", ("a.so", "/b.so", "c.so")),
        ("LD_LIBRARY_PATH", "/a;/b:/c", ("/a", "/b", "/c")),
        ("PYTHONSTARTUP", "/a:b", ("/a:b",)),
        ("NCCL_NET_PLUGIN", "aws,/x.so", ("aws", "/x.so")),
        ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2", ()),
        ("PYTHONBREAKPOINT", "a.b", ()),
    ],
)
def test_what_a_variable_names(name, value, named):
    assert paths_named(BY_NAME[name], value) == named


def test_warnings_act_where_they_name_a_module():
    variable = BY_NAME["PYTHONWARNINGS"]
    assert category_modules("ignore,default::a.b.W:x,error::DeprecationWarning,::c.D") == ("a.b", "c")
    assert variable_acts(variable, "error") == "never"
    assert variable_acts(variable, "ignore::a.W") == "every_start"
    assert variable_acts(BY_NAME["LD_PRELOAD"], "x") == "every_program"


def test_the_home_of_a_virtual_environment():
    assert home_in(b"version = 3\nHome =  /usr/bin \nhome = /opt/bin\n") == "/opt/bin"
    assert home_in(b"home =\nhomes = /x\n\xff") is None


def test_modules_of_every_start():
    assert start_modules((3, 13, 0)) == {"encodings"}
    assert {"os", "site", "encodings"} <= start_modules((3, 10, 0))


def row(path, content):
    digest = base64.urlsafe_b64encode(sha256(content).value).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def test_rows_of_a_record():
    record = row("a.py", b"a") + 'b.pyc,,\r\n"c,d.py",sha256=x,1\nno row\n"broken\n' + "e.py,md5=abc,1\n"
    assert [(path, digest_of_row(text)) for path, text in record_rows(record.encode())] == [
        ("a.py", str(sha256(b"a"))), ("b.pyc", None), ("c,d.py", None), ("e.py", None),
    ]  # fmt: skip


def test_rows_are_those_that_csv_reads():
    random, seeds = Random(SEED), [(row("a.py", b"a") + '"b,""c"".py",,\nd.py,,\n').encode()]
    for content in nearly(random, seeds, inputs=1500):
        ours = dict(record_rows(content))
        if content.count(b'"') != 4 or any(each in content for each in (b"\r", b"\0")):
            continue
        rows = csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""))
        try:
            theirs = {each[0] for each in rows if len(each) == 3 and each[0] and "\n" not in each[0]}
        except csv.Error:
            continue
        assert {each for each in theirs if '"' not in each and "," not in each} <= set(ours), content


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record(content):
    for path, text in record_rows(content):
        assert path
        assert digest_of_row(text) is None  # 32 bytes do not come about by chance


SAME = Owner(state="same", distribution="toy-1")


def door_of(content, name="x.pth", *, parsed=None, passed_over=False):
    parsed = parse_pth(content, (3, 13, 0)) if parsed is None else parsed
    return startup_door(f"/env/{name}", content, parsed, facts=facts(), owner=SAME, passed_over=passed_over)


def test_what_a_start_up_file_does():
    door = door_of(b"import os\nimport sys\n/opt/a\n/opt/b\n")
    assert (door.acts, door.runs, door.runs_total, door.value) == (
        "every_start",
        ("import os", "import sys"),
        2,
        "/opt/a, /opt/b",
    )
    assert door.what == "executes 2 lines and adds 2 folders to the search path"
    only = door_of(b"/opt/a\n")
    assert (only.acts, only.what) == ("search_path", "adds 1 folder to the search path")
    empty = door_of(b"# nothing\n")
    assert (empty.acts, empty.runs_total) == ("never", 0)
    start = door_of(b"a:b", "x.start", parsed=parse_start(b"a:b", (3, 15, 0)))
    assert (start.kind, start.acts, start.what, start.runs) == ("start", "every_start", "calls 1 entry point", ("a:b",))
    hidden = door_of(b"import os\n", ".x.pth", passed_over=True)
    assert hidden.acts == "never"
    assert "dot" in hidden.what


def test_many_long_and_secret_lines_are_shown_in_part():
    secret = "import os; os.environ['X'] = 'sk-proj-" + "a1B2" * 12 + "'"
    door = door_of((f"{secret}\n" + f"import x{'y' * 5000}\n" * 50).encode())
    assert len(door.runs) == MAX_SHOWN_LINES
    assert door.runs_total == 51
    assert "a1B2a1B2" not in door.runs[0]
    assert all(len(each) <= MAX_TEXT for each in door.runs)


def test_text_that_is_not_utf_8_can_be_shown():
    assert shown("a\udcff") == "a\\xff"
    door_of(b"import \xff\n")


def test_the_first_sitecustomize_is_imported_and_the_others_are_not():
    a, b = "/a/sitecustomize.py", "/b/sitecustomize.py"
    first = customize_door("sitecustomize", a, b"", facts=facts(), owner=SAME, before=None, off=None)
    second = customize_door("sitecustomize", b, b"", facts=facts(), owner=SAME, before=a, off=None)
    off = customize_door("usercustomize", "/a/u.py", b"", facts=facts(), owner=SAME, before=None, off="it is off")
    assert [each.acts for each in (first, second, off)] == ["every_start", "never", "never"]
    assert "/a/sitecustomize.py is found before it" in second.what
    assert off.what == "nothing: it is off"
