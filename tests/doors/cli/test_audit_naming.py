"""Whatever comes of the program as it is found now, a mismatch stays one; and what is named rests on equal terms."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from judgement.replay.test_judge import REPLAY, compared, trained
from judgement.replay.test_naming import BEGIN, FUNCTIONS, SEALED, lines, with_other
from saksi.doors.cli import audit_naming
from saksi.doors.cli.audit_naming import Repeated, confirm, name, repeat
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.judge import is_repeated
from saksi.judgement.replay.named import unnamed
from saksi.judgement.replay.transcript import parse_transcript
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.replaying import Replay, Replayed
from saksi.words.errors import MalformedInput

FOUND = Invocation(argv=("python", "train.py"), environment={}, folder="/", lacking=("TOKEN",))
BAD, GOOD = trained(altered={7: {"loss": 9.0}}), trained(REPLAY)


def written(operations=SEALED):
    return lines(BEGIN, *FUNCTIONS, *operations, {"kind": "end", "operations": len(operations)})


def replayed(record, transcript=None):
    return Replayed(reading=record, code=0, last_words="", observed=None, transcript=transcript)


class Replays:
    """Replays that were made up: of each name what it gives, or raises."""

    def __init__(self, tmp_path, **found):
        self.asked = SimpleNamespace(
            reading=BAD, attempt=0, found=FOUND, invocation=msgspec.structs.replace(FOUND, argv=())
        )
        self.task = Replay(
            invocation=None, level="standard", segment=None, project=None, redaction_key=None, placed=(),
            written=(), hidden=(Path("/home"),), cache=tmp_path, limit_s=1.0,
        )  # fmt: skip
        self.place, self.found, self.tasks = tmp_path, found, {}

    def once(self, name, _what, task=None):
        self.tasks[name] = task or self.task
        if isinstance(self.found[name], Exception):
            raise self.found[name]
        return self.found[name]


@pytest.fixture(autouse=True)
def _simulated(monkeypatch):
    def difference(one, _attempt, other):
        if isinstance(other, Exception):
            raise other
        return compared(one, other).difference

    monkeypatch.setattr(audit_naming, "difference", difference)


def named(tmp_path, found, **more):
    replays = Replays(tmp_path, found=found, **more)
    repeated = Repeated(compared(BAD, GOOD, GOOD), replayed(GOOD), parse_transcript(written()))
    return name(replays, GOOD, repeated), replays


def test_what_the_found_program_does_as_recorded_is_compared(tmp_path):
    changed = with_other(3, args=("other=0.98",), stack=((3, 12), (0, 5))).operations
    told, replays = named(tmp_path, replayed(BAD, written(changed)))
    assert (told.naming.as_found, told.naming.function, told.replays) == ("as_recorded", "sitecustomize.quietly", 3)
    task = replays.tasks["found"]
    assert (task.invocation, task.transcript, task.placed) == (FOUND, (0, 7), ())
    assert {tmp_path / "first", tmp_path / "second", Path("/home")} == set(task.hidden)
    assert task.cache != replays.task.cache


def test_where_two_sealed_transcripts_could_part_as_well_a_further_one_is_asked(tmp_path):
    noisy = list(with_other(1, outs=(("", "float32[2]", "e" * 32),)).operations)
    noisy[3] = msgspec.structs.replace(noisy[3], args=("other=0.98",), stack=((3, 12), (0, 5)))
    other = with_other(1, outs=(("", "float32[2]", "f" * 32),)).operations
    told, _ = named(tmp_path, replayed(BAD, written(noisy)), last=replayed(GOOD, written(other)))
    assert (told.naming.kind, told.naming.operation, told.replays) == ("arguments", "aten::mul_", 4)


@pytest.mark.parametrize("record", [GOOD, trained(REPLAY, altered={7: {"loss": 5.0}})], ids=["as_sealed", "neither"])
def test_nothing_is_named_if_it_does_not_do_the_step_as_recorded(tmp_path, record, request):
    told, _ = named(tmp_path, replayed(record, written()))
    assert told.naming.as_found == request.node.callspec.id
    hidden = "the record hides what TOKEN held in the run, and it is not set here"
    assert (hidden in told.naming.sentence) == (record is not GOOD)
    assert told.naming.function is None


@pytest.mark.parametrize(
    "found",
    [
        NotReplayed("the replay could not be confined"),
        OSError(28, "No space left on device"),
        replayed(None),
        replayed(MalformedInput("the log", "cut off")),
        replayed(BAD, b"no transcript"),
        replayed(BAD),
    ],
    ids=["confined", "space", "no record", "damaged record", "malformed", "nothing written"],
)
def test_nothing_that_the_found_program_does_takes_the_mismatch_back(tmp_path, found):
    told, _ = named(tmp_path, found)
    assert is_repeated(told)
    assert told.naming.function is None
    assert told.naming.sentence
    assert told.replays == 3


def test_the_same_words_in_the_same_place_are_not_replayed_again(tmp_path):
    replays = Replays(tmp_path)
    replays.asked.found = replays.asked.invocation
    told = name(replays, GOOD, Repeated(compared(BAD, GOOD, GOOD), replayed(GOOD), parse_transcript(written())))
    assert (told.naming.as_found, replays.tasks) == ("as_sealed", {})


def test_a_transcript_that_changes_what_is_done_takes_two_more_replays_without(tmp_path):
    other = trained(REPLAY, altered={3: {"loss": 5.0}})
    replays = Replays(tmp_path, second=replayed(other, written()), third=replayed(GOOD), fourth=replayed(GOOD))
    found = repeat(replays, GOOD, compared(BAD, GOOD), names=True)
    assert (is_repeated(found.compared), found.compared.replays) == (True, 4)
    assert [replays.tasks[each].transcript for each in ("second", "third", "fourth")] == [(0, 7), None, None]
    assert isinstance(found.sealed, str)
    replays.found["fourth"] = replayed(other)
    assert not is_repeated(repeat(replays, GOOD, compared(BAD, GOOD), names=True).compared)


OTHER = trained(REPLAY, altered={7: {"loss": 5.0}})


@pytest.mark.parametrize(
    ("further", "repeats", "count"), [((GOOD, GOOD), True, 4), ((GOOD, OTHER), False, 4), ((OTHER, GOOD), False, 3)]
)
def test_what_nothing_explains_has_to_come_of_two_more_replays_too(tmp_path, further, repeats, count):
    given = {f"again-{number}": replayed(record) for number, record in enumerate(further)}
    replays = Replays(tmp_path, **given)
    unexplained = msgspec.structs.replace(compared(BAD, GOOD, GOOD), naming=unnamed("as_sealed"))
    found = confirm(replays, GOOD, unexplained)
    assert (is_repeated(found), found.replays) == (repeats, count)
    assert replays.tasks["again-0"].enough == (1, 9)


def test_a_replay_that_ends_before_the_step_confirms_nothing(tmp_path):
    replays = Replays(tmp_path, **{"again-0": replayed(trained(REPLAY, steps=3))})
    assert not is_repeated(confirm(replays, GOOD, compared(BAD, GOOD, GOOD)))


def test_what_the_found_program_explains_is_not_replayed_again(tmp_path):
    changed = with_other(3, args=("other=0.98",), stack=((3, 12), (0, 5))).operations
    told, replays = named(tmp_path, replayed(BAD, written(changed)))
    assert confirm(replays, GOOD, told) == told
    assert set(replays.tasks) == {"found"}


def test_an_update_of_another_optimizer_is_not_looked_for_in_a_step(tmp_path):
    difference = compared(BAD, GOOD).difference
    first = msgspec.structs.replace(difference.first, optimizer=1)
    apart = msgspec.structs.replace(compared(BAD, GOOD), difference=msgspec.structs.replace(difference, first=first))
    replays = Replays(tmp_path, second=replayed(GOOD))
    found = repeat(replays, GOOD, apart, names=True)
    assert replays.tasks["second"].transcript is None
    told = name(replays, GOOD, found)
    assert "the difference is in an update of optimizer 1" in told.naming.sentence
