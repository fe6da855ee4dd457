"""Two roots bind the same of what is trained where nothing but averages moved between them."""

from __future__ import annotations

import base64

import pytest

from judgement.true_roots import root_fields
from saksi.judgement.trained_state import TrainedStates
from saksi.words.frames import LayoutFrame, RootFrame

STATE = {
    "0/0/0": "weight", "0/0/0/exp_avg": "moment", "buffer/0/mean": "mean", "buffer/1/n_averaged": "count",
    "beside/1/module.w": "average",
}  # fmt: skip
FRAME = {"seq": 0, "prev": "0" * 64, "wall_ns": 0, "mono_ns": 0, "lost": 0}


def trained(state, *, lines=lambda lines: lines, leaves=lambda content: content):
    """`lines` and `leaves` are what a job may say of them."""
    layout, root = root_fields(state)
    content = base64.b64encode(leaves(base64.b64decode(root["leaves"]))).decode()
    states = TrainedStates()
    states.lay(LayoutFrame(**FRAME, **(layout | {"lines": [tuple(each) for each in lines(layout["lines"])]})))
    return states.of(RootFrame(**FRAME, **(root | {"leaves": content})))


def whole(state):
    return root_fields(state)[1]["root"]


def test_averages_and_what_they_count_with_may_move():
    moved = trained(STATE | {"beside/1/module.w": "moved", "buffer/1/n_averaged": "one more"})
    assert trained(STATE) == moved


@pytest.mark.parametrize("key", ["0/0/0", "0/0/0/exp_avg", "buffer/0/mean"])
def test_nothing_else_may(key):
    assert trained(STATE).trained != trained(STATE | {key: "edited"}).trained


@pytest.mark.parametrize("more", [{"buffer/2/count": "0"}, {"beside/2/w": "x"}, {"buffer/0/mean": "moved"}])
def test_of_what_optimizers_hold_nothing_depends_on_other_models(more):
    assert trained(STATE).optimized == trained(STATE | more).optimized
    edited = trained(STATE | more | {"0/0/0/exp_avg": "edited"})
    assert trained(STATE).optimized != edited.optimized


def test_parts_of_a_layout_are_put_together():
    layout, root = root_fields(STATE)
    states = TrainedStates()
    for part, lines in enumerate((layout["lines"][:2], layout["lines"][2:])):
        fields = layout | {"part": part, "parts": 2, "lines": [tuple(each) for each in lines]}
        states.lay(LayoutFrame(**FRAME, **fields))
    assert states.of(RootFrame(**FRAME, **root)) == trained(STATE)


@pytest.mark.parametrize(
    "lies",
    [
        {"lines": lambda lines: [["beside/9/w", *lines[0][1:]], *lines[1:]]},
        {"lines": lambda lines: lines[:-1]},
        {"leaves": lambda content: content[32:64] + content[32:]},
        {"leaves": lambda content: content[:-1]},
    ],
)
def test_digests_that_the_root_does_not_follow_from_count_for_nothing(lies):
    edited = STATE | {"0/0/0": "edited"}
    assert trained(edited, **lies) == (whole(edited), whole(edited))


def test_a_root_whose_layout_was_never_said_is_taken_as_it_is():
    _, root = root_fields(STATE)
    assert TrainedStates().of(RootFrame(**FRAME, **root)) == (root["root"], root["root"])
