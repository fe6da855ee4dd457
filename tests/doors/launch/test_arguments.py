from __future__ import annotations

from pathlib import Path

import pytest

from saksi.doors.launch.arguments import HELP, parse_arguments
from saksi.doors.launch.capsules import Capsules
from saksi.doors.launch.surroundings import bytecode_prefix
from saksi.words.errors import UsageError


def test_everything_behind_the_double_dash_belongs_to_the_command():
    parsed = parse_arguments(["--name", "a", "--", "python", "--name", "b", "--", "-q"])
    assert parsed.command == ("python", "--name", "b", "--", "-q")
    assert parsed.name == "a"
    assert not parsed.quiet


def test_the_first_word_that_is_no_option_begins_the_command():
    assert parse_arguments(["-q", "python", "-u", "x.py"]).command == ("python", "-u", "x.py")


def test_values_may_be_joined_with_an_equals_sign():
    parsed = parse_arguments(["--level=full", "--segment=5", "--anchor=/a/", "--anchor", "/b/", "--", "x"])
    assert parsed.overhead_budget is None
    assert (parsed.level, parsed.segment, parsed.anchors) == ("full", 5, ("/a/", "/b/"))


def test_several_may_be_notified():
    parsed = parse_arguments(["--notify=page me", "--anchor", "/a/", "--notify", "https://h/", "--", "x"])
    assert (parsed.notify, parsed.anchors) == (("page me", "https://h/"), ("/a/",))
    assert parse_arguments(["--", "x", "--notify", "b"]).notify == ()


def test_the_bytecode_of_a_replay_is_an_option_and_no_variable():
    arguments, environment = parse_arguments(["--bytecode", "/audit", "--", "x"]), {"SAKSI_BYTECODE": "/elsewhere"}
    prefix = bytecode_prefix(arguments, environment, Path("/"), Path("/scratch"))
    assert (prefix.added, prefix.store) == ({"PYTHONPYCACHEPREFIX": "/audit"}, None)
    plain = bytecode_prefix(parse_arguments(["--", "/nonexistent/x"]), environment, Path("/"), Path("/scratch"))
    assert plain.added == {"PYTHONPYCACHEPREFIX": "/scratch/bytecode"}
    assert "--bytecode" not in HELP


def test_a_seal_file_is_named_once_more_than_nothing():
    assert parse_arguments(["--seal", "a.seal", "--require", "--", "x"]).seal == "a.seal"
    assert parse_arguments(["--", "x", "--seal", "b"]).seal is None
    with pytest.raises(UsageError, match="--seal needs a value"):
        parse_arguments(["--seal"])
    assert "--seal FILE" in HELP


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--"],
        ["--name"],
        ["--name", "", "--", "x"],
        ["--name", "-x", "--", "x"],
        ["--name", "a\nb", "--", "x"],
        ["--level", "loud", "--", "x"],
        ["--overhead-budget", "0", "--", "x"],
        ["--overhead-budget", "101", "--", "x"],
        ["--overhead-budget", "nan", "--", "x"],
        ["--overhead-budget", "1e1", "--", "x"],
        ["--overhead-budget", "-3", "--", "x"],
        ["--capsules", "often", "--", "x"],
        ["--capsules", "every=0", "--", "x"],
        ["--capsules", "every=1.5", "--", "x"],
        ["--capsules", "every=-1", "--", "x"],
        ["--capsules", "every=٣", "--", "x"],
        ["--capsules", "budget=0", "--", "x"],
        ["--capsules", "budget=20GB", "--", "x"],
        ["--capsules", "every=5,budget=1", "--", "x"],
        ["--segment", "0", "--", "x"],
        ["--segment", "1e3", "--", "x"],
        ["--segment", "٣", "--", "x"],
        ["--nothing", "--", "x"],
        ["--require=yes", "--", "x"],
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(words):
    with pytest.raises(UsageError) as refused:
        parse_arguments(words)
    assert "\n" not in str(refused.value)
    assert refused.value.remedy


def test_help_needs_no_command_and_shows_an_example():
    assert parse_arguments(["--help"]).help
    assert "Example:" in HELP


@pytest.mark.parametrize(("text", "percent"), [("3", 3.0), ("0.5", 0.5), ("100", 100.0), ("2%", 2.0)])
def test_an_overhead_budget_is_a_percentage(text, percent):
    assert parse_arguments(["--overhead-budget", text, "--", "x"]).overhead_budget == percent


@pytest.mark.parametrize(("text", "meant"), [
    ("none", None),
    ("every=500", Capsules(every=500)),
    ("budget=20", Capsules(budget=20_000_000_000)),
    ("budget=0.001", Capsules(budget=1_000_000)),
])  # fmt: skip
def test_capsules_are_counted_in_steps_or_bounded_in_gigabytes(text, meant):
    assert parse_arguments(["--capsules", text, "--", "x"]).capsules == meant
    assert parse_arguments(["--", "x"]).capsules is None
