import msgspec
import pytest

from judgement.seals import plain_seal
from judgement.true_roots import say
from saksi.judgement.diff import Difference, diff
from simulated_run import SimulatedRun, hex64

OTHER = "ff112233445566aa"
GROUPS = [{"lr": 0.002, "betas": [0.9, 0.999], "weight_decay": 0.01}]


def trained(run="00112233445566aa", *, steps=12, ranks=1, block=3, order=None, between=None, **changes) -> SimulatedRun:
    """A run whose updates differ by `changes[rank, step]`; `between` is called before each step."""
    altered = changes.get("altered", {})
    simulated = SimulatedRun(run)
    connections = [simulated.attach(rank, world_size=ranks, pid=simulated.tick()) for rank in range(ranks)]
    for step in range(steps):
        for rank in order or range(ranks):
            if between is not None:
                between(connections[rank], step)
            connections[rank].update(**altered.get((rank, step), {}))
            if step % block == block - 1:
                connections[rank].flush()
    for each in connections:
        each.goodbye()
    simulated.exit()
    return simulated


def compared(a: SimulatedRun, b: SimulatedRun, **seals) -> Difference:
    return diff(a=a.run, b=b.run, items_a=a.items(), items_b=b.items(), **seals)


def fields(found: Difference) -> list[str]:
    assert found.first is not None
    return [each.field for each in found.first.fields]


def test_the_same_training_twice_is_the_same():
    found = compared(trained(ranks=2), trained(OTHER, ranks=2, block=5, order=[1, 0]))
    assert (found.same, found.first, found.lengths, found.compared) == (True, None, (), 24)
    assert found.sentence == "The records agree in all 24 updates that both runs have."


def test_a_changed_hyper_parameter_is_named_before_its_effects():
    altered = {(0, 7): {"loss": 9.0, "groups": GROUPS}, (0, 8): {"loss": 10.0}}
    found = compared(trained(), trained(OTHER, altered=altered))
    assert found.first is not None
    assert (found.first.rank, found.first.optimizer, found.first.update) == (0, 0, 7)
    assert fields(found) == ["groups[0].lr", "loss"]
    assert (found.first.fields[0].a, found.first.fields[0].b) == (0.001, 0.002)
    assert found.sentence == (
        "They first differ at step 7 of rank 0: groups[0].lr is 0.001 and 0.002 (1 other field differs there too)."
    )


def test_the_earliest_step_counts_whichever_rank_comes_first_in_the_log():
    altered = {(0, 9): {"loss": 1.0}, (1, 4): {"loss": 2.0}, (0, 4): {"loss": 2.0}}
    found = compared(trained(ranks=2), trained(OTHER, ranks=2, order=[1, 0], block=6, altered=altered))
    assert found.first is not None
    assert (found.first.rank, found.first.update) == (0, 4)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"loss": "NaN"}, "loss"),
        ({"loss": None}, "loss"),
        ({"losses": 2}, "losses"),
        ({"skipped": True}, "skipped"),
        ({"gradient_norm": None}, "gradient_norm"),
        ({"rng": {"python": hex64("python"), "torch": hex64("x")}}, "rng.torch"),
        ({"batches": []}, "batches"),
        ({"inventory": "a" * 64}, "inventory"),
        ({"fingerprints": []}, "fingerprints.sum64-4096 parameters 0/1"),
        ({"groups": []}, "groups"),
    ],
)
def test_every_field_is_compared(change, field):
    found = compared(trained(), trained(OTHER, altered={(0, 5): change}))
    assert found.first is not None
    assert (found.first.update, fields(found)) == (5, [field])


def test_what_no_two_runs_share_is_not_compared():
    keyed = [{"name": "mult64-4096", "over": "parameters", "share": 0, "of": 8, "start": None, "end": "a" * 32}]
    change = {"phase_ns": {"data": 1, "compute": 2, "optimizer": 3}, "self_ns": 77}
    a = trained(altered={(0, 5): {"fingerprints": []}})
    assert compared(a, trained(OTHER, altered={(0, 5): {**change, "fingerprints": keyed}})).same


def test_a_seed_is_the_cause_of_what_it_changes():
    def seed(value):
        return lambda connection, step: (
            connection.send("seeded", generator="torch", seed=value, caller=None) if step == 3 else None
        )

    found = compared(trained(between=seed("1")), trained(OTHER, between=seed("2")))
    assert found.first is not None
    assert (found.first.update, fields(found)) == (3, ["seeded[0].seed"])


def rng(python: str, torch: str = "t") -> dict:
    return {"rng": {"python": hex64(python), "torch": hex64(torch)}}


def test_a_generator_that_nobody_seeds_is_said_and_hides_nothing():
    a = trained(altered={(0, step): rng(f"a{step}") for step in range(12)})
    altered = {(0, step): rng(f"b{step}") for step in range(12)}
    found = compared(a, trained(OTHER, altered=altered))
    assert (found.same, found.unseeded) == (True, ("python",))
    assert "Not seeded in either run, and so different from the start: python." in found.sentence
    found = compared(a, trained(OTHER, altered=altered | {(0, 7): {"groups": GROUPS} | rng("b7")}))
    assert (found.first is not None and found.first.update, fields(found)) == (7, ["groups[0].lr"])


def test_a_generator_that_agreed_at_first_counts_when_it_differs():
    found = compared(trained(), trained(OTHER, altered={(0, 5): rng("x", "x")}))
    assert fields(found) == ["rng.python", "rng.torch"]


