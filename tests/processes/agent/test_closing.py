"""The end of an attempt: how long it may take altogether, and that nobody else waits for it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from saksi.doors.launch import running, served
from saksi.edges.agent_settings import AgentSettings
from saksi.edges.agent_socket import open_doors
from saksi.edges.clock import SystemClock
from saksi.edges.home import Home
from saksi.processes.agent import anchors, attempt, environment_files, intake, live_watch, node
from saksi.processes.agent.anchors import AnchorWorker, close_all
from saksi.processes.agent.node import NodeService
from saksi.processes.agent.node_plan import NodeHome
from saksi.processes.agent.quota import Quota


@pytest.mark.parametrize("launcher", [running, served])
def test_a_launcher_waits_longer_than_all_parts_of_the_end_together(launcher):
    parts_ns = (attempt.FILES_NS, intake.LAST_READ_NS, live_watch.LAST_NS)
    assert sum(parts_ns) / 1e9 + environment_files.LAST_S + anchors.LAST_HEAD_S < launcher.CLOSE_S


class Anchor:
    target = "anchor"

    def __init__(self, holds=None):
        self._holds = holds

    def send(self, run, size, note):
        if self._holds is not None:
            self._holds.wait(20)


def test_several_anchors_that_hang_are_waited_for_once():
    holds = threading.Event()
    workers = [AnchorWorker(Anchor(each), "run", clock=time.monotonic) for each in (holds, holds, holds, None)]
    for each in workers:
        each.offer(1, b"head")
    begun = time.monotonic()
    assert close_all(workers, 0.5) == 3
    assert time.monotonic() - begun < 1.0
    holds.set()
    assert close_all(workers, 10.0) == 0


class Watched:
    """An attempt of the node's agent; it is over when the test says so."""

    def __init__(self):
        self.over = False
        self.ticks = 0
        self._waits = os.eventfd(0)

    def fileno(self):
        return self._waits

    def is_over(self):
        return self.over

    def tick(self):
        self.ticks += 1

    def begin(self):
        pass

    react = tell_news = begin


def test_an_attempt_that_takes_long_to_close_holds_up_no_other(tmp_path, monkeypatch, request):
    """Otherwise the others would find that they had been held up, and say that nobody had watched."""
    place = NodeHome(home=Home(tmp_path / "home"), environment={}, clock=SystemClock(), anchors=(), quota=Quota(None))
    folder = Path(tempfile.mkdtemp(prefix="saksi-"))  # a socket's path is short
    request.addfinalizer(lambda: shutil.rmtree(folder))
    service = NodeService(place, AgentSettings(), open_doors(folder / "agent.sock"))
    closing, go_on, counted = threading.Event(), threading.Event(), []

    def finish(served, *, home):
        if served.attempt is ends:
            closing.set()
            assert go_on.wait(20)
        return "closed"

    monkeypatch.setattr(node, "finish", finish)
    monkeypatch.setattr(node.signal, "signal", lambda *_: None)
    ends, stays = Watched(), Watched()
    account = SimpleNamespace(uid=1)
    for number, each in enumerate((ends, stays)):
        service._admitted(
            SimpleNamespace(attempt=each, planned=SimpleNamespace(run="r", number=number, account=account))
        )

    def job():
        ends.over = True
        assert closing.wait(20)
        before = stays.ticks
        until = time.monotonic() + 20
        while stays.ticks < before + 5 and time.monotonic() < until:
            time.sleep(0.01)
        counted.append(stays.ticks - before)
        go_on.set()
        stays.over = True
        service._be_told(15, None)

    thread = threading.Thread(target=job)
    thread.start()
    service.run()
    thread.join()
    assert counted[0] >= 5
    for each in (ends, stays):
        os.close(each.fileno())
