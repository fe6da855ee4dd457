"""The screens, as reviewed files."""

from datetime import UTC

import msgspec
import pytest
from rich.cells import cell_len

from doors.cli.cli_home import HOSTILE, OTHER, SealedRun, golden
from judgement.continuation.seam import KEYS, Pair, state
from judgement.doctor import twins
from saksi.doors.cli.diff_screen import draw_diff
from saksi.doors.cli.doctor_screen import draw_doctor
from saksi.doors.cli.documents import RunsReport
from saksi.doors.cli.drawing import render
from saksi.doors.cli.findings_document import findings_document
from saksi.doors.cli.findings_screen import draw_findings
from saksi.doors.cli.runs_table import draw_runs
from saksi.doors.cli.screen import Screen
from saksi.doors.cli.show_screen import draw_show
from saksi.doors.cli.summary import run_line, show_report, unreadable_line
from saksi.judgement.diff import continued, diff
from saksi.judgement.distance import distance_of
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.update_views import update_views
from saksi.judgement.verdict import judge
from saksi.words.errors import MalformedInput
from saksi.words.records import Peer, SignalRecord
from simulated_run import SimulatedRun, train

WIDE = Screen(width=100, height=None, unicode=True, colour=False, zone=UTC)
NARROW = Screen(width=60, height=None, unicode=False, colour=False, zone=UTC)
SENDER = Peer(pid=812, uid=0, gid=0)
SCREENS = [("wide", WIDE), ("narrow", NARROW)]


def honest(run: str = OTHER, **seal) -> SealedRun:
    simulated = SealedRun(run, **seal)
    train(simulated, steps=60, block=10)
    simulated.exit()
    return simulated


def troubled() -> SealedRun:
    simulated = SealedRun(project="lab")
    train(simulated, ranks=2, steps=20, block=5)
    simulated.exit(code=None, signal=9, reason="killed")
    simulated.resume()
    connection = simulated.attach()
    for step in range(12):
        connection.drop_update() if step in (4, 5) else connection.update(loss="NaN" if step == 7 else 1.0 / (step + 1))
    connection.vanish()
    simulated.process()
    return simulated


def changed() -> SealedRun:
    """A hyper-parameter that had stood still is another from step 20 on, in one of two ranks."""
    simulated = SealedRun()
    connections = [simulated.attach(rank, world_size=2) for rank in range(2)]
    for step in range(60):
        for rank, connection in enumerate(connections):
            beta = 0.998 if step >= 20 and rank == 1 else 0.95
            connection.update(groups=[{"lr": 0.001, "betas": [0.9, beta]}])
    for connection in connections:
        connection.goodbye()
    simulated.exit()
    return simulated


def reported(simulated: SealedRun, **more):
    return show_report(
        judge(simulated.items(), run=simulated.run, live=more.pop("live", False)), simulated.sealed, **more
    )


def attempts(count: int = 3) -> SealedRun:
    """An elastic job that is killed, continued from its model checkpoint, and again by a stranger's file."""
    simulated = SealedRun()
    group(simulated, ranks=4, steps=8, pid=4000)
    group(simulated, ranks=2, steps=6, pid=5000, save="/out/ckpt.pt")
    simulated.add(SignalRecord(**simulated.stamp(), signal="SIGTERM", forwarded=True, sender=SENDER))
    simulated.exit(code=None, signal=15, reason="killed")
    for number in range(1, count):
        simulated.resume()
        group(simulated, ranks=2, steps=4, pid=6000, load="/out/ckpt.pt", content="a" if number == 1 else "b")
        simulated.exit()
    return simulated


def group(simulated: SealedRun, *, ranks: int, steps: int, pid: int, load=None, save=None, content="a") -> None:
    connections = [simulated.attach(rank, world_size=ranks, pid=pid + rank) for rank in range(ranks)]
    digest = f"sha256:{content * 64}"
    if load is not None:
        simulated.file(path=load, digest=digest, action="loaded", step=-1, connection=connections[0].number)
    for _ in range(steps):
        for each in connections:
            each.update()
    connections[0].flush()
    if save is not None:
        simulated.file(path=save, digest=digest, step=steps - 1, connection=connections[0].number)
    for each in connections:
        each.goodbye()


