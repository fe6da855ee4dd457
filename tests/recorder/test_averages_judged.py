"""Honest programs that keep averages, as the recorder reads them, and the same with an edit: what the check says."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from recorder.listener import Listener, environment, kinds, run
from saksi.judgement.checks.averages import AVERAGES
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.range.honest import ALL
from saksi.words.codec import decode_record
from saksi.words.records import AttachRecord, Peer
from simulated_run import Connection, SimulatedRun

pytestmark = [pytest.mark.training, pytest.mark.slow]

# Each program trains in a forked child, so that torch is imported once.
SCRIPT = r"""
import gc, importlib.util, os, sys
import torch
torch.set_num_threads(1)
import torch._dynamo
gc.collect(); gc.freeze()
for file, name in PROGRAMS:
    child = os.fork()
    if child == 0:
        torch.manual_seed(0)
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
        module.time.sleep = lambda _: None
        edit = EDITS.get(name)
        if edit: exec(edit, vars(module))
        getattr(module, name)()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
"""
FOLLOWED = """
inner, count = follow, [0]
def follow(average, model, pace):
    inner(average, model, pace)
    count[0] += 1
    if count[0] == 20:
        with torch.no_grad(): next(average.parameters()).mul_(1.1)
"""
AVERAGED = """
inner, count = swa_utils.AveragedModel.update_parameters, [0]
def updated(self, model):
    inner(self, model)
    count[0] += 1
    if count[0] == 20:
        with torch.no_grad(): next(self.parameters()).add_(0.01)
swa_utils.AveragedModel.update_parameters = updated
"""
EDITS = {
    "average_of_a_model": AVERAGED,
    "average_by_hand": FOLLOWED,
    "average_in_a_hook": FOLLOWED,
    "target_within": FOLLOWED,
}
PROGRAMS = Path(__file__).parents[2] / "src" / "saksi" / "range" / "programs"
MORE = {"patterns.py": ("average_swapped", "target_network"), "recipes.py": ("averaged_at_the_end", "values_learned")}


def judged(packets):
    """What the check makes of one connection."""
    hello = json.loads(packets[0])
    simulated = SimulatedRun()
    connection = Connection(simulated, 0, 0, hello["pid"])
    peer = Peer(pid=hello["pid"], uid=1000, gid=1000)
    simulated.add(AttachRecord(**simulated.stamp(), connection=0, peer=peer, rank=0, claimed=msgspec.Raw(packets[0])))
    for at in range(0, len(packets), 100):
        simulated.block(connection, packets[at : at + 100])
    judging = Judging([AVERAGES])
    for index, entry in enumerate(simulated.entries):
        judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True)


def played(folder, programs, edits=()):
    """What is found of each program, by name."""
    script = SCRIPT.replace("PROGRAMS", repr(programs)).replace("EDITS", repr(dict(edits)))
    with Listener(folder / "s") as agent:
        run(script, environment(folder / "s"))
        agent.drain(len(programs) + 1)
        for at in range(len(agent.connections)):
            assert not kinds(agent.frames(at), "Fault")
        return {name: judged(packets[1:]) for (_, name), packets in zip(programs, agent.connections[1:], strict=True)}


def of(file, *names):
    return [(str(PROGRAMS / file), name) for name in names]


NAMES = [each.arguments[0].replace("-", "_") for each in ALL if each.program == "averages.py"]
HONEST = {
    "some": of("averages.py", *NAMES[::2]),
    "others": of("averages.py", *NAMES[1::2], "exchanged_for_good"),
    "of other kinds": [one for file, names in MORE.items() for one in of(file, *names)],
}


@pytest.mark.parametrize("which", HONEST)
def test_no_honest_program_is_told_of_with_any_weight(which, tmp_path):
    found = played(tmp_path, HONEST[which])
    assert len(found) == len(HONEST[which])
    assert [each for those in found.values() for each in those if each.severity != "info"] == []


def test_an_edit_of_each_is_found_at_its_step(tmp_path):
    found = played(tmp_path, of("averages.py", *EDITS), EDITS)
    assert {
        name: [(each.code, each.severity, each.first_step, each.last_step) for each in those if each.severity != "info"]
        for name, those in found.items()
    } == {name: [("state.average_differs", "warning", 20, 20)] for name in EDITS}
