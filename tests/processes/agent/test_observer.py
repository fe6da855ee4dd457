"""What is not written down of the job's processes is counted."""

from __future__ import annotations

from saksi.edges.host.procfs import ProcessFacts
from saksi.processes.agent import observer
from saksi.processes.agent.observer import Observer

SECOND = 1_000_000_000


def facts(pid):
    return ProcessFacts(
        pid=pid, ppid=1, started_ticks=pid, state="S", executable="/bin/x", command=("x", str(pid)), uid=0
    )


def test_processes_beyond_the_limit_are_counted_once_each(monkeypatch):
    monkeypatch.setattr(observer, "MAX_RECORDED", 3)
    watching = Observer(
        1,
        without=frozenset(),
        read=facts,
        descendants=lambda root, without: tuple(range(10, 18)),
        torch_mapped=lambda pid: False,
    )
    seen = [event for second in range(20) for event in watching.look(second * SECOND)]
    seen += watching.close(20 * SECOND)
    assert len(seen) == 3
    assert watching.left_out == 5
