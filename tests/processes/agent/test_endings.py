"""How processes end is asked in the moment in which they do, and in which order is kept."""

from __future__ import annotations

import selectors
import subprocess

import pytest

from saksi.edges.host.procfs import read_process
from saksi.processes.agent.endings import Endings
from saksi.processes.agent.observer import Seen


@pytest.fixture
def watched():
    with selectors.DefaultSelector() as selector:
        endings = Endings(selector)
        started = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
        seen = [Seen(facts=read_process(each.pid), since_ns=0, forked=False) for each in started]
        for each in seen:
            endings.watch(each)
        yield selector, endings, started, seen
        endings.close()
        for each in started:
            each.kill()
            each.wait()


def test_ends_are_told_in_the_order_in_which_they_came(watched):
    selector, endings, started, seen = watched
    for process in (started[2], started[0]):
        process.kill()
        for key, _ in selector.select(10):
            key.data()
    assert sorted(seen, key=endings.order) == [seen[2], seen[0], seen[1]]
    assert endings.of(seen[2]).signal == 9
    assert endings.of(seen[1]) is None
