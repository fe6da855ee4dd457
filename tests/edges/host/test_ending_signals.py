from __future__ import annotations

import os
import signal

import pytest

from saksi.edges.host.ending_signals import EndingSignals

ENDS = [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143), (signal.SIGHUP, SystemExit, 129)]


def send(number):
    os.kill(os.getpid(), number)


def interrupted(done, *, before=(), within=(), behind=(), error=None):
    """Work with a part that can be interrupted, and signals before it, within it and while things are put in order."""
    with EndingSignals() as signals:
        for number in before:
            send(number)
        done.append("made")
        try:
            with signals.interruptible():
                done.append("begun")
                for number in within:
                    send(number)
                done.append("ended")
        finally:
            for number in behind:
                send(number)
            done.append("in order" if not signals.hurry else "in order at once")
            if error is not None:
                raise error
    done.append("out")


@pytest.fixture(autouse=True)
def handlers_are_given_back():
    as_started = {number: signal.getsignal(number) for number, _, _ in ENDS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a shell may have had them ignored
        signal.signal(number, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in as_started}
    yield
    assert {number: signal.getsignal(number) for number in before} == before
    for number, handler in as_started.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "kind", "code"), ENDS)
@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("before", ["made", "in order at once"]),
        ("within", ["made", "begun", "in order"]),
        ("behind", ["made", "begun", "ended", "in order at once"]),
    ],
)
def test_a_signal_ends_what_is_interruptible_by_way_of_what_cleans_up(number, kind, code, when, expected):
    done = []
    with pytest.raises(kind) as ended:
        interrupted(done, **{when: (number,)})
    assert (done, getattr(ended.value, "code", None)) == (expected, code)


@pytest.mark.parametrize(("number", "kind", "code"), ENDS)
def test_further_signals_hurry_and_cut_nothing_short(number, kind, code):
    done = []
    with pytest.raises(kind) as ended:
        interrupted(done, within=(number,), behind=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    assert (done, getattr(ended.value, "code", None)) == (["made", "begun", "in order at once"], code)


def test_an_error_of_ours_does_not_hide_that_we_were_told_to_end():
    with pytest.raises(SystemExit):
        interrupted([], behind=(signal.SIGTERM,), error=ValueError())
    with pytest.raises(ValueError, match="ours"):
        interrupted([], error=ValueError("ours"))


def test_what_was_ignored_stays_ignored():
    before, done = signal.signal(signal.SIGHUP, signal.SIG_IGN), []
    try:
        interrupted(done, within=(signal.SIGHUP,))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done == ["made", "begun", "ended", "in order", "out"]
