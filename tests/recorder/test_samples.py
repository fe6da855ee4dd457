"""Samples say what was there: compared with what the script itself read, at positions worked out anew."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
import time

import msgspec
import pytest

from recorder.forked import plain_cases, recorded_cases
from recorder.listener import Listener, environment, kinds, run
from saksi.judgement.updates.samples import AHEAD, around_each, layout_of, numbers
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = r"""
import json
import torch
torch.manual_seed(0); torch.set_num_threads(1)
case = CASE
def numbers(t): return (t.detach().abs() if t.is_complex() else t.detach()).double().reshape(-1).tolist()
model = torch.nn.Sequential(torch.nn.Linear(7, 30), torch.nn.Tanh(), torch.nn.Linear(30, 2))
if case == "half":
    model[2].to(torch.bfloat16)
if case == "complex":
    model[2] = torch.nn.Linear(30, 2, dtype=torch.complex64)
if case == "channels":
    model[0].weight.data = model[0].weight.data.t().contiguous().t()
kind = torch.optim.SGD if case == "sgd" else torch.optim.AdamW
options = {"momentum": 0.9} if case == "sgd" else {"fused": True} if case == "fused" else {}
optimizer = kind(model.parameters(), lr=0.01, **options)
if case == "hook":
    def halve(*_):
        for p in model.parameters(): p.grad.mul_(0.5)
    optimizer.register_step_pre_hook(halve)
if case == "frozen":
    model[0].weight.requires_grad_(False)
x = torch.randn(5, 7)
def loss():
    optimizer.zero_grad()
    h = model[1](model[0](x))
    out = model[2](h.to(model[2].weight.dtype)) if case != "idle" else h
    value = (out.abs() if out.is_complex() else out.float()).square().mean()
    value.backward()
    return value
for step in range(3):
    if case != "closure":
        loss()
    before = {name: numbers(p) for name, p in model.named_parameters()}
    kept = {name: {k: numbers(v) for k, v in optimizer.state.get(p, {}).items()} for name, p in model.named_parameters()}
    optimizer.step(loss) if case == "closure" else optimizer.step()
    print(json.dumps({
        "before": before, "kept": kept,
        "gradient": {name: None if p.grad is None else numbers(p.grad) for name, p in model.named_parameters()},
        "after": {name: numbers(p) for name, p in model.named_parameters()},
        "left": {name: {k: numbers(v) for k, v in optimizer.state.get(p, {}).items()} for name, p in model.named_parameters()},
    }))
"""  # noqa: E501 - quoted as it runs
CASES = ("plain", "sgd", "fused", "hook", "closure", "idle", "frozen", "half", "complex", "channels")


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Every case in a forked child, and one in a process that does not fork."""
    cases = recorded_cases(SCRIPT, CASES, tmp_path_factory.mktemp("cases"))
    return cases | recorded_cases(SCRIPT, ["alone"], tmp_path_factory.mktemp("alone"))


@pytest.fixture(params=[*CASES, "alone"])
def recorded(request, every):
    frames, output = every[request.param]
    return request.param, frames, [json.loads(line) for line in output.splitlines()]


def positions(key, layout, frame):
    """Of each tensor in turn, as `spec/frames.md` says."""
    total = sum(each.count for each in layout.tensors)
    seed = bytes.fromhex(key) + b"saksi.sample/v1" + struct.pack("<QQ", layout.optimizer, frame.update)
    stream = hashlib.shake_256(seed + bytes.fromhex(frame.layout)).digest(8 * total)
    words = [word & (2**63 - 1) for word in struct.unpack(f"<{total}Q", stream)]
    at, out = 0, []
    for each in layout.tensors:
        drawn = [word % each.size for word in words[at : at + each.count]]
        out.append(list(range(each.size)) if each.count == each.size else drawn)
        at += each.count
    return out


