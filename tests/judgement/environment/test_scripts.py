import pytest

from saksi.judgement.environment.scripts import (
    BESIDE,
    Launcher,
    generated_name,
    is_generated_body,
    read_launcher,
    starts,
)

BODY = b"import sys\nfrom demo.cli import app\nif __name__ == '__main__':\n    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(app.run())\n"  # noqa: E501 - as pip writes it


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (b"#!/venv/bin/python\n", "/venv/bin/python"),
        (b"#!/venv/bin/python -E\n", "/venv/bin/python -E"),
        (b"#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n' '''\n", "/long/bin/python"),
        (b"#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n", "/a b/bin/python"),
        (b"#!/bin/sh\n'''exec' '/a b/bin/python' \"$0\" \"$@\"\n' '''\n", "/a b/bin/python"),
        (b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\n", BESIDE),
    ],
)
def test_heads_that_installers_write(head, interpreter):
    assert read_launcher(head + b"rest") == Launcher(interpreter=interpreter, body=b"rest")


@pytest.mark.parametrize(
    "content", [b"", b"import os\n", b"#!python\n", b"#!\n", b"#! /venv/bin/python\n", b"#!/venv/bin/python"]
)
def test_what_begins_otherwise_has_no_head(content):
    assert read_launcher(content) is None


@pytest.mark.parametrize(
    "command", [b"/a;evil", b"/a $(evil)", b'"/a$(evil)"', b'"/a`evil`"', b"'/a' evil '", b"'../python'"]
)
def test_a_shell_line_that_does_more_is_no_head_of_an_installer(command):
    content = b"#!/bin/sh\n'''exec' " + command + b" \"$0\" \"$@\"\n' '''\nrest"
    found = read_launcher(content)
    assert found is not None
    assert found.interpreter == "/bin/sh"
    assert not starts(found, ())


@pytest.mark.parametrize(
    ("interpreter", "names", "expected"),
    [
        ("/venv/bin/python", ["/venv/bin/python"], True),
        ("/venv/bin/python -c evil", ["/venv/bin/python"], False),
        ("/other/bin/python", ["/venv/bin/python"], False),
        ("/other/bin/python3.11", [], True),
        ("/other/bin/python3.13t", [], True),
        ("/other/bin/python -c", [], False),
        ("/bin/sh", [], False),
        (BESIDE, ["/venv/bin/python"], True),
    ],
)
def test_what_a_head_starts(interpreter, names, expected):
    assert starts(Launcher(interpreter=interpreter, body=b""), names) is expected


def test_a_body_is_one_of_the_known_ones_or_it_is_not():
    assert is_generated_body(BODY, module="demo.cli", attribute="app.run")
    assert not is_generated_body(BODY, module="demo.cli", attribute="app.walk")
    assert not is_generated_body(BODY + b"\n", module="demo.cli", attribute="app.run")
    assert not is_generated_body(
        BODY.replace(b"import sys\n", b"import sys, evil\n"), module="demo.cli", attribute="app.run"
    )
    assert not is_generated_body(b"", module="demo.cli", attribute="app.run")


@pytest.mark.parametrize(
    ("path", "name"),
    [("pip3.11", "pip"), ("pip3", "pip"), ("pip-3.12", "pip"), ("pip", "pip"), ("easy_install-3.8", "easy_install"),
     ("pipx", "pipx"), ("torchrun", "torchrun"), ("pip3.11.evil", "pip3.11.evil")],
)  # fmt: skip
def test_names_that_carry_a_version(path, name):
    assert generated_name(path) == name
