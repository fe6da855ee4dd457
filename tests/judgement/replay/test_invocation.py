"""What can be started again from a seal."""

import msgspec

from judgement.seals import plain_seal
from saksi.judgement.redaction import REDACTED
from saksi.judgement.replay.invocation import Invocation, invocation_of
from saksi.judgement.seal import Command

HIDDEN = "hmac-sha256:" + "ab" * 32


def sealed(argv=("/venv/bin/python", "train.py", "--lr", "0.1"), *, total=None, environment=None):
    command = Command(argv=tuple(argv), total=len(argv) if total is None else total, hmac=HIDDEN)
    return msgspec.structs.replace(
        plain_seal(), command=command, environment=environment or {"OMP_NUM_THREADS": "2"}, working_directory="/work"
    )


def test_the_words_the_folder_and_the_recorded_variables_are_those_of_the_seal():
    found = invocation_of(sealed(), {"OMP_NUM_THREADS": "7", "MINE": "x"})
    assert found == Invocation(
        argv=("/venv/bin/python", "train.py", "--lr", "0.1"), environment={"OMP_NUM_THREADS": "2"}, folder="/work"
    )


def test_a_hidden_variable_is_taken_from_whoever_replays_and_named_where_it_is_not_set():
    found = invocation_of(sealed(environment={"DATA": HIDDEN, "HOME": HIDDEN}), {"DATA": "/data"})
    assert isinstance(found, Invocation)
    assert (found.environment, found.lacking) == ({"DATA": "/data"}, ("HOME",))


def test_another_interpreter_takes_the_place_of_the_first_word_alone():
    found = invocation_of(sealed(), {}, python="/clean/bin/python")
    assert isinstance(found, Invocation)
    assert found.argv == ("/clean/bin/python", "train.py", "--lr", "0.1")


def test_a_command_of_which_a_part_was_hidden_is_not_guessed():
    hidden = sealed(("tool", "--token", REDACTED))
    assert (
        invocation_of(hidden, {}) == "a part of the command was hidden as it was recorded, since it looks like a secret"
    )
    assert invocation_of(sealed(("a", "b"), total=5_000), {}) == "the seal holds 2 of 5000 words of the command"
    assert invocation_of(sealed((), total=0), {}) == "the seal names no command"


def test_a_command_that_is_given_must_be_the_one_that_was_sealed_where_that_was_recorded():
    hidden = sealed(("tool", "--token", REDACTED))
    found = invocation_of(hidden, {}, command=("tool", "--token", "hunter2"))
    assert isinstance(found, Invocation)
    assert found.argv == ("tool", "--token", "hunter2")
    other = invocation_of(hidden, {}, command=("tool", "--other", "hunter2"))
    assert other == "the command that was given is not the one that was sealed"
