"""Every common way to train: bit-identical at both levels, and witnessed whole or said where not, and why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from saksi.processes.agent.mapped_watch import GONE
from saksi_run import Home
from warm import Warm

SCRIPTS = Path(__file__).parent / "scripts"
BY_HAND = ("updates that no optimizer's step makes", "goes past torch's step wrapper")
NO_UPDATE = ("what backward passes were for", "12 backward passes, and no update followed")
NORM = ("gradient norm", "it is spread over the ranks")
LEFT_OUT = {"coverage.uncovered", "coverage.no_training_seen", "data.not_recomputed", "gradient.not_followed",
            "optimizer.not_recomputed"}  # fmt: skip

OPTIMIZERS = (
    *("SGD", "Adam", "AdamW", "AdamW-tensor-lr", "Adagrad", "Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop"),
    *("Rprop", "Adafactor", "Muon", "LBFGS", "signed", "derived"),
)
UNSEEN = {
    "unwrapped": {BY_HAND, NO_UPDATE},
    "bare_step": {BY_HAND, NO_UPDATE},
    "by_hand": {BY_HAND, NO_UPDATE},
    "through_data": {BY_HAND, NO_UPDATE},
    "wrapping": {("Steps", "optimizer 0 made no update of its own")},
}
PATTERNS = {
    **dict.fromkeys(
        (
            *("in_backward", "groups_added_later", "tied_weights", "sparse_gradients", "accumulation", "scaler"),
            *("scaler_fused", "autocast", "half_precision_weights", "ema_and_swa", "ema_swapped", "target_network"),
            *("weight_clipping", "frozen_then_thawed", "several_models", "evaluation_between", "not_a_number"),
            *("activation_checkpointing", "activation_checkpointing_reentrant", "second_optimizer_later"),
            *("schedulers", "autograd_grad", "generators", "made_anew"),
        ),
        12,
    ),
    "several_optimizers": 6,  # Steps are those of optimizer 0, which updates every other time
}
PROCESSES = {
    "of_multiprocessing_fork": 24,
    "of_multiprocessing_spawn": 24,
    "of_multiprocessing_forkserver": 24,
    "of_subprocess": 12,
    "of_fork": 24,
    "beside_a_pool": 12,
}
SAVED = {"torch": 1, "mmap": 1, "a_stream": 1, "safetensors": 2, "dcp": 2}
"""Each way to save, with the files that it makes of one model."""
BESIDE = {
    ("optimizers.py", "shared"): ("optimizer state that belongs to no parameter", "kept under shared"),
    ("loaders.py", "in_a_thread"): (
        "batches that were fetched in another thread than that of the updates",
        "not known for which update",
    ),
    ("saving.py", "@", "in_a_thread"): (
        "the state in a model checkpoint that another thread saved",
        "no root is taken",
    ),
}
PARTS = ("model", "model_fullgraph", "loss", "clip", "clip_fullgraph", "backward")
STEPS = ("optimizer_step", "step", "update", "whole")
"""What is compiled: where dynamo traces `Optimizer.step`, and where it does not."""
LOADERS = (
    *("in_process", "fork", "forkserver", "persistent", "unordered", "iterable", "iterable_worker"),
    *("own_generator", "without"),
)

TORCH_ABORTED = "terminate called without an active exception"
"""What torch says if a thread of its own wants the interpreter that is ending (pytorch/pytorch#190489).

Seldom: of 138 launches of two ranks without saksi in a row none did. Such a launch, without saksi, is made again.
"""

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(900)]


class Ways:
    """One script, run without saksi and at both levels."""

    def __init__(self, folder: Path, warm: Warm) -> None:
        self.folder = folder
        self.warm = warm
        self.home = Home(folder)

    def outcome(self, *command, level=None):
        """The lines that it ended with; the ranks of a group may speak in any order."""
        code, output, problem = self.ended(command, level, level or "plain")
        if code != 0 and level is None and TORCH_ABORTED in problem:
            code, output, problem = self.ended(command, level, "plain-again")
        assert code == 0, problem
        assert output
        return sorted(output.splitlines())

    def ended(self, command, level, name):
        """How one launch of it ended, in a new folder: its exit code, what it printed, and its errors."""
        work = self.folder / name
        work.mkdir()
        words = [sys.executable, *command] if command[0] != "torchrun" else torchrun(*command[1:])
        words = [word.replace("@", str(work)) for word in words]
        if level is not None:
            done = self.home.run("run", "-q", "--level", level, "--", *words, timeout=400)
            return done.returncode, done.stdout, done.stderr
        if command[0] == "torchrun":  # the same ranks end in the same bits, whoever starts them
            _, ranks, way = command
            words[1:] = script("ranks.py", way, ranks, str(work / "meeting"), "fork")
        code = self.warm.run(words[1:], work / "output")
        return code, (work / "output").read_text(), (work / "output.err").read_text()

    def reports(self, *command):
        """The coverage and what is not covered, at either level, after the outcomes were compared."""
        plain = self.outcome(*command)
        for level in ("standard", "full"):
            assert self.outcome(*command, level=level) == plain
            report = self.home.json("findings", "last")
            # A script's own hooks and patches, there from the start, are told and stand against nobody; and so are the
            # kernels that it has compiled, a loss that is no number, and groups that it adds.
            own = [each for each in report["items"] if is_own(each)]
            about = {
                each["code"]
                for each in report["items"]
                if (each not in own or each["code"] == "live.not_checkable") and not is_gone(each)
            }
            assert about <= LEFT_OUT, report["items"]
            reasons = {(i["subject"], i["message"]) for i in report["items"] if i["code"] == "coverage.uncovered"}
            yield report["coverage"], reasons


TOLD = (
    "dynamics.", "gradient.changed_after_backward", "gradient.clipping_differs", "gradient.scaled_unevenly", "live.",
    "plan.groups_changed",
)  # fmt: skip


def is_gone(item):
    """A process that trained for milliseconds may have ended before the agent got to look at it from outside."""
    return item["code"] == "environment.not_checkable" and item["message"].endswith(f": {GONE}.")


def is_own(item):
    kernels = item["code"] == "environment.object_foreign" and "/torchinductor_" in item["subject"]
    by_hand = item["code"] == "state.changed_between_steps" and item["alleges"] == "drift"
    return item["severity"] == "info" and (kernels or by_hand or item["code"].startswith(TOLD))


def torchrun(ranks, *command):
    module = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks]
    return [sys.executable, *module, str(SCRIPTS / "ranks.py"), *command]


def script(name, *words):
    return (str(SCRIPTS / name), *words)


@pytest.fixture(scope="module")
def warm():
    process = Warm(modules=("torch._dynamo", "torch._dynamo.backends.debugging", "torch.distributed.fsdp"))
    yield process
    process.end()


@pytest.fixture
def ways(tmp_path, warm):
    return Ways(tmp_path, warm)


def assert_whole(ways, command, steps, ranks=1):
    for coverage, reasons in ways.reports(*command):
        assert reasons == set()
        assert coverage == {
            "complete": True,
            "steps_expected": steps,
            "steps_witnessed": steps,
            "ranks": ranks,
            "dropped_records": 0,
            "not_checkable": [],
        }


def assert_not_covered(ways, command, expected, steps=None, ranks=0):
    for coverage, reasons in ways.reports(*command):
        assert {subject for subject, _ in reasons} == {subject for subject, _ in expected}
        for subject, reason in expected:
            assert any(subject == said and reason in message for said, message in reasons), reasons
        assert (coverage["complete"], coverage["steps_expected"], coverage["ranks"]) == (False, steps, ranks)


def test_an_optimizer_is_witnessed_whole(ways):
    assert_whole(ways, script("optimizers.py", "LBFGS"), 12)


def test_every_optimizer_is_witnessed_whole_in_a_process_of_its_own(ways):
    assert_whole(ways, script("optimizers.py", *OPTIMIZERS), 12 * len(OPTIMIZERS))


@pytest.mark.parametrize("name", UNSEEN)
def test_updates_that_pass_torchs_step_by_are_said_not_to_be_covered(ways, name):
    assert_not_covered(ways, script("optimizers.py", name), UNSEEN[name], ranks=1 if name == "wrapping" else 0)


def test_a_training_loop_is_witnessed_whole(ways):
    assert_whole(ways, script("patterns.py", "in_backward"), PATTERNS["in_backward"])


def test_every_training_loop_is_witnessed_whole_in_a_process_of_its_own(ways):
    assert_whole(ways, script("patterns.py", *PATTERNS), sum(PATTERNS.values()))


def test_a_model_trained_by_hand_beside_an_optimizer_is_said_not_to_be_covered(ways):
    assert_not_covered(ways, script("patterns.py", "by_hand_beside_an_optimizer"), {BY_HAND}, 12, 1)


@pytest.mark.parametrize("command", BESIDE, ids=" ".join)
def test_a_part_that_is_not_covered_is_said_and_the_rest_is_witnessed(ways, command):
    assert_not_covered(ways, script(*command), {BESIDE[command]}, 12, 1)


def test_a_training_fed_by_a_loader_whose_workers_are_spawned_is_witnessed_whole(ways):
    assert_whole(ways, script("loaders.py", "spawn"), 12)


def test_every_training_fed_by_a_loader_is_witnessed_whole_in_a_process_of_its_own(ways):
    assert_whole(ways, script("loaders.py", *LOADERS), 12 * len(LOADERS))


@pytest.mark.parametrize("way", PROCESSES)
def test_training_in_processes_of_the_script_is_witnessed_whole(ways, way):
    assert_whole(ways, script("processes.py", way), PROCESSES[way])


def test_model_checkpoints_are_recorded_as_they_are_saved_and_loaded(ways):
    assert_whole(ways, script("saving.py", "@", *SAVED), 12 * len(SAVED))
    records = [each for each in ways.home.records() if type(each).__name__ == "FileRecord"]
    for way, files in SAVED.items():
        found = [each for each in records if f"/{way}/" in each.path]
        assert [each.action for each in found] == (["saved"] * files + ["loaded"] * files) * 2 or way == "safetensors"
        assert [each.step for each in found] == [4] * files * 2 + [9] * files * 2
        assert all(each.digest for each in found)
        saved = {each.digest for each in found if each.action == "saved"}
        assert {each.digest for each in found if each.action == "loaded"} == saved


@pytest.mark.parametrize("ways_of_it", [["model"], PARTS], ids=["in one process", "each in a process of its own"])
def test_compiled_parts_keep_their_graphs_and_their_breaks(ways, ways_of_it):
    assert_whole(ways, script("compiled.py", "aot_eager", *ways_of_it), 6 * len(ways_of_it))


@pytest.mark.parametrize("ways_of_it", [["whole"], STEPS], ids=["in one process", "each in a process of its own"])
def test_a_compiled_step_keeps_its_graphs_and_has_no_further_break(ways, ways_of_it):
    """Dynamo runs the loop over step hooks as it is, and one break of torch's own inside it is then not met."""
    command = script("compiled.py", "aot_eager", *ways_of_it)
    digests, counted = digests_and_counts(ways.outcome(*command))
    assert digests.keys() == counted.keys() == set(ways_of_it)
    for level in ("standard", "full"):
        digests_of_it, counted_of_it = digests_and_counts(ways.outcome(*command, level=level))
        assert digests_of_it == digests
        assert counted_of_it.keys() == counted.keys()
        for way, (graphs, breaks) in counted.items():
            assert counted_of_it[way] in {(graphs, breaks), (graphs, breaks - 1)}, way
        coverage = ways.home.json("findings", "last")["coverage"]
        assert (coverage["complete"], coverage["steps_witnessed"]) == (True, 6 * len(ways_of_it))


def digests_and_counts(lines):
    """By way: what training ended in, and the graphs and breaks."""
    counts = {way: said for way, _, said in (line.partition(": ") for line in lines) if said}
    numbers = {way: tuple(int(word) for word in said.split() if word.isdecimal()) for way, said in counts.items()}
    return dict(line.split() for line in lines if ": " not in line), numbers


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_rank_of_data_parallel_training_is_witnessed_whole(ways, ranks):
    assert_whole(ways, ("torchrun", str(ranks), "ddp"), 12, ranks)


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_rank_of_sharded_training_is_witnessed_but_for_the_norm_that_is_spread(ways, ranks):
    assert_not_covered(ways, ("torchrun", str(ranks), "fsdp"), {NORM}, 12, ranks)


def test_ranks_that_the_script_starts_itself_are_witnessed_whole(ways):
    assert_whole(ways, script("ranks.py", "ddp", "2", "@/meeting", "spawn"), 12, 2)
