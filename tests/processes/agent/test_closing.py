"""The end of an attempt: how long it may take altogether, and that nobody else waits for it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
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
from saksi.processes import agent
from saksi.processes.agent import closing, node
from saksi.processes.agent.anchors import AnchorWorker, close_all
from saksi.processes.agent.node import NodeService
from saksi.processes.agent.node_plan import NodeHome
from saksi.processes.agent.quota import Quota

BESIDE = {("attempt", "LAST_WORDS_NS"), ("node", "LAST_ENDS_S")}
"""The first runs beside `FILES_NS`, which is longer; the second is the end of the node's agent, not of an attempt."""


def last_bounds():
    for module in pkgutil.iter_modules(agent.__path__):
        written = Path(module.module_finder.path, f"{module.name}.py").read_text()
        for name in re.findall(r"^(LAST_\w+_(?:NS|S)|LAST_(?:NS|S)): Final = ", written, re.MULTILINE):
            if module.name != "closing" and (module.name, name) not in BESIDE:
                yield module.name, name


@pytest.mark.parametrize(("module", "name"), [*last_bounds(), ("attempt", "FILES_NS")])
def test_the_last_word_has_time_for_each_part_of_the_end(module, name, monkeypatch):
    before = closing.LAST_WORD_S
    of = importlib.import_module(f"{agent.__name__}.{module}")
    with monkeypatch.context() as longer:
        longer.setattr(of, name, getattr(of, name) + (7_000_000_000 if name.endswith("NS") else 7))
        told = importlib.reload(closing).LAST_WORD_S
    assert before == importlib.reload(closing).LAST_WORD_S
    assert told == pytest.approx(before + 7)


@pytest.mark.parametrize("launcher", [running, served])
def test_a_launcher_waits_for_the_last_word(launcher):
    assert launcher.CLOSE_S == closing.LAST_WORD_S
    assert len(list(last_bounds())) >= 7


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
    ends_now, go_on, counted = threading.Event(), threading.Event(), []

    def finish(served, *, home):
        if served.attempt is ends:
            ends_now.set()
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
        assert ends_now.wait(20)
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
