"""Processes are watched for as long as they exist; what is not written down of them is counted."""

from __future__ import annotations

import pytest

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


class Kernel:
    """Processes by id, and the tree as a walk from each root finds it."""

    def __init__(self):
        self.processes = {}
        self.tree = {}

    def run(self, pid, *, started=1, state="S", ppid=1, command=("x",)):
        self.processes[pid] = ProcessFacts(
            pid=pid, ppid=ppid, started_ticks=started, state=state, executable="/bin/x", command=command, uid=0
        )

    def watch(self, root, *, hidden=()):
        """Watch the tree; into a process that runs one of the programs `hidden` nobody may look."""

        def may_not_look(pid):
            return self.processes[pid].command in hidden

        return Observer(
            root,
            without=frozenset(),
            read=self.processes.get,
            descendants=lambda pid, without: tuple(self.tree.get(pid, ())),
            torch_mapped=lambda pid: None if may_not_look(pid) else False,
            hidden=may_not_look,
        )


@pytest.fixture
def kernel():
    made = Kernel()
    made.run(1)
    return made


def looks(watching, *seconds):
    return [(event, seen.facts.pid) for second in seconds for event, seen in watching.look(second * SECOND)]


def test_a_process_that_a_walk_leaves_out_has_not_ended_while_it_exists(kernel):
    for pid in (10, 11):
        kernel.run(pid)
    kernel.tree[1] = (10, 11)
    watching = kernel.watch(1)
    assert looks(watching, 0, 2) == [("seen", 10), ("seen", 11)]
    kernel.tree[1] = (10,)  # 11 is there; a sibling of it was exiting as the kernel listed them
    assert looks(watching, 3) == []
    assert watching.alive() == {10, 11}
    kernel.run(11, state="Z")
    assert looks(watching, 4) == [("ended", 11)]
    kernel.run(11, started=9)  # somebody else has its number now
    assert looks(watching, 5) == []
    assert watching.alive() == {10}


def test_a_recorder_that_is_no_descendant_is_watched_until_it_ends(kernel):
    watching = kernel.watch(1)
    kernel.run(50)
    watching.attached(50, 0).recorded = True
    assert looks(watching, 1, 2) == []
    kernel.run(50, state="T")
    assert looks(watching, 3) == []
    assert watching.state_of(50) == "T"
    del kernel.processes[50]
    assert looks(watching, 4) == [("ended", 50)]
    assert watching.state_of(50) is None


def test_another_process_with_the_number_of_the_job_or_the_launcher_is_not_followed(kernel):
    kernel.run(20)
    watching = kernel.watch(1)
    watching.follow(20)
    assert looks(watching, 0, 2) == [("seen", 20)]
    for pid in (1, 20):
        kernel.run(pid, started=7)
    for pid in (30, 31):
        kernel.run(pid)
    kernel.tree = {1: (30,), 20: (31,)}
    assert looks(watching, 3, 5) == [("ended", 20)]
    assert watching.alive() == frozenset()


def test_a_launcher_that_is_not_visible_has_no_descendants(kernel):
    kernel.run(30)
    kernel.tree[0] = (30,)
    assert kernel.watch(0).alive() == frozenset()


def test_a_process_that_became_another_program_is_looked_at_anew_before_anything_is_said_of_it(kernel):
    kernel.run(10, command=("sh",))
    kernel.tree[1] = (10,)
    watching = kernel.watch(1, hidden={("python", "-I")})
    assert looks(watching, 0, 0.6) == []
    kernel.run(10, command=("python", "-I"))
    assert looks(watching, 1.0) == []  # old enough to be written down as one without torch, which nobody knows now
    (seen,) = watching.known()
    assert seen.torch is None
    del kernel.processes[10]
    assert [(event, each.torch) for event, each in watching.look(2 * SECOND)] == [("seen", None), ("ended", None)]
