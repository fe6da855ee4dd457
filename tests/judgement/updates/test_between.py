"""State between two updates, from samples alone: laws that hold for any tensors."""

from __future__ import annotations

import base64
import struct

from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.updates.between import changed_between, kept_until_the_next
from saksi.judgement.updates.samples import AHEAD, layout_of
from saksi.words.frames import SampledFrame, SampledTensor, SampleFrame

COMMON = {"seq": 0, "prev": "0" * 64, "wall_ns": 0, "mono_ns": 0, "lost": 0, "layout": "ab" * 16, "optimizer": 0}
numbers = st.floats(2.0**-10, 1024.0, width=32)


def packed(values, form="f"):
    return base64.b64encode(struct.pack(f"<{len(values)}{form}", *values)).decode()


def pair_of(states):
    """The samples of two updates between which nothing was changed, of tensors with these elements of one state."""
    lines = [SampledTensor(group=0, index=at, alias=None, size=900, count=len(row)) for at, row in enumerate(states)]
    layout = layout_of(
        SampledFrame(**COMMON, rule="x", dtype="torch.float32", part=0, parts=1, tensors=lines, left_out={})
    )
    ahead = {"exp_avg": packed([one for row in states for one in row[:AHEAD]])}
    counters = {"step": packed([5.0] * len(states), "d")}
    ended = SampleFrame(**COMMON, update=4, idle=[], before={}, after=counters, ahead=ahead)
    begins = counters | {"exp_avg": packed([one for row in states for one in row])}
    return layout, ended, SampleFrame(**COMMON, update=5, idle=[], before=begins, after={})


tensors = st.lists(st.lists(numbers, min_size=1, max_size=12), min_size=1, max_size=6)


@given(tensors)
def test_what_was_not_changed_is_never_told(states):
    layout, ended, begins = pair_of(states)
    assert list(changed_between(layout, kept_until_the_next(ended), begins)) == []


@given(tensors, st.data(), st.sampled_from([0.5, 1.5, 2.0, -1.0]))
def test_whichever_tensor_is_scaled_it_alone_is_told_with_the_factor(states, data, factor):
    place = data.draw(st.integers(0, len(states) - 1))
    layout, ended, _ = pair_of(states)
    _, _, begins = pair_of([[one * factor for one in row] if at == place else row for at, row in enumerate(states)])
    (found,) = changed_between(layout, kept_until_the_next(ended), begins)
    assert (found.tensor, found.state) == (f"0/{place}", "exp_avg")
    assert found.times is not None
    assert abs(found.times - factor) < 1e-5


@given(tensors, st.data())
def test_one_of_the_elements_that_are_read_ahead_is_enough(states, data):
    place = data.draw(st.integers(0, len(states) - 1))
    at = data.draw(st.integers(0, min(AHEAD, len(states[place])) - 1))
    layout, ended, _ = pair_of(states)
    other = [list(row) for row in states]
    other[place][at] = -other[place][at]
    assert [each.tensor for each in changed_between(layout, ended, pair_of(other)[2])] == [f"0/{place}"]
