"""Values at the end of what a float holds, which a job may claim as well as any other.

Source: tests/fuzz.
"""

from __future__ import annotations

import math

import pytest

from saksi.judgement.verdict import judge
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
