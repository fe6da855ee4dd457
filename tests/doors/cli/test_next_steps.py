"""Every code that a check can produce is listed, documented and followed by a command that exists."""

import ast
import re
import string
from pathlib import Path

import pytest
import typer

from saksi.doors.cli.app import make_app
from saksi.judgement.next_steps import NEXT_STEPS, next_step
from saksi.words.findings import CODES

ROOT = Path(__file__).resolve().parents[3]
CODE = re.compile(r"[a-z]+(?:\.[a-z_]+)+")
FAMILIES = {each.partition(".")[0] for each in CODES}
MAKERS = {"Finding", "observation", "Said", "Held", "Apart", "Deviation", "Piece"}
COMPUTED = {
    ("availability.py", "availability."): ("availability.silent", "availability.stopped"),
    ("seal_differences.py", "environment."): (),  # the name of a member of the seal
}
"""Texts that are put together, by module and by how they begin, and the codes that they can become."""
RUN = "00112233445566aa"


def texts_of_code(tree, module):
    """Every text in a module that has the form of a code of a known family, and every text given as a code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if CODE.fullmatch(node.value) and node.value.partition(".")[0] in FAMILIES:
                yield node.value
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            start = node.values[0].value
            if CODE.fullmatch(f"{start}x") and start.partition(".")[0] in FAMILIES:
                yield from COMPUTED.get((module, start), (f"{start}{{}}",))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS | {"_finding", "told", "of"}:
            given = [each.value for each in node.keywords if each.arg == "code"]
            for each in [*given, *(node.args[:1] if node.func.id in {"Said", "Held"} else [])]:
                if isinstance(each, ast.Constant):
                    yield each.value


def produced():
    found = {}
    for path in sorted((ROOT / "src/saksi").rglob("*.py")):
        if path.name == "next_steps.py" or path == ROOT / "src/saksi/words/findings.py" or "recorder" in path.parts:
            continue
        for code in texts_of_code(ast.parse(path.read_text()), path.name):
            found.setdefault(code, path.name)
    return found


def test_every_code_that_the_sources_name_is_listed_and_every_listed_one_is_named():
    found = produced()
    assert {code: name for code, name in found.items() if code not in CODES} == {}
    assert sorted(set(CODES) - set(found)) == []


def test_a_code_of_a_new_family_would_be_seen():
    tree = ast.parse("observation(check='x', code='gradients.differ', subject='', message='')\nSaid('new.one', 1)")
    assert list(texts_of_code(tree, "new.py")) == ["gradients.differ", "new.one"]
    tree = ast.parse("told(code=f'availability.{what}')")
    assert list(texts_of_code(tree, "new.py")) == ["availability.{}"]


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_step_of_its_own_family(code):
    family = code.partition(".")[0] + "."
    assert any(prefix.startswith(family) for prefix in NEXT_STEPS if code.startswith(prefix))
    assert "{" not in next_step(code, RUN).command


def test_every_step_is_used_and_the_longest_prefix_wins():
    for prefix, step in NEXT_STEPS.items():
        assert any(next_step(code, "{run}") == step for code in CODES if code.startswith(prefix)), prefix
    assert next_step("coverage.block_absent", RUN).command == f"saksi fsck {RUN}"
    assert next_step("coverage.gap", RUN).command == f"saksi show {RUN}"
    assert next_step("somebody.elses", RUN).command == f"saksi show {RUN}"


def test_the_page_has_the_same_table():
    page = (ROOT / "docs/findings.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(saksi [^`]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    assert {code: (command.replace("RUN", "{run}"), answers) for code, command, answers in rows} == NEXT_STEPS


@pytest.mark.parametrize("command", sorted({each.command for each in NEXT_STEPS.values()}))
def test_every_step_is_a_command_that_exists(command):
    saksi, *words = command.split()
    assert saksi == "saksi"
    found = typer.main.get_command(make_app())
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    assert not hasattr(found, "commands"), f"{command} names a group"
    options = {name: each for each in found.params if each.param_type_name == "option" for name in each.opts}
    arguments = []
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            assert word in options, command
            if not options[word].is_flag:
                words.pop(0)
        else:
            arguments.append(word)
    assert all(each == "{run}" or set(each) <= set(string.ascii_uppercase) for each in arguments), command
    places = [each for each in found.params if each.param_type_name == "argument"]
    several = any(each.nargs == -1 for each in places)
    required = sum(each.required for each in places)
    assert required <= len(arguments), command
    assert several or len(arguments) <= len(places), command
