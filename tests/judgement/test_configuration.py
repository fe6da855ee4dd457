from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.configuration import MAX_CONFIGURATION_BYTES, Configuration, check_label, parse_configuration
from saksi.judgement.replay.resume import Resume
from saksi.words.errors import UsageError


def parse(text, table=()):
    return parse_configuration(text.encode(), where="saksi.toml", table=table)


def test_all_keys():
    text = 'name = "baseline"\nproject = "gpt"\nlevel = "full"\nsegment = 50\n'
    assert parse(text) == Configuration(name="baseline", project="gpt", level="full", segment=50)


def test_how_a_command_is_resumed():
    assert parse('[replay]\nresume = "--resume {ckpt}"') == Configuration(resume=Resume(words=("--resume", "{ckpt}")))
    assert parse("[replay]") == Configuration()


def test_an_empty_file_says_nothing():
    assert parse("") == Configuration()


def test_the_table_of_another_file():
    assert parse('[tool.saksi]\nlevel = "full"', ("tool", "saksi")) == Configuration(level="full")
    assert parse("[tool.other]\nx = 1", ("tool", "saksi")) is None
    assert parse("tool = 3", ("tool", "saksi")) is None


@pytest.mark.parametrize("key", ["trust", "server", "mode", "anchor", "keys", "home", "require"])
def test_whom_to_trust_is_never_read_from_a_project(key):
    with pytest.raises(UsageError, match=f"saksi.toml: '{key}' is never read"):
        parse(f'{key} = "x"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nam = 1", "unknown key 'nam'.*known keys: data, expect, level, name"),
        ('level = "loud"', "level is not one of standard, full"),
        ("level = ['full']", "level is not one of"),
        ("segment = 0", "segment is not a number"),
        ("segment = true", "segment is not a number"),
        ("segment = 1.5", "segment is not a number"),
        ("name = 3", "name is not a text"),
        ('name = ""', "cannot be a name"),
        ('name = "last"', "cannot be a name"),
        ('name = "0123456789abcdef"', "cannot be a name"),
        ('project = "a\\u0000b"', "saksi.toml: project .* cannot be a name"),
        ("name = ", "not TOML"),
        ("replay = 3", "replay is not a table"),
        ("replay.home = 'x'", "unknown key 'replay.home'"),
        ("replay.resume = 3", "replay.resume is not a text"),
        (f"replay.resume = '{'x' * 5000}'", "replay.resume: a text of more than 4096 characters"),
        ("tool.saksi = 1", "unknown key 'tool'"),
    ],
)
def test_refusals_name_the_file_and_the_key(text, said):
    with pytest.raises(UsageError, match=said) as refused:
        parse(text)
    assert "\n" not in str(refused.value)


def test_a_table_that_is_none():
    with pytest.raises(UsageError, match=r"tool\.saksi is not a table"):
        parse("[tool]\nsaksi = 3", ("tool", "saksi"))


def test_a_huge_file_is_refused():
    with pytest.raises(UsageError, match="longer than"):
        parse("#" * (MAX_CONFIGURATION_BYTES + 1))


@given(st.binary(max_size=60))
def test_only_usage_errors_escape(content):
    with suppress(UsageError):
        assert isinstance(parse_configuration(content, where="x"), Configuration)


@pytest.mark.parametrize("name", ["a", "baseline 3", "lr=0.1".replace("=", "_"), "A.b-c_d@e+f", "x" * 100])
def test_names(name):
    assert check_label(name, what="--name") == name


@pytest.mark.parametrize("name", ["", " a", "a ", "-x", "x" * 101, "é", "a\n", "a/b"])
def test_no_names(name):
    with pytest.raises(UsageError, match="--name"):
        check_label(name, what="--name")
