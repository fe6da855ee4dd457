"""Ranks that a launcher starts again within one attempt: what is expected of each group of them."""

from saksi.judgement.verdict import judge
from simulated_run import SimulatedRun


def report(simulated: SimulatedRun, **how):
    return judge(simulated.items(), run=simulated.run, **how).report


def group(simulated: SimulatedRun, *, ranks: int, steps: int, first_pid: int, world_size: int | None = None):
    """Ranks that train in step; the caller ends them."""
    size = world_size or ranks
    connections = [simulated.attach(rank, world_size=size, pid=first_pid + rank) for rank in range(ranks)]
    for _ in range(steps):
        for each in connections:
            each.update()
    return connections


def killed(connections) -> None:
    for each in connections:
        each.vanish()


def goodbye(connections) -> None:
    for each in connections:
        each.goodbye()


def test_a_restart_with_fewer_ranks_is_a_group_of_its_own():
    simulated = SimulatedRun()
    killed(group(simulated, ranks=4, steps=5, first_pid=4000))
    goodbye(group(simulated, ranks=2, steps=3, first_pid=5000))
    simulated.exit()
    found = report(simulated)
    assert {each.code for each in found.items} == {"coverage.rank_ended_silently"}
    assert (found.coverage.steps_expected, found.coverage.steps_witnessed, found.coverage.ranks) == (8, 8, 4)


def test_a_restart_with_more_ranks_is_a_group_of_its_own():
    simulated = SimulatedRun()
    goodbye(group(simulated, ranks=2, steps=5, first_pid=4000))
    goodbye(group(simulated, ranks=4, steps=3, first_pid=5000))
    goodbye(group(simulated, ranks=2, steps=2, first_pid=6000))
    simulated.exit()
    found = report(simulated)
    assert found.items == ()
    assert (found.coverage.complete, found.coverage.steps_expected, found.coverage.steps_witnessed) == (True, 10, 10)


def test_a_rank_missing_after_a_restart_is_not_excused_by_the_one_before():
    simulated = SimulatedRun()
    goodbye(group(simulated, ranks=3, steps=2, first_pid=4000))
    goodbye(group(simulated, ranks=2, world_size=3, steps=2, first_pid=5000))
    simulated.exit()
    (found,) = report(simulated).items
    assert (found.code, found.subject, found.ranks) == ("coverage.rank_missing", "attempt 0, restart 1", (2,))


def test_a_rank_that_trained_only_after_the_restart_is_missing_before_it():
    simulated = SimulatedRun()
    goodbye(group(simulated, ranks=2, world_size=3, steps=2, first_pid=4000))
    goodbye(reversed(group(simulated, ranks=3, steps=2, first_pid=5000)))
    simulated.exit()
    (found,) = report(simulated).items
    assert (found.code, found.subject, found.ranks) == ("coverage.rank_missing", "attempt 0", (2,))


def test_steps_of_a_rank_that_fell_silent_before_a_restart_are_not_witnessed():
    simulated = SimulatedRun()
    first = group(simulated, ranks=2, steps=3, first_pid=4000)
    first[0].update()
    killed(first)
    goodbye(group(simulated, ranks=2, steps=4, first_pid=5000))
    simulated.exit()
    coverage = report(simulated).coverage
    assert (coverage.steps_expected, coverage.steps_witnessed) == (8, 7)


def test_one_rank_that_is_replaced_alone_leaves_nobody_missing():
    simulated = SimulatedRun()
    stays, leaves = group(simulated, ranks=2, steps=3, first_pid=4000)
    leaves.vanish()
    replaced = simulated.attach(1, world_size=2, pid=5001)
    for _ in range(3):
        stays.update()
        replaced.update()
    goodbye((stays, replaced))
    simulated.exit()
    assert "coverage.rank_missing" not in {each.code for each in report(simulated).items}


def test_two_jobs_side_by_side_are_two_groups():
    simulated = SimulatedRun()
    order = [(0, 100), (0, 200), (1, 200), (1, 100)]
    connections = [simulated.attach(rank, world_size=2, pid=parent + rank, ppid=parent + 50) for rank, parent in order]
    for each, count in zip(connections, (3, 5, 5, 3), strict=True):
        for _ in range(count):
            each.update()
    goodbye(connections)
    simulated.exit()
    found = report(simulated)
    assert found.items == ()
    assert (found.coverage.steps_expected, found.coverage.steps_witnessed) == (8, 8)
