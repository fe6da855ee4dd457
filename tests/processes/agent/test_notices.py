"""Telling of findings: at once, once, never in the agent's way, and what was not taken is counted."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.processes.agent.notices import BROKEN_OFF_S, MAX_CAUSES, MAX_QUEUED, Notices
from saksi.words.errors import StoreError
from saksi.words.findings import SEVERITIES, Finding, at_or_above


def finding(code="live.hook_added", severity="warning", subject="a"):
    return Finding(
        code=code, severity=severity, first_step=1, last_step=1, ranks=(), subject=subject, check="c", message="m"
    )


class Held:
    """A hook that takes documents when it is let, unless it is told to fail."""

    target = "held"

    def __init__(self, *, failing=None, held=False):
        self.taken = []
        self.failing = failing
        self.called = threading.Semaphore(0)
        self.go = threading.Event()
        self.stopped = threading.Event()
        if not held:
            self.go.set()

    def send(self, document):
        self.called.release()
        while not self.go.is_set():
            if self.stopped.is_set():
                raise StoreError("stopped")
            self.go.wait(0.005)
        if self.failing is not None:
            raise self.failing
        self.taken.append(document)

    def stop(self):
        self.stopped.set()


def notices(*hooks, **more):
    return Notices(hooks, document=lambda found: f"{found.code} {found.severity} {found.subject}".encode(), **more)


def threads():
    return [each for each in threading.enumerate() if each.name == "saksi-notices"]


def test_every_hook_hears_of_a_finding():
    hooks = Held(), Held()
    told = notices(*hooks)
    told.offer(finding())
    assert told.close(10) == 0
    assert [each.taken for each in hooks] == [[b"live.hook_added warning a"]] * 2


def test_without_hooks_and_without_findings_there_is_no_thread():
    nobody, quiet = notices(), notices(Held())
    nobody.offer(finding())
    quiet.offer(finding(severity="info"))
    assert threads() == []
    assert (bool(nobody), bool(quiet)) == (False, True)
    assert (nobody.close(10), quiet.close(10)) == (0, 0)


@pytest.mark.parametrize("floor", SEVERITIES)
def test_only_what_is_grave_enough_is_told(floor):
    hook = Held()
    told = notices(hook, severity=floor)
    for severity in SEVERITIES:
        told.offer(finding(severity=severity, subject=severity))
    assert told.close(10) == 0
    assert len(hook.taken) == sum(at_or_above(each, floor) for each in SEVERITIES)


def test_a_cause_is_told_once_and_again_when_it_gets_worse():
    hook = Held()
    told = notices(hook)
    for severity in ("warning", "warning", "critical", "warning", "critical"):
        told.offer(finding(severity=severity))
    assert told.close(10) == 0
    assert hook.taken == [b"live.hook_added warning a", b"live.hook_added critical a"]


def test_what_the_agent_before_told_is_not_told_again():
    hook = Held()
    told = notices(hook)
    told.recall(finding())
    told.recall(finding(subject="b", severity="info"))
    told.offer(finding())
    told.offer(finding(subject="b"))
    assert told.close(10) == 0
    assert hook.taken == [b"live.hook_added warning b"]


def test_a_hook_that_hangs_holds_nobody_up_and_is_counted():
    slow, other = Held(held=True), Held()
    told = notices(slow, other)
    before = time.monotonic()
    for number in range(5):
        told.offer(finding(subject=str(number)))
    assert time.monotonic() - before < 1
    slow.called.acquire()
    assert told.close(0.1) == 5
    assert time.monotonic() - before < 5
    assert (len(other.taken), slow.taken) == (5, [])
    assert slow.stopped.is_set()


def test_many_that_hang_are_broken_off_beside_one_another():
    hooks = [Held(held=True) for _ in range(12)]
    for each in hooks:
        each.stop = lambda: None  # not even that helps
    told = notices(*hooks)
    told.offer(finding())
    for each in hooks:
        each.called.acquire()
    before = time.monotonic()
    assert told.close(0.1) == 12
    assert time.monotonic() - before < 12 * BROKEN_OFF_S / 2
    for each in hooks:
        each.go.set()


@pytest.mark.parametrize("failing", [StoreError("gone"), ValueError("a defect"), OSError("x")])
def test_what_fails_is_counted_and_the_next_is_tried(failing):
    hook = Held(failing=failing)
    told = notices(hook)
    told.offer(finding(subject="1"))
    told.offer(finding(subject="2"))
    assert told.close(10) == 2
    assert hook.called.acquire(timeout=1)
    assert hook.called.acquire(timeout=1)


def test_a_document_that_cannot_be_made_is_counted():
    def refuse(found):
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "no")

    told = Notices([Held()], document=refuse)
    told.offer(finding())
    assert told.close(10) == 1


def test_a_flood_loses_what_is_least_grave_and_says_how_much():
    hook = Held(held=True)
    told = notices(hook)
    told.offer(finding(subject="first"))
    hook.called.acquire()
    for number in range(MAX_QUEUED + 10):
        told.offer(finding(subject=f"w{number}"))
    for number in range(5):
        told.offer(finding(subject=f"c{number}", severity="critical"))
    hook.go.set()
    assert told.close(10) == 15
    assert [f"live.hook_added critical c{number}".encode() for number in range(5)] == hook.taken[-5:]
    assert b"live.hook_added warning w0" in hook.taken
    assert len(hook.taken) == 1 + MAX_QUEUED


def test_causes_are_bounded_and_a_flood_of_one_severity_leaves_room_for_the_next():
    hook = Held()
    told = notices(hook)
    for number in range(MAX_CAUSES + 3):
        told.recall(finding(subject=f"w{number}"))
    told.offer(finding(subject="one more"))
    told.offer(finding(subject="grave", severity="critical"))
    assert told.close(10) == 4
    assert hook.taken == [b"live.hook_added critical grave"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(SEVERITIES)), max_size=12))
def test_what_is_told_of_a_cause_always_gets_worse(found):
    hook = Held()
    told = notices(hook, severity="info")
    for subject, severity in found:
        told.offer(finding(subject=subject, severity=severity))
    assert told.close(10) == 0
    for subject in "abc":
        heard = [each.split()[1].decode() for each in hook.taken if each.endswith(subject.encode())]
        weights = [SEVERITIES.index(each) for each in heard]
        assert weights == sorted(set(weights))
        assert max(weights, default=-1) == max((SEVERITIES.index(s) for sub, s in found if sub == subject), default=-1)
