from saksi.judgement.history import History
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.items import read_items
from saksi.judgement.series import MAX_POINTS, SeriesBuilder
from saksi.judgement.timeline import MAX_EVENTS
from simulated_run import RUN, SimulatedRun, honest_run, train


def history_of(items) -> History:
    builder = HistoryBuilder()
    for item in items:
        builder.take(item)
    return builder.build()


def test_an_honest_run_is_summed_up():
    history = history_of(honest_run(ranks=2, steps=6).items())
    assert history.run == RUN
    assert history.ended
    assert [each.rank for each in history.training] == [0, 1]
    first = history.connections[0]
    assert (first.updates, first.first_step, first.last_step, first.clean) == ((6,), 0, 5, True)
    assert first.claimed_updates == (6,)
    assert first.hello is not None
    assert first.hello.torch == "2.13.0"
    loss = history.series_of("loss", 0)
    assert loss is not None
    assert (loss.count, loss.first, loss.last, loss.low) == (6, 4.0, 4.0 / 6, 4.0 / 6)
    assert history.series_of("loss", 7) is None
    kinds = [each.kind for each in history.events]
    assert kinds[:2] == ["seal", "attempt_key"]
    assert {"attach", "seeded", "optimizer", "detach", "exit"} <= set(kinds)


def test_a_resumed_run_has_two_attempts_and_its_steps_are_drawn_on():
    simulated = honest_run(steps=4)
    simulated.resume()
    train(simulated, steps=4)
    history = history_of(simulated.items())
    assert [(each.number, each.exit is not None) for each in history.attempts] == [(0, True), (1, False)]
    assert not history.ended
    loss = history.series_of("loss", 0)
    assert loss is not None
    assert [step for step, _ in loss.points] == list(range(8))


def test_a_new_agent_in_the_same_attempt_is_one_attempt_with_two_keys():
    simulated = SimulatedRun()
    simulated.admit()
    simulated.exit()
    (attempt,) = history_of(simulated.items()).attempts
    assert attempt.keys == (1, 2)


def test_loads_and_saves_faults_and_processes_are_events():
    simulated = SimulatedRun()
    simulated.process(attached=False)
    connection = simulated.attach()
    ckpt = {"path": "a.pt", "digest": None, "size": 3, "device": 1, "inode": 2, "mtime_ns": 3}
    connection.send("ckpt", action="saved", step=-1, **ckpt)
    connection.send("ckpt", action="saved", step=-1, **ckpt | {"path": None, "digest": "sha256:1"})
    connection.send("fault", where="batches", error="TypeError")
    connection.send("uncovered", what="compiled", reason="inside a graph", step=-1)
    connection.send("inventory", inventory="a" * 64, hooks={"forward": ["hook"]})
    connection.send("module", ordinal=0, class_name="GPT", parameters=1234, tensors=2, buffers=0)
    connection.goodbye(exception="KeyboardInterrupt")
    simulated.exit(code=None, signal=9)
    texts = [each.text for each in history_of(simulated.items()).events]
    assert "saved through a file object: sha256:1" in texts
    assert "module 0: GPT, 1,234 parameters" in texts
    assert "the script ended with KeyboardInterrupt" in texts
    assert "ended by SIGKILL" in texts


def test_what_is_not_a_number_is_counted_and_not_drawn():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update(loss="NaN")
    connection.update(loss=None)
    connection.update(loss=2.0)
    connection.goodbye()
    loss = history_of(simulated.items()).series_of("loss", 0)
    assert loss is not None
    assert (loss.count, loss.unbounded, loss.first, loss.points) == (2, 1, 2.0, ((2, 2.0),))


def test_a_long_series_keeps_few_points_and_exact_ends():
    builder = SeriesBuilder()
    for step in range(100_001):
        builder.add(step, float(step))
    series = builder.build(name="loss", rank=0)
    assert MAX_POINTS // 2 <= len(series.points) <= MAX_POINTS + 1
    assert (series.count, series.first, series.last, series.low, series.high) == (100_001, 0.0, 1e5, 0.0, 1e5)
    assert [step for step, _ in series.points] == sorted(step for step, _ in series.points)


def test_events_beyond_the_limit_are_counted():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for _ in range(MAX_EVENTS + 10):
        connection.send("seeded", generator="torch", seed="1", caller=None)
    connection.goodbye()
    history = history_of(simulated.items())
    assert len(history.events) == MAX_EVENTS
    assert history.events_omitted > 0
    assert history.events[-1].kind == "detach"


def test_a_block_that_is_absent_is_said_so():
    simulated = honest_run()
    blocks = [each for each in simulated.items() if each.lines]
    simulated.blobs.clear()
    items = list(read_items(simulated.entries, simulated.blob))
    assert sum(each.unread == "absent" for each in items) == len(blocks)
    assert history_of(items).unread == len(blocks)


def test_a_block_with_other_bytes_or_no_block_is_said_so():
    simulated = honest_run()
    for digest in list(simulated.blobs):
        simulated.blobs[digest] += b"x"
    assert {each.unread for each in simulated.items() if each.record.__class__.__name__ == "BlockRecord"} == {"differs"}