def test_samples_are_what_the_script_read_at_those_positions(recorded):
    case, frames, said = recorded
    assert not kinds(frames, "Fault")
    key = kinds(frames, "Hello")[0].fingerprint_key
    layouts = {each.layout: layout_of(each) for each in kinds(frames, "Sampled")}
    seen: dict[int, set[str]] = {}
    for frame in kinds(frames, "Sample"):
        layout, script = layouts[frame.layout], said[frame.update]
        where = dict(zip((each.alias for each in layout.tensors), positions(key, layout, frame), strict=True))
        for sampled in around_each(layout, frame):
            name, at, around = sampled.name, where[sampled.name], sampled.around
            seen.setdefault(frame.update, set()).add(name)

            def chosen(values, at=at):
                return tuple(values[place] for place in at)

            assert around.parameter == chosen(script["before"][name])
            assert around.parameter_after == chosen(script["after"][name])
            if script["gradient"][name] is not None:
                assert around.gradient == chosen(script["gradient"][name])
            for states, kept in ((around.before, script["kept"][name]), (around.after, script["left"][name])):
                assert states.keys() == kept.keys()
                for state, values in kept.items():
                    assert states[state] == (tuple(values) if state == "step" else chosen(values))
    everything = {"0.weight", "0.bias", "2.weight", "2.bias"}
    left = {"idle": {"2.weight", "2.bias"}, "complex": {"2.weight", "2.bias"}, "frozen": {"0.weight"}}.get(case, set())
    assert seen == dict.fromkeys(range(3), everything - left)


def test_state_is_read_ahead_at_the_places_where_the_next_update_samples_it(recorded):
    case, frames, said = recorded
    key = kinds(frames, "Hello")[0].fingerprint_key
    layouts = {each.layout: layout_of(each) for each in kinds(frames, "Sampled")}
    seen = set()
    for frame in kinds(frames, "Sample"):
        layout = layouts[frame.layout]
        where = positions(key, layout, msgspec.structs.replace(frame, update=frame.update + 1))
        for state, text in frame.ahead.items():
            expected = [
                said[frame.update]["left"][tensor.alias][state][at]
                for tensor, places in zip(layout.tensors, where, strict=True)
                for at in places[:AHEAD]
            ]
            assert list(numbers(layout, state, text, count=len(expected))) == expected
            seen.add((frame.update, state))
    states = {"momentum_buffer"} if case == "sgd" else {"exp_avg", "exp_avg_sq"}
    assert seen == {(update, state) for update in (1, 2) for state in states}  # the first one made it


def test_a_small_tensor_gives_all_of_it_and_a_large_one_some(recorded):
    _, frames, _ = recorded
    for frame in kinds(frames, "Sampled"):
        for each in frame.tensors:
            assert each.count == min(each.size, 32)


def test_what_gives_no_samples_is_counted_with_the_reason(recorded):
    case, frames, _ = recorded
    left = [frame.left_out for frame in kinds(frames, "Sampled") if frame.left_out]
    assert left == ([{"tensors of torch.complex64": 2}] * len(left) if case == "complex" else [])
    assert bool(left) == (case == "complex")


def test_samples_come_right_before_their_update(recorded):
    _, frames, _ = recorded
    names = [type(each).__name__ for each in frames if type(each).__name__ in {"SampleFrame", "UpdateFrame"}]
    assert names[-1] == "UpdateFrame"
    assert names.count("UpdateFrame") == 3
    assert all(names[at - 1] == "SampleFrame" for at, name in enumerate(names) if name == "UpdateFrame")


