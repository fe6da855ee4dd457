"""The live view: it ends with the run, leaves cleanly on Ctrl-C, and survives a moment in which nothing can be read."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from datetime import UTC

import pytest

from doors.cli.cli_home import SealedRun
from saksi.doors.cli.follow import follow
from saksi.doors.cli.screen import Screen
from saksi.doors.cli.summary import show_report
from saksi.edges.store.local import LocalStore
from saksi.judgement.verdict import judge
from saksi.words.errors import StoreError
from simulated_run import RUN, train

SCREEN = Screen(width=80, height=None, unicode=True, colour=False, zone=UTC)


def report(*, live: bool):
    simulated = SealedRun()
    train(simulated)
    if not live:
        simulated.exit()
    return show_report(judge(simulated.items(), run=RUN, live=live), simulated.sealed)


def looks(*given):
    """A look that returns or raises what is given, one after the other."""
    rest = iter(given)

    def look():
        each = next(rest)
        if isinstance(each, BaseException):
            raise each
        return each

    return look


def test_it_ends_when_the_run_ends():
    pauses = []
    last = follow(
        looks(report(live=True), report(live=True), report(live=False)), lambda: SCREEN, draw=True, pause=pauses.append
    )
    assert last.state == "ended"
    assert len(pauses) == 2
    assert min(pauses) >= 1.0


def test_an_interrupt_leaves_with_the_last_report():
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    assert follow(looks(report(live=True)), lambda: SCREEN, draw=True, pause=interrupted).state == "running"


def test_a_moment_without_reading_is_bridged_and_a_long_one_is_not():
    gone = StoreError("moved")
    bridged = looks(report(live=True), gone, gone, report(live=False))
    assert follow(bridged, lambda: SCREEN, draw=False, pause=lambda _: None).state == "ended"
    with pytest.raises(StoreError):
        follow(looks(report(live=True), gone, gone, gone), lambda: SCREEN, draw=False, pause=lambda _: None)


def read_until(descriptor: int, wanted: bytes, seconds: float = 30.0) -> bytes:
    seen, deadline = b"", time.monotonic() + seconds
    while wanted not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, seen
        seen += os.read(descriptor, 65_536)
    return seen


def test_ctrl_c_on_a_terminal_leaves_with_0(home):
    simulated = SealedRun()
    train(simulated)
    writer = LocalStore(home.keep(simulated))
    writer.lock()  # this process is the agent that still writes
    outer, inner = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90"}
    child = subprocess.Popen(
        [sys.executable, "-m", "saksi.doors.main", "show", "last", "--follow"],
        env=environment,
        stdin=inner,
        stdout=inner,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(inner)
    try:
        read_until(outer, b"running")
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        left = read_until(outer, b"Evidence")
        assert child.wait(30) == 0
        assert b"Traceback" not in left
        assert child.stderr.read() == b""
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
        os.close(outer)
        writer.close()


def test_a_run_that_closes_ends_the_view_without_a_terminal(home):
    simulated = SealedRun()
    train(simulated)
    writer = LocalStore(home.keep(simulated))
    writer.lock()
    child = subprocess.Popen(
        [sys.executable, "-m", "saksi.doors.main", "show", "last", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(1.0)
    assert child.poll() is None
    writer.close()
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, b"")
    assert out.count(b"Run 0011") == 1
    assert b"interrupted" in out