@pytest.mark.parametrize(("name", "screen"), SCREENS)
@pytest.mark.parametrize("make", [honest, troubled, attempts, changed])
def test_show(name, screen, make):
    shown = render(draw_show(reported(make()), screen), screen)
    assert shown == golden(f"show-{make.__name__}-{name}", shown)


def test_show_of_a_running_job():
    simulated = SealedRun()
    connection = simulated.attach()
    for _ in range(8):
        connection.update()
    connection.flush()
    shown = render(draw_show(reported(simulated, live=True), WIDE), WIDE)
    assert shown == golden("show-running", shown)


def test_show_of_many_attempts_gives_the_newest_first():
    low = msgspec.structs.replace(WIDE, height=30)
    shown = render(draw_show(reported(attempts(9)), low), low)
    assert shown == golden("show-many-attempts", shown)
    assert shown.index("8: 20") < shown.index("7: 20")


def test_show_of_one_attempt_is_about_it_alone():
    simulated = attempts()
    builder = HistoryBuilder()
    for item in simulated.items():
        if item.record.attempt == 1:
            builder.take(item)
    report = reported(simulated, attempt=1, within=builder.build())
    assert [each.number for each in report.attempts] == [1]
    assert {each.attempt for each in report.events} == {1}
    assert report.series[0].count == 4
    assert report.coverage.steps_witnessed == 22
    assert "attempt 1" in render(draw_show(report, WIDE), WIDE).splitlines()[0]


def test_steps_of_the_run_are_counted_over_what_was_continued():
    report = reported(attempts())
    first, second, third = report.attempts
    assert [each.beginning for each in first.groups] == ["first", "restart"]
    assert (first.steps_before, second.steps_before, third.steps_before) == (0, 6, 0)
    assert (first.end, first.ended_by) == ("ended by SIGTERM", "SIGTERM from process 812, uid 0")
    (load,) = second.loaded
    assert (load.origin, load.origin_run, load.origin_attempt, load.origin_group) == ("saved", report.run, 0, 1)
    assert third.loaded[0].origin == "changed"


def test_show_of_a_log_cut_short():
    report = reported(honest(), short="the journal ends after 3 of 9 entries")
    assert "The log is not whole" in report.sentence
    assert report.next_command == f"saksi fsck {OTHER}"


def test_show_of_a_run_that_never_began():
    empty = SimulatedRun(seal=False)
    report = show_report(judge(empty.items(), run=empty.run), None)
    shown = render(draw_show(report, WIDE), WIDE)
    assert shown == golden("show-empty", shown)


@pytest.mark.parametrize(("name", "screen"), SCREENS)
def test_runs(name, screen):
    lines = [
        run_line(judge(each.items(), run=each.run), each.sealed)
        for each in (honest(), troubled(), honest("0" * 16, name=None))
    ]
    lines.append(unreadable_line("1" * 16, MalformedInput("note", "no signature")))
    shown = render(draw_runs(RunsReport(runs=tuple(lines)), screen), screen)
    assert shown == golden(f"runs-{name}", shown)


def test_runs_without_any():
    shown = render(draw_runs(RunsReport(runs=()), WIDE), WIDE)
    assert shown == golden("runs-none", shown)


@pytest.mark.parametrize(("name", "screen"), SCREENS)
def test_findings(name, screen):
    report = judge(troubled().items(), run="00112233445566aa").report
    shown = render(draw_findings(findings_document(report), screen, left_out=2), screen)
    assert shown == golden(f"findings-{name}", shown)


@pytest.mark.parametrize(("name", "screen"), SCREENS)
def test_diff(name, screen):
    a, b = honest(), SealedRun(name="again", seeds={"PYTHONHASHSEED": "1"})
    connection = b.attach()
    a_frames = {"class_name": "torch.optim.adamw.AdamW", "file": "adamw.py", "groups": 1, "tensors": 4, "defaults": {}}
    connection.send("seeded", generator="torch", seed="1337", caller="train.py:3")
    connection.send("optimizer", ordinal=0, **a_frames)
    for step in range(60):
        connection.update(**({"groups": [{"lr": 0.002}], "loss": 9.5} if step >= 37 else {}))
    connection.goodbye()
    found = diff(a=a.run, b=b.run, items_a=a.items(), items_b=b.items(), seal_a=a.sealed, seal_b=b.sealed)
    found = msgspec.structs.replace(found, distance=distance_of(*(update_views(each.items()) for each in (a, b))))
    shown = render(draw_diff(found, screen), screen)
    assert shown == golden(f"diff-{name}", shown)


