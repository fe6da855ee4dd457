"""Samples are thinned where the recorder would take more than its share; records and the first hundred never are."""

from __future__ import annotations

import importlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.listener import PATH, environment, kinds, run
from saksi.judgement.updates.thinning import FIRST, MOST, is_left_out
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = (
    LOADED
    + r"""
import hashlib
import torch
torch.manual_seed(0); torch.set_num_threads(1)
model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(20)])
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, foreach=False)
x = torch.randn(4, 8)
for step in range(400):
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""
)


def recorded(agent, tmp_path, **settings):
    done = run(SCRIPT, environment(tmp_path / "s", **settings))
    agent.drain(1)
    frames = agent.frames(0)
    (hello,) = kinds(frames, "Hello")
    updates = kinds(frames, "Update")
    sampled = Counter(each.update for each in kinds(frames, "Sample"))
    return done.stdout, bytes.fromhex(hello.fingerprint_key), updates, sampled


def test_beyond_the_budget_updates_after_the_first_hundred_say_of_how_many_they_were_one(agent, tmp_path):
    _, key, updates, sampled = recorded(agent, tmp_path, SAKSI_OVERHEAD_BUDGET="0.001")
    assert [each.update for each in updates] == list(range(400))
    assert all(sampled[update] for update in range(FIRST))
    thinned = [each for each in updates if each.thinned]
    assert len(thinned) > 200
    assert max(each.thinned for each in thinned) == MOST
    assert all(is_left_out(key, 0, each.update, each.thinned) for each in thinned)
    assert {each.update for each in updates if not each.thinned} == set(sampled)


@pytest.mark.parametrize("settings", [{"SAKSI_OVERHEAD_BUDGET": "100"}, {"SAKSI_LEVEL": "full"}], ids=["100", "full"])
def test_with_all_of_the_time_and_at_level_full_nothing_is_thinned(agent, tmp_path, settings):
    _, _, updates, sampled = recorded(agent, tmp_path, **settings)
    assert not any(each.thinned for each in updates)
    assert len(sampled) == len(updates) == 400


def test_the_first_update_behind_a_save_gives_samples_whatever_they_cost(agent, tmp_path):
    saving = "    optimizer.step()\n    if step % 50 == 49: torch.save(model.state_dict(), SAVED)\n"
    script = SCRIPT.replace("    optimizer.step()\n", saving.replace("SAVED", repr(str(tmp_path / "ckpt.pt"))))
    run(script, environment(tmp_path / "s", SAKSI_OVERHEAD_BUDGET="0.001"))
    agent.drain(1)
    frames = agent.frames(0)
    sampled = {each.update for each in kinds(frames, "Sample")}
    thinned = {each.update for each in kinds(frames, "Update") if each.thinned}
    behind = set(range(50, 400, 50))
    assert behind <= sampled
    assert not behind & thinned
    assert len(thinned & {each + 1 for each in behind}) > 3  # one in 32 is drawn all the same
    assert len(thinned) > 200


def test_a_budget_that_is_no_number_is_the_usual_one(agent, tmp_path):
    wrong = ("", "much", "nan", "0", "-1", "101", "inf")
    first = "import os, torch, saksi_recorder.thinning as t; print(t.budget)"
    later = f"for said in {wrong!r}: os.environ['SAKSI_OVERHEAD_BUDGET'] = said; t.configure(); print(t.budget)"
    done = run(f"{first}\n{later}", environment(tmp_path / "s", SAKSI_OVERHEAD_BUDGET="much"))
    assert done.stdout.splitlines() == ["[3.0]"] * (1 + len(wrong))


def test_weights_are_the_same_with_and_without_thinning(agent, tmp_path):
    thinned, *_ = recorded(agent, tmp_path, SAKSI_OVERHEAD_BUDGET="0.001")
    assert thinned == run(SCRIPT, environment(None, PYTHONPATH="")).stdout != ""


@pytest.fixture(scope="module")
def wanted():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PATH))
        yield importlib.import_module("saksi_recorder.thinning").wanted


nanoseconds = st.integers(min_value=1, max_value=10**10)


@given(
    every=st.sampled_from([1, 2, 4, 8, 16, 32]),
    spent=st.tuples(nanoseconds, nanoseconds, nanoseconds),
    percent=st.floats(min_value=0.001, max_value=100),
)
def test_what_samples_take_fits_into_what_is_left_or_a_third_of_it(wanted, every, spent, percent):
    update, records, one = spent
    found = wanted(every, update, records, one, percent)
    room = percent / 100 * update
    assert found in {1, 2, 4, 8, 16, 32}
    assert found == MOST or one / found <= max(room - records, room / 3)


def test_samples_are_taken_more_often_again_only_where_that_leaves_a_margin(wanted):
    assert wanted(4, 1_000_000, 0, 60_000, 3.0) == 4  # 2 would take all of the 30,000 there are
    assert wanted(4, 1_000_000, 0, 40_000, 3.0) == 2
    assert wanted(1, 1_000_000, 0, 29_000, 3.0) == 1
    assert wanted(1, 1_000_000, 0, 31_000, 3.0) == 2
