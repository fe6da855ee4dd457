"""The commands and flags are frozen lists, and each has its place in docs/cli.md."""

import re
from pathlib import Path

import pytest
import typer

from saksi.doors.cli.app import COMMANDS, call, make_app

DOCS = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
LAUNCHER = "run"  # its flags are the launcher's, and frozen there
FROZEN = {
    "run": [],
    "runs": ["--json"],
    "show": ["--follow", "--json"],
    "findings": ["--fail-on", "--json", "--severity"],
    "findings suppress": ["--owner", "--project", "--reason", "--run", "--subject", "--until", "--up-to"],
    "findings suppressions": ["--json"],
    "findings unsuppress": [],
    "diff": ["--json"],
    "audit": [
        *("--all", "--beacon", "--data-unchanged", "--jobs", "--json", "--limit", "--memory", "--no-naming"),
        *("--python", "--resume-with", "--sample", "--seal", "--steps", "--threads"),
    ],
    "doctor": ["--json", "--limit", "--no-threads", "--resume-with", "--steps", "--threads"],
    "seal approve": ["--key"],
    "seal create": [
        "--manifest",
        "--name",
        "--no-environment",
        "--output",
        "--project",
        "--quiet",
        "--rehearse",
        "--trust",
        "-o",
        "-q",
    ],
    "seal diff": ["--json"],
    "seal show": ["--json"],
    "verify": ["--anchor", "--fail-on", "--json", "--trust"],
    "bundle": ["--from-agent", "--output", "-o"],
    "keys create": ["--name"],
    "keys export": ["--output", "-o"],
    "keys init": [],
    "keys list": ["--json"],
    "keys rotate": [],
    "keys trust": ["--approver"],
    "fsck": ["--json", "--repair"],
    "env verify": ["--jobs", "--json", "--manifest", "--no-bytecode", "--python", "--trust"],
    "env manifest": ["--json", "--key", "--lock", "--output", "--python", "--reference", "--wheels", "-o"],
    "agent": ["--home", "--print-unit", "--socket"],
    "range": ["--group", "--jobs", "--json", "--limit", "--only", "--python", "--replay", "--seed", "--seeds"],
    "env doors": ["--json", "--python"],
}


def surface() -> dict[str, list[str]]:
    found = {}
    root = typer.main.get_command(make_app())
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        # A group's command of the group's own name is the one that is meant without a further word.
        parts = {name: command}
        if inner is not None:
            parts = {name if each == name else f"{name} {each}": sub for each, sub in inner.items()}
        for full, each in parts.items():
            found[full] = sorted(
                option
                for parameter in each.params
                if parameter.param_type_name == "option"
                for option in parameter.opts
            )
    return found


def test_commands_and_flags_are_frozen():
    assert surface() == FROZEN
    assert list(COMMANDS) == list(dict.fromkeys(each.split()[0] for each in FROZEN))


def test_every_command_has_a_heading_and_its_flags_in_the_docs():
    sections = re.split(r"^## ", DOCS.read_text("utf-8"), flags=re.MULTILINE)[1:]
    documented = {
        title.strip().strip("`").removeprefix("saksi "): body
        for title, _, body in (s.partition("\n") for s in sections)
    }
    for command, flags in FROZEN.items():
        assert command in documented, command
        assert [flag for flag in flags if f"`{flag}" not in documented[command]] == [], command


@pytest.mark.parametrize("command", ["", *FROZEN])
def test_every_help_has_an_example(command, capsys):
    assert call([*command.split(), "--help"]) == 0
    printed = capsys.readouterr()
    assert "Example:" in printed.out
    assert f"saksi {command}" in printed.out
    assert printed.err == ""


def test_version(capsys):
    assert call(["--version"]) == 0
    assert re.fullmatch(r"saksi \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_no_words_are_a_call_for_help(capsys):
    assert call([]) == 0
    assert "Commands:" in capsys.readouterr().out