@pytest.mark.parametrize(("name", "screen"), SCREENS)
def test_diff_of_an_attempt_that_forgot_its_optimizer(name, screen):
    pair = Pair()
    fresh = {key: "fresh" for key in KEYS if key.endswith("exp_avg")}
    found = continued(
        a=f"{pair.run.run}@0",
        b=f"{pair.run.run}@1",
        continuation=pair.resumed(root=state(**fresh)),
        seal_a=pair.run.sealed,
        seal_b=pair.run.sealed,
    )
    shown = render(draw_diff(found, screen), screen)
    assert shown == golden(f"diff-continued-{name}", shown)


def test_diff_of_equal_runs_without_seals():
    a = honest()
    found = diff(a=a.run, b=a.run, items_a=a.items(), items_b=a.items())
    shown = render(draw_diff(found, WIDE), WIDE)
    assert shown == golden("diff-same", shown)


def test_colour_says_nothing_alone():
    coloured = msgspec.structs.replace(WIDE, colour=True)
    drawn = render(draw_show(reported(troubled()), coloured), coloured)
    assert "\x1b[" in drawn
    bare = "".join(part.partition("m")[2] if at else part for at, part in enumerate(drawn.split("\x1b[")))
    assert [line.rstrip() for line in bare.splitlines()] == render(
        draw_show(reported(troubled()), WIDE), WIDE
    ).splitlines()


@pytest.mark.parametrize("screen", [WIDE, NARROW])
def test_what_a_run_says_of_itself_cannot_steer_the_terminal(screen):
    simulated = SealedRun(name=HOSTILE, project=HOSTILE)
    simulated.sealed = msgspec.structs.replace(
        simulated.sealed, command=msgspec.structs.replace(simulated.sealed.command, argv=(HOSTILE, "x" * 3000))
    )
    connection = simulated.attach(python=HOSTILE, torch=HOSTILE)
    connection.send("uncovered", what=HOSTILE, reason=HOSTILE, step=-1)
    connection.send("seeded", generator="torch", seed=HOSTILE, caller=HOSTILE)
    connection.send("fault", where=HOSTILE, error=HOSTILE)
    connection.update(rng={})
    simulated.process(command=[HOSTILE], executable=HOSTILE)
    simulated.file(path=HOSTILE, digest=None, reason=HOSTILE)
    connection.goodbye(exception=HOSTILE)
    simulated.exit(code=None, reason=HOSTILE)
    judgement = judge(simulated.items(), run=simulated.run)
    drawn = [
        draw_show(show_report(judgement, simulated.sealed, short=HOSTILE), screen),
        draw_findings(findings_document(judgement.report), screen),
        draw_runs(RunsReport(runs=(run_line(judgement, simulated.sealed, short=HOSTILE),)), screen),
        draw_runs(RunsReport(runs=(unreadable_line("1" * 16, MalformedInput(HOSTILE, HOSTILE)),)), screen),
    ]
    other = SealedRun(name=HOSTILE)
    other.attach().update(groups=[{HOSTILE: HOSTILE}])
    found = diff(
        a=simulated.run,
        b=OTHER,
        items_a=simulated.items(),
        items_b=other.items(),
        seal_a=simulated.sealed,
        seal_b=other.sealed,
    )
    for each in (*drawn, draw_diff(found, screen)):
        text = render(each, screen)
        assert text.replace("\n", "").isprintable()
        assert "\\x1b" in text
        assert max(map(cell_len, text.splitlines())) <= screen.width


@pytest.mark.parametrize(("name", "screen"), SCREENS)
def test_doctor(name, screen):
    def holds(step):
        return twins.state_after(step - 1)

    missing = twins.examined(again=twins.resumed(initial=holds(1), holds=holds))
    other = {"initial": twins.state_after(-1), "holds": holds, "notes": twins.began(threads=2)}
    threads = twins.examined(threaded=twins.launched("threads", steps=4, **other))
    answers = [missing, threads, twins.examined(again=twins.resumed(loads=False))]
    shown = "\n----\n\n".join(render(draw_doctor(each, screen), screen) for each in answers)
    assert shown == golden(f"doctor-{name}", shown)