def test_an_optimizer_without_a_rule_gives_none_and_training_goes_on(tmp_path):
    script = "import torch\nm = torch.nn.Linear(2, 1)\no = torch.optim.Adamax(m.parameters())\n"
    script += "for _ in range(3):\n    m(torch.ones(1, 2)).sum().backward(); o.step()\n"
    with Listener(tmp_path / "s") as agent:
        run(script, environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert len(kinds(frames, "Update")) == 3
    assert kinds(frames, "Sample") == kinds(frames, "Sampled") == kinds(frames, "Fault") == []


def test_many_tensors_are_said_in_several_frames_that_fit(tmp_path):
    script = """
import torch
p = [torch.nn.Parameter(torch.randn(50)) for _ in range(1500)]
o = torch.optim.AdamW(p, lr=0.1, amsgrad=True)
for _ in range(2):
    for one in p: one.grad = torch.ones(50)
    o.step()
"""
    with Listener(tmp_path / "s") as agent:
        run(script, environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    layouts = {each.layout: each for each in kinds(frames, "Sampled")}
    samples = kinds(frames, "Sample")
    counted = [sum(len(layouts[each.layout].tensors) for each in samples if each.update == step) for step in (0, 1)]
    assert counted == [1500, 1500]
    assert all(len(base64.b64decode(each.before["parameter"])) <= 4000 for each in kinds(frames, "Sample"))
    assert frames[-1].lost == 0


def test_hyper_parameters_are_those_of_the_step_where_a_hook_behind_it_sets_the_next(tmp_path):
    script = """
import torch
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
optimizer.register_step_post_hook(lambda *_: schedule.step())
for _ in range(3):
    optimizer.zero_grad(); model(torch.ones(1, 3)).sum().backward(); optimizer.step()
"""
    with Listener(tmp_path / "s") as agent:
        run(script, environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert [update.groups[0]["lr"] for update in kinds(frames, "Update")] == [0.5, 0.25, 0.125]
    assert len(kinds(frames, "Sample")) == 3


FINISHED = r"""
import hashlib, json, sys
import torch
torch.manual_seed(0); torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
other = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1)
x = torch.randn(4, 5)
if CASE == "pre-hook":
    def halve(*_):
        for p in model.parameters(): p.grad.mul_(0.5)
    optimizer.register_step_pre_hook(halve)
if CASE == "in backward":
    each = {p: torch.optim.SGD([p], lr=0.1) for p in model.parameters()}
    def act(p):
        each[p].step(); each[p].zero_grad()
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(act)
def loss(again=True):
    if again:
        optimizer.zero_grad()
    value = model(x).square().mean()
    value.backward()
    return value
for step in range(4):
    if CASE == "closure":
        optimizer.step(loss)
        continue
    loss()
    if CASE == "accumulated":
        loss(again=False)
    if CASE == "clipped":
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    if CASE == "edited" and step == 2:
        model[0].weight.grad.neg_()
    if CASE == "by hand":
        for p in model.parameters(): p.grad = torch.ones_like(p)
    if CASE != "in backward":
        optimizer.step()
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""
SAME = [None, "", "", ""]
OTHER = [None, "other", "other", "other"]


FINISHING = {
    "plain": SAME,
    "accumulated": SAME,
    "closure": [""] * 4,
    "clipped": OTHER,
    "by hand": OTHER,
    "edited": [None, "", "other", ""],
    "pre-hook": OTHER,
    "in backward": [None] * 16,
    "alone": SAME,
}


@pytest.fixture(scope="module")
def finishing(tmp_path_factory):
    """As `every`, with what each case says where nothing records it."""
    forked = [case for case in FINISHING if case != "alone"]
    cases = recorded_cases(FINISHED, forked, tmp_path_factory.mktemp("cases"))
    alone = recorded_cases(FINISHED, ["alone"], tmp_path_factory.mktemp("alone"))
    return cases | alone, plain_cases(FINISHED, FINISHING)


@pytest.mark.parametrize("case", FINISHING)
def test_gradients_as_the_backward_left_them_stand_beside_those_that_were_read(finishing, case):
    cases, plain = finishing
    frames, output = cases[case]
    samples = kinds(frames, "Sample")
    assert ["other" if each.finished else each.finished for each in samples] == FINISHING[case]
    for each in (one for one in samples if one.finished is not None):  # of the first update nobody knows the thread
        if case == "clipped":
            assert len({round(r, 4) for r in ratios(each)}) == 1
        if case == "pre-hook":
            assert set(ratios(each)) == {0.5}
        if case == "edited" and each.update == 2:
            assert set(ratios(each)) == {1.0, -1.0}
    assert kinds(frames, "Fault") == []
    assert output == plain[case] != ""


def test_gradients_that_take_the_place_of_others_are_read_anew(tmp_path):
    """Those that are let go give their numbers to the next ones, which have been written to as often."""
    script = """
import torch
from saksi_recorder import finished
p = torch.nn.Parameter(torch.zeros(2))
optimizer = torch.optim.SGD([p], lr=0.1)
p.grad = torch.ones(2)
print(finished._is_as_before(optimizer), finished._is_as_before(optimizer))
before, found = id(p.grad), None
while found != before:
    p.grad = None
    p.grad = torch.ones(2)
    found = id(p.grad)
print(finished._is_as_before(optimizer), finished._is_as_before(optimizer))
"""
    with Listener(tmp_path / "s"):
        done = run(script, environment(tmp_path / "s"))
    assert done.stdout == "False True\nFalse True\n"


def ratios(sample):
    read, finished = (
        struct.unpack(f"<{len(raw) // 4}f", raw)
        for raw in (base64.b64decode(sample.before["gradient"]), base64.b64decode(sample.finished))
    )
    return [a / b for a, b in zip(read, finished, strict=True) if b]


WAITS = (
    LOADED
    + """
import os, time, torch
torch.manual_seed(0); torch.set_num_threads(1)
while not os.path.exists(os.environ["GO"]): time.sleep(0.01)
m = torch.nn.Sequential(torch.nn.Linear(70, 30), torch.nn.Tanh(), torch.nn.Linear(30, 2))
o = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(3):
    o.zero_grad(); m(torch.ones(4, 70)).sum().backward(); o.step()
"""
)
SAYS = b"saksi-samples/v1 "


def sampled_under(folder, packets, *, script=WAITS):
    """The frames of a process that the agent has sent these packets before it trained."""
    folder.mkdir()
    with Listener(folder / "s") as agent:

        def send():
            while not agent.sockets:
                time.sleep(0.01)
            for each in packets:
                agent.sockets[0].send(each)
            (folder / "go").touch()

        sender = threading.Thread(target=send)
        sender.start()
        run(script, environment(folder / "s", GO=str(folder / "go")))
        sender.join(10)
        agent.drain()
        return agent.frames()


def test_processes_that_were_sent_one_key_draw_the_same_elements(tmp_path):
    key = bytes(range(32))
    both = [sampled_under(tmp_path / name, [SAYS + key.hex().encode()]) for name in ("one", "other")]
    assert both[0][0].fingerprint_key != both[1][0].fingerprint_key
    for frames in both:
        assert {each.key for each in kinds(frames, "Sampled")} == {key.hex()}
        assert not kinds(frames, "Fault")
    samples = [[(each.layout, each.before["gradient"]) for each in kinds(frames, "Sample")] for frames in both]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 3
    layouts = {each.layout: layout_of(each) for each in kinds(both[0], "Sampled")}
    sizes = [each.count < each.size for layout in layouts.values() for each in layout.tensors]
    assert any(sizes)  # a tensor of which not all is taken


@pytest.mark.parametrize("packet", [None, SAYS + b"7" * 63, SAYS + b"X" * 64, b"saksi-challenge/v1 " + b"7" * 32])
def test_without_a_key_of_that_form_a_process_draws_with_its_own(tmp_path, packet):
    frames = sampled_under(tmp_path / "one", [] if packet is None else [packet])
    assert {each.key for each in kinds(frames, "Sampled")} == {None}
    assert not kinds(frames, "Fault")
    key = kinds(frames, "Hello")[0].fingerprint_key
    (layout,) = {each.layout: layout_of(each) for each in kinds(frames, "Sampled")}.values()
    first, *_ = kinds(frames, "Sample")
    for sampled, places in zip(around_each(layout, first), positions(key, layout, first), strict=True):
        assert len(sampled.around.gradient) == len(places)


def test_a_key_that_comes_after_the_first_update_is_not_used(tmp_path):
    late = WAITS.replace('while not os.path.exists(os.environ["GO"]): time.sleep(0.01)\n', "")
    late = late.replace(
        "    o.zero_grad()", '    while _ and not os.path.exists(os.environ["GO"]): time.sleep(0.01)\n    o.zero_grad()'
    )
    folder = tmp_path / "one"
    folder.mkdir()
    with Listener(folder / "s") as agent:

        def send():
            while not (agent.connections and any(b'"kind":"update"' in each for each in agent.connections[0])):
                time.sleep(0.01)
            agent.sockets[0].send(SAYS + b"7" * 64)
            (folder / "go").touch()

        sender = threading.Thread(target=send)
        sender.start()
        run(late, environment(folder / "s", GO=str(folder / "go")))
        sender.join(10)
        agent.drain()
        frames = agent.frames()
    assert {each.key for each in kinds(frames, "Sampled")} == {None}
    assert len(kinds(frames, "Sample")) == 3


def gradients_of(agent_frames, update):
    """The key that one Update's samples were drawn with, and the places of its elements by what the gradient holds."""
    layouts, key = {}, None
    for frame in agent_frames:
        if type(frame).__name__ == "SampledFrame":
            key, layouts[frame.layout] = frame.key, layout_of(frame)
        elif type(frame).__name__ == "SampleFrame" and frame.update == update:
            return key, [one.around.gradient for one in around_each(layouts[frame.layout], frame)]
    raise AssertionError(update)


COUNTING = r"""
import torch
torch.set_num_threads(1)
weight = torch.nn.Parameter(torch.zeros(1000))
optimizer = torch.optim.SGD([weight], lr=0.0, momentum=0.9)
for step in range(5):
    weight.grad = torch.arange(1000.0)
    optimizer.step()
"""


def counted(tmp_path, number, said):
    place = tmp_path / str(number)
    with Listener(place) as listener:
        run(COUNTING, environment(place, SAKSI_SAMPLES=said))
        listener.drain(1)
        return listener.frames(0)


def test_a_replay_draws_what_the_run_drew_where_an_audit_says_key_and_number(tmp_path):
    key = "ab" * 32
    whole, later = counted(tmp_path, 0, f"{key}:0"), counted(tmp_path, 1, f"{key}:3")
    assert gradients_of(whole, 4) == gradients_of(later, 1)
    assert gradients_of(whole, 1) != gradients_of(later, 1)
    assert gradients_of(later, 1)[0] == key


def test_what_is_no_key_with_a_number_leaves_the_process_its_own(tmp_path):
    wrong = ["ab" * 32, "ab" * 32 + ":", "ab" * 32 + ":x", "ab" * 31 + ":3", "zz" * 32 + ":3", "ab" * 32 + ":²"]
    assert gradients_of(counted(tmp_path, 0, wrong[0]), 1)[0] is None
    script = f"""
import os, torch
from saksi_recorder import drawing
own = drawing.key()
for said in {wrong!r}:
    os.environ["SAKSI_SAMPLES"] = said
    drawing.install()
    assert (drawing.key(), drawing.number(7)) == (own, 7), said
os.environ["SAKSI_SAMPLES"] = {"ab" * 32 + ":3"!r}
drawing.install()
print(drawing.key().hex(), drawing.number(7))
"""
    with Listener(tmp_path / "1"):
        assert run(script, environment(tmp_path / "1")).stdout.split() == ["ab" * 32, "10"]
