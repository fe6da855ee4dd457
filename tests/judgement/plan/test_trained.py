"""Which parameters have a gradient against those that are planned to."""

from __future__ import annotations

import msgspec
import pytest

from judgement.plan.test_held import update
from saksi.judgement.plan.trained import Names, Trained
from saksi.words.frames import SampledFrame, SampleFrame

NAMES = ["body.0.weight", "body.0.bias", "body.1.weight", "head.weight"]
FRAME = {"seq": 0, "prev": "0" * 64, "wall_ns": 0, "mono_ns": 0, "lost": 0}


def take(trained, step, names, *, left_out=None, idle=(), tensors=4, sampled=True, skipped=False):
    """One update whose samples list these names; what is told of it."""
    layout = f"{hash((tuple(names), bool(left_out))) % 16**32:032x}"
    if sampled:
        said = {
            "layout": layout, "optimizer": 0, "rule": "torch.optim.sgd.SGD", "dtype": "torch.float32", "part": 0,
            "parts": 1, "tensors": [[0, at, name, 9, 4] for at, name in enumerate(names)], "left_out": left_out or {},
        }  # fmt: skip
        trained.sampled(msgspec.convert(FRAME | said | {"kind": "sampled"}, SampledFrame), 1 << 10)
        sample = {"layout": layout, "optimizer": 0, "update": step, "idle": list(idle), "before": {}, "after": {}}
        trained.sample(msgspec.convert(FRAME | sample | {"kind": "sample"}, SampleFrame))
    return list(trained.take(update(step, tensors=[tensors] if tensors else [], skipped=skipped)))


def test_all_that_have_a_gradient_at_each_update_are_nothing_to_speak_of():
    trained = Trained(Names(["*"]))
    assert [take(trained, step, NAMES) for step in range(4)] == [[]] * 4
    assert (trained.is_seen, trained.lacks, trained.unfitted()) == (True, False, [])


def test_a_tensor_without_a_gradient_is_named_with_its_first_update_until_it_has_one_again():
    trained = Trained(Names(["*"]))
    take(trained, 0, NAMES)
    (lost,) = take(trained, 1, NAMES[1:])
    assert (lost.subject, lost.since, lost.left) == ("body.0.weight", 1, False)
    assert lost.message == "At update 1 body.0.weight has no gradient, and is to be trained."
    assert take(trained, 2, NAMES[1:]) == [lost]
    assert take(trained, 3, NAMES) == []
    assert take(trained, 4, NAMES, idle=[0])[0].since == 4


def test_tensors_that_left_their_group_are_said_to_have_left_it():
    trained = Trained(Names(["*"]))
    take(trained, 0, NAMES)
    assert take(trained, 1, [], sampled=False, tensors=2) == []
    (lost,) = take(trained, 2, NAMES[2:], tensors=2)
    assert (lost.subject, lost.left) == ("body.0.weight and 1 more", True)
    assert lost.message == (
        "Since update 2 body.0.weight, body.0.bias are in no group of the optimizer any longer, and are to be trained."
    )


@pytest.mark.parametrize("patterns", [["head.*"], ["head.weight"], ["h*", "nothing"]])
def test_what_no_pattern_names_may_lose_its_gradient(patterns):
    trained = Trained(Names(patterns))
    take(trained, 0, NAMES)
    assert take(trained, 1, NAMES[3:]) == []
    assert [each.names for each in take(trained, 2, NAMES[:3])] == [("head.weight",)]
    assert trained.unfitted() == [each for each in patterns if each == "nothing"]


def test_where_samples_leave_tensors_out_or_there_are_none_nothing_is_held_against_an_update():
    trained = Trained(Names(["*"]))
    take(trained, 0, NAMES)
    assert take(trained, 1, NAMES[1:], left_out={"tensors beyond the first 4096": 1}) == []
    assert trained.lacks
    assert take(trained, 2, [], sampled=False) == []
    assert take(trained, 3, NAMES[1:], skipped=True) == []
    assert len(take(trained, 4, NAMES[1:])) == 1
