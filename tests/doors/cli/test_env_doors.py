"""`saksi env doors`: what is printed, how it ends, and that hostile text stays text."""

import json
import os
import stat

import jsonschema
import pytest

from edges.environment.door_trees import RealVenv
from judgement.environment.door_values import door, facts, report
from saksi.doors.cli.app import call
from saksi.doors.cli.drawing import render
from saksi.doors.cli.env_doors_screen import draw_doors
from saksi.doors.cli.schemas import schema_text
from saksi.doors.cli.screen import Screen
from saksi.judgement.environment.doors import Owner, Unread, Writer

SCREEN = Screen(width=110, height=None, unicode=True, colour=False, zone=None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return RealVenv(tmp_path_factory.mktemp("doors"))


@pytest.fixture
def asked(made, monkeypatch, capsys, tmp_path):
    """A function that asks for the doors of the venv, in an environment that has no others."""
    for name in list(os.environ):
        if name.startswith(("PYTHON", "LD_", "PYTEST", "TORCH", "CUDA", "NCCL", "OMP_", "CC", "CXX", "VIRTUAL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(made.folder)

    def ask(*words):
        code = call(["env", "doors", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return ask


@pytest.fixture
def put(made):
    paths = []

    def write(name, text):
        paths.append(made.site / name)
        paths[-1].write_text(text)
        return paths[-1]

    yield write
    for each in paths:
        each.unlink()


def documents(out):
    document = json.loads(out)
    jsonschema.validate(document, json.loads(schema_text("saksi.env-doors/v1")), jsonschema.Draft202012Validator)
    return document


def test_an_environment_by_its_folder_or_its_interpreter(made, asked):
    found = [documents(asked("--python", each, "--json")[1]) for each in ("venv", "venv/bin/python", str(made.path))]
    assert found[0] == {**found[1], "python": found[0]["python"]} == {**found[2], "python": found[0]["python"]}
    assert found[0]["complete"] is True
    kinds = [each["kind"] for each in found[0]["doors"]]
    assert [each for each in kinds if each != "customize"] == ["path_file", "saksi"]  # Debian's Python has one


def test_without_a_name_it_is_the_python_of_this_shell(made, asked, monkeypatch):
    monkeypatch.setenv("PATH", f"{made.path.parent}:/usr/bin:/bin")
    code, out, err = asked("--json")
    assert (code, err) == (0, "")
    assert documents(out)["python"] == str(made.path)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert asked() == (2, "", "saksi: there is no python on PATH (name one with --python)\n")


def test_having_doors_is_no_negative(asked, put):
    put("foo.pth", "import os\n")
    code, out, err = asked("--python", "venv")
    assert (code, err) == (0, "")
    assert "From no installed package" in out
    assert "foo.pth  executes 1 line; at every start of this interpreter" in out
    assert "\n             > import os\n" in out


def test_what_cannot_be_read_is_inconclusive_and_listed(made, asked):
    path = made.site / "fifo.pth"
    os.mkfifo(path)
    try:
        code, out, _ = asked("--python", "venv")
        assert stat.S_ISFIFO(path.stat().st_mode)
    finally:
        path.unlink()
    assert code == 3
    said = " ".join(out.split())
    assert "Not everything could be read." in said
    assert "what it does is not known: not a regular file" in said
    assert "Not read, so not known" in said
    assert "fifo.pth: not a regular file" in said


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nowhere", 2, "saksi: nowhere: no such interpreter, and no environment (name one with --python)\n"),
        ("/etc", 2, "saksi: /etc: no such interpreter, and no environment (name one with --python)\n"),
        ("/bin/cat", 4, "saksi: /bin/cat: the command is not a Python program (name a Python 3 with --python)\n"),
    ],
)
def test_what_is_no_python(asked, name, code, message):
    assert asked("--python", name) == (code, "", message)


def drawn(*doors, screen=SCREEN, **changes):
    return render(draw_doors(report(*doors, **changes), screen), screen)


def test_who_may_write_is_said_in_words():
    writers = (
        Writer(who="group", id=50, path="/env/lib"),
        Writer(who="others", id=None, path="/env"),
        Writer(who="owner", id=7, path="/"),
        Writer(who="owner", id=8, path="/"),
    )
    text = drawn(door(file=facts(writers=writers)))
    assert "others may write it: group 50 by /env/lib, everybody by /env, user 7 by /, and 1 more" in text
    assert "1 that others may write" in text
    missing = facts(form="missing", digest=None, uid=None, writers=writers[1:2], reason="no such file")
    assert "others may make it: everybody by /env" in drawn(door(file=missing, owner=None))


def test_each_state_of_ownership_has_its_words():
    states = {
        "same": "as toy-1 ships it",
        "differs": "not as toy-1 ships it",
        "no_digest": "listed by toy-1, without a digest",
        "listed": "listed by the system's package toy-1",
        "unowned": "from no installed package",
        "unread": "its package could not be read",
    }
    for state, words in states.items():
        assert words in drawn(door(owner=Owner(state=state, distribution="toy-1")))


def test_text_of_others_cannot_steer_a_terminal():
    evil = "\x1b[2Jevil\u202e\r\n[bold]"
    doors = (
        door(evil, what=evil, value=evil, runs=(evil,) * 5, runs_total=5, path=f"/{evil}", expected=evil,
             owner=Owner(state="differs", distribution=evil),
             file=facts(link=evil, reason=evil, writers=(Writer(who="others", id=None, path=evil),))),
    )  # fmt: skip
    unread = (Unread(path=evil, reason=evil),)
    for screen in (SCREEN, Screen(width=40, height=None, unicode=False, colour=False, zone=None)):
        text = drawn(*doors, screen=screen, unread=unread, complete=False)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\r" not in text
        assert "\\x1b" in text


def test_a_narrow_screen_loses_no_door():
    narrow = Screen(width=40, height=None, unicode=True, colour=False, zone=None)
    text = drawn(door(), door("LD_PRELOAD", kind="variable", acts="every_program", path=None), screen=narrow)
    assert "foo.pth" in text
    assert "LD_PRELOAD" in text