def test_a_generator_that_was_seeded_counts_from_the_start():
    def seed(connection, step):
        if step == 0:
            connection.send("seeded", generator="python", seed="1", caller=None)

    a = trained(between=seed, altered={(0, step): rng(f"a{step}") for step in range(12)})
    b = trained(OTHER, between=seed, altered={(0, step): rng(f"b{step}") for step in range(12)})
    found = compared(a, b)
    assert (fields(found), found.unseeded) == (["rng.python"], ())


def test_a_loaded_model_checkpoint_with_other_bytes_is_named():
    def load(digest):
        ckpt = {"path": "a.pt", "digest": digest, "size": 1, "device": 1, "inode": 1, "mtime_ns": 1, "step": -1}
        return lambda connection, step: connection.send("ckpt", action="loaded", **ckpt) if step == 0 else None

    found = compared(trained(between=load("sha256:" + "a" * 64)), trained(OTHER, between=load("sha256:" + "b" * 64)))
    assert fields(found) == ["loaded[0].digest"]


def roots(value: str, before: int, *ats: str):
    def send(connection, step):
        for at in ats or ("step",):
            if step == before:
                root = {"root": hex64(value + at), "layout": "a" * 64, "tensors": 1, "bytes": 4, "leaves": None}
                connection.send("root", at=at, step=before - 1, **root)

    return send


def test_a_state_root_differs_where_both_have_one():
    found = compared(trained(between=roots("a", 5)), trained(OTHER, between=roots("b", 5)))
    assert found.first is not None
    assert (found.first.update, fields(found)) == (4, ["root.root"])
    assert compared(trained(between=roots("a", 5)), trained(OTHER, between=roots("b", 6))).same


def test_the_initial_state_comes_before_every_step():
    found = compared(trained(between=roots("a", 0)), trained(OTHER, between=roots("b", 0)))
    assert found.sentence.startswith("They first differ before the first step of rank 0: root.root is")


def test_a_root_and_an_update_of_one_step_are_told_together():
    a = trained(between=roots("a", 5))
    found = compared(a, trained(OTHER, between=roots("b", 5), altered={(0, 4): {"loss": 9.0}}))
    assert fields(found) == ["loss", "root.root"]


def test_a_root_of_a_save_is_not_compared_with_one_of_the_end():
    both, end = roots("a", 5, "ckpt", "exit"), roots("a", 5, "exit")
    assert compared(trained(between=both), trained(OTHER, between=end)).same
    assert compared(trained(between=end), trained(OTHER, between=both, block=5)).same
    assert not compared(trained(between=both), trained(OTHER, between=roots("b", 5, "exit"))).same


def test_several_roots_of_one_step_that_differ_are_one_difference():
    altered = {(0, 4): {"loss": 9.0}}
    a = trained(between=roots("a", 5, "step", "ckpt"))
    found = compared(a, trained(OTHER, between=roots("b", 5, "step", "ckpt"), altered=altered))
    assert (found.first.update, fields(found)) == (4, ["loss", "root.root"])


def test_hooks_that_are_in_force_in_one_run_only_are_named():
    def hooks(names):
        def send(connection, step):
            if step == 2:
                connection.send("inventory", inventory=hex64(str(names)), hooks={"forward": names})

        return send

    a, b = (["m.hook"], ["m.hook", "evil.hook"])
    altered = [{(0, step): {"inventory": hex64(str(each))} for step in range(2, 12)} for each in (a, b)]
    found = compared(
        trained(between=hooks(a), altered=altered[0]), trained(OTHER, between=hooks(b), altered=altered[1])
    )
    assert fields(found) == ["inventory.digest", "inventory.hooks.forward"]


def test_runs_of_other_lengths_say_so():
    found = compared(trained(steps=12), trained(OTHER, steps=9))
    assert (found.same, found.first) == (False, None)
    (length,) = found.lengths
    assert (length.a, length.b) == (12, 9)


def test_runs_that_share_nothing_say_so():
    nothing = SimulatedRun(OTHER)
    nothing.exit()
    assert compared(trained(), nothing).sentence.startswith("No update is in both runs")


def test_the_setting_is_compared_at_the_first_update():
    a, b = SimulatedRun(), SimulatedRun(OTHER)
    for simulated, threads in ((a, 1), (b, 2)):
        connection = simulated.attach(threads=threads)
        connection.update()
        connection.goodbye()
        simulated.exit()
    assert fields(compared(a, b)) == ["setting[0].threads"]


def test_seals_are_compared_first_where_both_are_given():
    seal = plain_seal()
    other = msgspec.structs.replace(seal, seeds={"torch": "2"})
    found = compared(trained(), trained(OTHER), seal_a=seal, seal_b=other)
    assert found.seals_compared
    assert [each.group for each in found.seal] == ["seeds"] * len(found.seal)
    assert (found.same, found.first) == (False, None)
    assert not compared(trained(), trained(OTHER), seal_a=seal).seals_compared


def test_a_difference_can_be_printed():
    found = compared(trained(), trained(OTHER, altered={(0, 7): {"groups": GROUPS}}))
    assert msgspec.json.decode(msgspec.json.encode(found))["schema"] == "saksi.diff/v1"


def test_where_optimizers_alone_count_other_models_are_no_difference_and_what_they_hold_is():
    held = {"0/0/0": "w", "0/0/0/exp_avg": "m"}

    def state(**more):
        def send(connection, step):
            if step == 4:
                say(connection, held | more, step=4)

        return trained(between=send)

    def apart(**more):
        return diff(a="a", b="b", items_a=state().items(), items_b=state(**more).items(), optimized=True).first

    assert apart() is None
    assert apart(**{"buffer/1/hidden": "x"}) is None
    assert apart(**{"buffer/1/hidden": "x", "0/0/0/exp_avg": "edited"}).update == 4
