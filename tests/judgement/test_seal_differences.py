from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from judgement.seals import KEY, plain_seal, seals
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.redaction import hmac_of
from saksi.judgement.seal import Distribution, SealedFile
from saksi.judgement.seal_differences import GROUPS, differences
from saksi.words.digest import sha256

replace = msgspec.structs.replace
SEAL = plain_seal()
IGNORED = {"run", "attempt", "name", "created_ns", "environment_changed_by_saksi", "plan", "approved"}
IGNORED |= {"launch_key"}


def sentences(after, before=SEAL):
    return {each.field: each.sentence for each in differences(before, after)}


@given(seals)
def test_a_seal_does_not_differ_from_itself(seal):
    assert differences(seal, seal) == ()


@given(seals, seals)
def test_differences_come_in_order_of_importance_and_mirror_each_other(one, other):
    found = differences(one, other)
    places = [GROUPS.index(each.group) for each in found]
    assert places == sorted(places)
    assert {each.field for each in found} == {each.field for each in differences(other, one)}
    assert all(each.sentence.endswith(".") and "\n" not in each.sentence.replace("\\n", "") for each in found) or found


def test_what_differs_by_nature_is_left_out():
    other = replace(
        SEAL,
        run="f" * 16,
        attempt=3,
        name="other",
        created_ns=5,
        environment_changed_by_saksi={"PYTHONPATH": "/elsewhere"},
    )
    assert differences(SEAL, other) == ()


def test_every_other_field_is_compared():
    # A field added to the seal and forgotten in the comparison would be a silent blind spot.
    changed = {
        "project": "p",
        "level": "full",
        "segment": 5,
        "command": replace(SEAL.command, argv=("python", "other.py")),
        "working_directory": "/elsewhere",
        "seeds": {},
        "script": None,
        "git": None,
        "files": (),
        "distributions": (),
        "environment": {},
        "interpreter": None,
        "hardware": replace(SEAL.hardware, cpu="B"),
        "kernel": "Linux 7",
        "unobserved": {"script": "no reason"},
        "data": DataPlan(items=4096, order="shuffled", each="once", drop_last=None, content="any"),
    }
    compared = set(SEAL.__struct_fields__) - IGNORED - {"redaction_key"}
    assert set(changed) == compared
    for field, value in changed.items():
        assert differences(SEAL, replace(SEAL, **{field: value})), field


@pytest.mark.parametrize("part", ["command", "script", "git", "interpreter", "hardware"])
def test_every_field_of_every_part_is_compared(part):
    whole = getattr(SEAL, part)
    for field in whole.__struct_fields__:
        value = getattr(whole, field)
        if (part, field) in {("git", "dirty"), ("git", "changed"), ("git", "changed_total"), ("git", "untracked")}:
            continue  # bound by the digest and the totals
        other = (
            () if isinstance(value, tuple) else value + 1 if isinstance(value, int) else f"{value}x" if value else "x"
        )
        if (part, field) == ("script", "size") or (part, field) == ("script", "reason"):
            other = 7 if field == "size" else "x"
        assert differences(SEAL, replace(SEAL, **{part: replace(whole, **{field: other})})), (part, field)


def test_planned_data_that_is_another_is_named_by_what_is():
    data = DataPlan(items=4096, order="shuffled", each="once", drop_last=None, content="any")
    planned = replace(SEAL, data=data)
    assert sentences(planned) == {"data": "What data is planned is said only after."}
    assert sentences(SEAL, planned) == {"data": "What data is planned is said only before."}
    other = replace(SEAL, data=replace(data, items=512, order="any"))
    assert sentences(other, planned) == {"data": "The planned data is another, in items, order."}


def test_a_changed_argument_is_shown_with_its_flag():
    command = replace(SEAL.command, argv=("python", "train.py", "--lr", "0.2"))
    assert sentences(replace(SEAL, command=command)) == {
        "command.argv": "The command line has '--lr 0.2', not '--lr 0.1'."
    }


def test_an_added_argument_is_named():
    command = replace(SEAL.command, argv=("python", "train.py", "--fast", "--lr", "0.1"), total=5)
    assert sentences(replace(SEAL, command=command))["command.argv"] == "The command line has '--fast' in addition."


def test_a_changed_hidden_value_shows_by_its_hmac():
    command = replace(SEAL.command, hmac=hmac_of(KEY, "command", "other"))
    found = differences(SEAL, replace(SEAL, command=command))
    assert [each.field for each in found] == ["command.hmac"]


def test_a_version_is_told():
    other = replace(SEAL, distributions=(Distribution(name="torch", version="2.6.0"),))
    assert sentences(other) == {
        "distributions.numpy": "numpy 2.0.0 is installed only before.",
        "distributions.torch": "torch is 2.6.0, not 2.5.0.",
    }


def test_a_variable_is_told_with_what_it_does():
    other = replace(SEAL, environment={**SEAL.environment, "OMP_NUM_THREADS": "4"})
    assert sentences(other) == {
        "environment.OMP_NUM_THREADS": "OMP_NUM_THREADS, which sets threads, and so the order of sums, has another "
        "value: '4', not '2'."
    }


def test_a_hidden_variable_differs_without_its_value():
    other = replace(SEAL, environment={**SEAL.environment, "HOME": hmac_of(KEY, "environment", "HOME", "/home/b")})
    assert sentences(other) == {"environment.HOME": "HOME has another value."}


def test_hidden_values_of_two_keys_are_not_compared_and_that_is_said():
    other = replace(
        SEAL, redaction_key="f" * 16, environment={**SEAL.environment, "HOME": hmac_of(b"k" * 32, "environment", "x")}
    )
    assert sentences(other) == {
        "redactionKey": "1 variables cannot be compared: their values are hidden under different keys."
    }


def test_what_changes_with_every_login_comes_last():
    other = replace(SEAL, environment={**SEAL.environment, "SHLVL": "2"}, kernel="Linux 7")
    assert [each.group for each in differences(SEAL, other)] == ["hardware", "session"]


def test_a_script_of_other_content_is_named():
    other = replace(SEAL, script=SealedFile(path="train.py", digest=str(sha256(b"other")), size=5, reason=None))
    assert sentences(other) == {"script": "The script train.py has other content."}


def test_git_not_known_is_told_with_the_reason():
    other = replace(SEAL, git=None, unobserved={"git": "git is not installed"})
    assert sentences(other) == {"git": "Git's state is known only before: git is not installed."}


def test_uncommitted_changes_are_told_by_path():
    git = replace(SEAL.git, dirty=False, dirty_digest=None, changed=(), changed_total=0)
    assert sentences(replace(SEAL, git=git)) == {"git.dirtyDigest": "Changes that are not committed differ: model.py."}
