"""Values at the end of what a float holds, which a job may claim as well as any other.

Source: tests/fuzz.
"""

from __future__ import annotations

import json
import math

import pytest

from saksi.judgement.verdict import judge
from saksi.words.codec import decode_frame
from saksi.words.errors import MalformedInput
from simulated_run import SimulatedRun

MOST = 1.7976931348623157e308


@pytest.mark.parametrize("losses", [(MOST,), (MOST, -MOST), (1e308, 1e308, -1e308), (5e-324, 0.0)])
def test_the_mean_of_huge_losses_is_still_a_number(losses):
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(600):
        connection.update(loss=losses[step % len(losses)])
    connection.goodbye()
    simulated.exit()
    series = judge(simulated.items(), run=simulated.run).history.series_of("loss", 0)
    assert series.unbounded == 0
    assert all(math.isfinite(mean) and series.low <= mean <= series.high for _, mean in series.points)


@pytest.mark.parametrize(
    ("sample", "is_taken"), [(2**63 - 1, True), (-(2**63), True), (2**63, False), (-(10**99), False)]
)
def test_a_sample_id_that_no_check_could_pack_ends_no_judgement(sample, is_taken):
    """One such id and nothing more was judged of the run, by the agent or later."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    arguments = {"replacement": False, "num_samples": 4}
    epoch = {"loader": 0, "epoch": 0, "sampler": "torch.utils.data.sampler.RandomSampler", "dataset": "builtins.range"}
    epoch |= {"length": 4, "batch_size": 1, "drop_last": False, "arguments": arguments, "own": True}
    connection.send("epoch", **epoch, state=None, after=None)
    batch = {"loader": 0, "ordinal": 0, "digest": "sha256:" + "0" * 64, "items": 1, "ids": [sample]}
    connection.update(batches=[batch | {"epoch": 0, "place": 0, "before": 0}])
    packet = connection.pending[-1]
    if not is_taken:
        with pytest.raises(MalformedInput, match="ids"):
            decode_frame(packet)
        return
    assert json.loads(packet)["kind"] == decode_frame(packet).__struct_config__.tag
    connection.goodbye()
    simulated.exit()
    assert judge(simulated.items(), run=simulated.run).report.coverage.steps_witnessed == 1


def test_more_sample_ids_than_a_recorder_says_are_not_kept():
    """A packet has room for thirty thousand, and a judge keeps the first batches of each epoch."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    batch = {"loader": 0, "ordinal": 0, "digest": None, "items": None}
    connection.update(batches=[batch | {"ids": [0] * 256}])
    connection.update(batches=[batch | {"ids": [0] * 257}])
    taken, refused = connection.pending[-2:]
    assert len(decode_frame(taken).batches[0].ids) == 256
    with pytest.raises(MalformedInput, match="ids"):
        decode_frame(refused)
