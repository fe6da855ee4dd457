"""What a small training run says about itself, frame by frame, compared with what the script itself worked out."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from recorder.listener import Listener, environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = r"""
import base64, hashlib, io, json, os, random, sys
import numpy, torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

WORKERS = int(os.environ.get("LOADER_WORKERS", "0"))

class Spy(torch.utils.data.RandomSampler):
    order = []
    def __iter__(self):
        for index in super().__iter__():
            self.order.append(index)
            yield index

def raw(t):
    return t.detach().contiguous().numpy().tobytes()

def independent_root():
    lines, leaves = [], []
    for i, (name, p) in enumerate(model.named_parameters()):
        lines.append(["0/0/%d" % i, name, str(p.dtype), list(p.shape)]); leaves.append(raw(p))
        for k, v in sorted(optimizer.state_dict()["state"].get(i, {}).items()):
            lines.append(["0/0/%d/%s" % (i, k), None, str(v.dtype), list(v.shape)]); leaves.append(raw(v))
    for name, b in model.named_buffers():
        lines.append(["buffer/0/" + name, name, str(b.dtype), list(b.shape)]); leaves.append(raw(b))
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    h = hashlib.sha256(b"saksi.state/v1\n" + hashlib.sha256(text.encode()).digest())
    for leaf in leaves:
        h.update(hashlib.sha256(leaf).digest())
    return h.hexdigest()

def sums(tensors, key=None):
    h = hashlib.sha256()
    k = None if key is None else numpy.frombuffer(hashlib.shake_256(key).digest(4096 * 8), dtype="<i8")
    for t in tensors:
        b = raw(t)
        words, tail = numpy.frombuffer(b[: len(b) // 8 * 8], dtype="<i8"), b[len(b) // 8 * 8 :]
        for start in range(0, len(words), 4096):
            chunk = words[start : start + 4096]
            with numpy.errstate(over="ignore"):
                h.update((chunk if k is None else chunk * k[: len(chunk)]).sum(dtype="i8").tobytes())
        if tail:
            h.update(sum(tail).to_bytes(8, "little"))
    return h.hexdigest()[:32]

torch.manual_seed(11); random.seed(12); numpy.random.seed(13)
model = torch.nn.Sequential(
    torch.nn.Linear(9, 37), torch.nn.BatchNorm1d(37), torch.nn.Dropout(0.1), torch.nn.Linear(37, 301), torch.nn.Linear(301, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-3), foreach=False)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
dataset = TensorDataset(torch.arange(9 * 48, dtype=torch.float32).view(48, 9) / 100)
sampler = Spy(dataset)
loader = DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=WORKERS, persistent_workers=WORKERS > 0)
said = {"loss": [], "norm": [], "lr": [], "root": {}, "start": [], "end": [], "rng": [], "batches": []}
step = 0
for epoch in range(2):
    for (x,) in loader:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        said["loss"].append(loss.item()); said["norm"].append(norm.item())
        said["lr"].append(float(optimizer.param_groups[0]["lr"]))
        said["batches"].append(hashlib.sha256(b'["/0","torch.float32",[4,9]]\n' + raw(x)).hexdigest())
        said["start"].append(sums(model.parameters()))
        if step == 0:
            said["root"]["-1"] = independent_root()  # the first forward has moved the buffers already
        optimizer.step()
        said["end"].append(sums(model.parameters()))
        said["root"][str(step)] = independent_root()
        version, words, gauss = random.getstate()
        kind, key, pos, has, cached = numpy.random.get_state()
        said["rng"].append({
            "python": hashlib.sha256(numpy.array(words, dtype="<u4").tobytes() + repr((version, gauss)).encode()).hexdigest(),
            "numpy": hashlib.sha256(key.astype("<u4").tobytes() + repr((int(pos), int(has), float(cached))).encode()).hexdigest(),
            "torch": hashlib.sha256(raw(torch.get_rng_state())).hexdigest()})
        random.random(); numpy.random.random()
        schedule.step()
        if step == 14:
            with torch.no_grad():
                model[3].weight[0, 0] += 1
        step += 1
        if epoch == 0 and step == 7 and WORKERS:
            break  # prefetched batches of this epoch are thrown away
said["order"] = sampler.order
key = os.environ.get("KEYED")
from saksi_recorder import session
parameters = list(model.parameters())
said["keyed"] = [sums(parameters[i::8], session.key) for i in range(8)]
said["moments"] = [sums([v for p in parameters for k, v in sorted(optimizer.state[p].items())][i::8]) for i in range(8)]
counters = [v for p in parameters for k, v in sorted(optimizer.state[p].items()) if v.numel() == 1]
said["counters"] = [len(counters), hashlib.sha256(b"".join(raw(v) for v in counters)).hexdigest()[:32]]
folder = os.environ["FOLDER"]
torch.save(model.state_dict(), folder + "/model.pt")
stream = io.BytesIO(); torch.save(model.state_dict(), stream)
said["stream"] = hashlib.sha256(stream.getvalue()).hexdigest()
torch.load(folder + "/model.pt")
said["exit"] = independent_root()
print(json.dumps(said))
"""


def recorded(agent, tmp_path, **more):
    done = run(SCRIPT, environment(tmp_path / "s", FOLDER=str(tmp_path), **more))
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault"), kinds(frames, "Fault")
    return frames, json.loads(done.stdout)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standard")
    with Listener(folder / "s") as agent:
        yield recorded(agent, folder)


def test_every_frame_decodes_and_nothing_is_lost(standard):
    frames, _ = standard
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert frames[-1].lost == 0
    assert type(frames[0]).__name__ == "HelloFrame"
    assert type(frames[-1]).__name__ == "DetachFrame"
    assert frames[-1].frames == len(frames)
    assert frames[-1].updates == [24]
    assert frames[-1].exception is None
    assert frames[-1].self_ns >= sum(update.self_ns for update in kinds(frames, "Update"))
    seen = {type(frame).__name__ for frame in frames}
    assert seen == {
        f"{name}Frame"
        for name in [
            "Hello",
            "Optimizer",
            "Module",
            "Seeded",
            "Epoch",
            "Exhausted",
            "Update",
            "Sampled",
            "Sample",
            "Layout",
            "Root",
            "Ckpt",
            "Inventory",
            "Live",
            "Environment",
            "Detach",
        ]
    }


def test_updates_say_what_the_script_saw(standard):
    frames, said = standard
    updates = kinds(frames, "Update")
    assert [update.update for update in updates] == list(range(24))
    assert [update.loss for update in updates] == said["loss"]
    assert [update.losses for update in updates] == [1] * 24
    assert [update.gradient_norm.value for update in updates] == said["norm"]
    assert all(u.gradient_norm.coefficient == min(1, 0.5 / (u.gradient_norm.value + 1e-6)) for u in updates)
    assert [update.groups[0]["lr"] for update in updates] == said["lr"]
    assert updates[0].groups[0]["betas"] == [0.9, 0.999]
    assert "params" not in updates[0].groups[0]
    of_everybody = [{name: update.rng[name] for name in ("python", "numpy", "torch")} for update in updates]
    assert of_everybody == said["rng"]
    assert all(u.phase_ns.data > 0 and u.phase_ns.compute > 0 and u.phase_ns.optimizer > 0 for u in updates)
    assert all(not update.skipped for update in updates)


def test_batches_say_ids_in_the_samplers_order(standard):
    frames, said = standard
    batches = [batch for update in kinds(frames, "Update") for batch in update.batches]
    assert [i for batch in batches for i in batch.ids] == said["order"]
    assert [batch.digest for batch in batches] == ["sha256:" + digest for digest in said["batches"]]
    assert [(batch.loader, batch.ordinal, batch.items) for batch in batches] == [(0, i, 4) for i in range(24)]
    assert [(batch.epoch, batch.place) for batch in batches] == [divmod(i, 12) for i in range(24)]
    assert [batch.before for batch in batches] == [4 * i for i in range(12)] * 2


def test_ids_survive_workers_prefetching_and_an_epoch_cut_short(agent, tmp_path):
    frames, said = recorded(agent, tmp_path, LOADER_WORKERS="2")
    batches = [batch for update in kinds(frames, "Update") for batch in update.batches]
    assert len(batches) == 19
    assert [batch.digest for batch in batches] == ["sha256:" + digest for digest in said["batches"]]
    first, second = [i for b in batches[:7] for i in b.ids], [i for b in batches[7:] for i in b.ids]
    assert first == said["order"][:28]
    assert second == said["order"][-48:]
    assert [(b.epoch, b.place) for b in batches] == [(0, i) for i in range(7)] + [(1, i) for i in range(12)]
    assert [b.before for b in batches] == [4 * i for i in (*range(7), *range(12))]
    assert [frame.epoch for frame in kinds(frames, "Epoch")] == [0, 1]
    assert [(frame.epoch, frame.batches) for frame in kinds(frames, "Exhausted")] == [(1, 12)]
    assert len(agent.connections) == 1


def test_parameter_sums_equal_an_independent_computation_and_an_edit_between_steps_shows(standard):
    frames, said = standard
    sums = [update.fingerprints[0] for update in kinds(frames, "Update")]
    assert {(one.name, one.over, one.share, one.of) for one in sums} == {("sum64-4096", "parameters", 0, 1)}
    assert [one.start for one in sums] == said["start"]
    assert [one.end for one in sums] == said["end"]
    broken = [i for i in range(1, 24) if sums[i].start != sums[i - 1].end]
    assert broken == [15]


def test_rotating_shares_join_one_update_to_the_next(standard):
    frames, said = standard
    updates = kinds(frames, "Update")
    for name, over, last in (("mult64-4096", "parameters", "keyed"), ("sum64-4096", "moments", "moments")):
        ends, broken, compared = {}, [], 0
        for update in updates:
            mine = [one for one in update.fingerprints if (one.name, one.over, one.of) == (name, over, 8)]
            for one in mine:
                if one.start is not None and (one.share in ends):
                    compared += 1
                    if ends[one.share] != one.start:
                        broken.append(update.update)
            ends = {one.share: one.end for one in mine if one.end is not None}
        assert compared >= 23
        assert set(broken) <= {15}
        assert list(ends.items()) == [(0, said[last][0])]


def test_all_counters_are_in_a_digest_at_both_ends_of_each_update(standard):
    frames, said = standard
    updates = kinds(frames, "Update")
    mine = [one for update in updates for one in update.fingerprints if one.over == "counters"]
    assert {(one.name, one.share, one.of) for one in mine} == {("sha256-128", 0, 1)}
    assert len(mine) == len(updates)
    assert mine[0].start is None  # the first update makes them
    assert [one.start for one in mine[1:]] == [one.end for one in mine[:-1]]
    assert len({one.end for one in mine}) == len(updates)
    assert said["counters"] == [10, mine[-1].end]  # the moments of a bias of one element are such, too


def test_roots_equal_an_independent_computation(standard):
    frames, said = standard
    roots = kinds(frames, "Root")
    assert [(root.at, root.step) for root in roots] == [
        ("attach", -1),
        ("step", 9),
        ("step", 19),
        ("ckpt", 23),
        ("exit", 23),
    ]
    for root in roots[:3]:
        assert root.root == said["root"][str(root.step)]
    assert roots[-1].root == roots[-2].root == said["exit"]


def test_a_layout_is_said_before_the_root_that_uses_it(standard):
    frames, _ = standard
    known = {}
    for frame in frames:
        if type(frame).__name__ == "LayoutFrame":
            known.setdefault(frame.layout, []).extend(frame.lines)
        if type(frame).__name__ == "RootFrame":
            lines = known[frame.layout]
            assert len(lines) == frame.tensors
            text = "".join(json.dumps(list(line), separators=(",", ":")) + "\n" for line in lines)
            assert hashlib.sha256(text.encode()).hexdigest() == frame.layout
    assert len(known) == 2


def test_full_takes_a_root_at_every_step(agent, tmp_path):
    frames, said = recorded(agent, tmp_path, SAKSI_LEVEL="full")
    steps = {root.step: root.root for root in kinds(frames, "Root") if root.at == "step"}
    attach = {root.step: root.root for root in kinds(frames, "Root") if root.at == "attach"}
    assert {str(step): root for step, root in (steps | attach).items()} == said["root"]


LET_GO = (
    LOADED
    + """
import hashlib, json, torch
def main(steps):
    model = torch.nn.Linear(3, 1)
    model.register_buffer("count", torch.arange(3.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    tensors = [*model.parameters(), model.count]
    print(json.dumps([hashlib.sha256(one.detach().numpy().tobytes()).hexdigest() for one in tensors]))
main({steps})
"""
)


@pytest.mark.parametrize(
    ("steps", "roots"),
    [
        (3, [("attach", -1), ("released", 2)]),
        (10, [("attach", -1), ("step", 9)]),  # the last Step has its root already
        (13, [("attach", -1), ("step", 9), ("released", 12)]),
    ],
)
def test_a_model_that_is_let_go_leaves_a_root_of_its_last_step(agent, tmp_path, steps, roots):
    done = run(LET_GO.format(steps=steps), environment(tmp_path / "s"))
    agent.drain(1)
    found = kinds(agent.frames(0), "Root")
    assert [(root.at, root.step) for root in found] == roots
    assert kinds(agent.frames(0), "Uncovered") == []
    # What the script saw as it returned: the weight, the bias and the buffer, byte for byte.
    leaves = base64.b64decode(found[-1].leaves)
    assert [leaves[at : at + 32].hex() for at in range(0, len(leaves), 32)] == json.loads(done.stdout)


def test_a_model_that_could_not_be_read_as_it_went_is_said(agent, tmp_path):
    # An end of the optimizer's own stands in the way of ours, and without buffers the model's end is no occasion.
    own = "class Own(torch.optim.SGD):\n    def __del__(self): pass\n"
    script = LET_GO.format(steps=3).replace("torch.optim.SGD(", "Own(").replace("def main", own + "def main")
    script = script.replace("model.register_buffer", "setattr")
    run(script.replace('setattr("count"', 'setattr(model, "count"'), environment(tmp_path / "s"))
    agent.drain(1)
    (one,) = kinds(agent.frames(0), "Uncovered")
    assert one.what == "the state of the last steps"
    assert one.reason.endswith("the last root is of step -1")


GENERATORS = (
    LOADED
    + """
import hashlib, json, numpy, torch
from torch.utils.data import DataLoader, RandomSampler
own, of_sampler = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
made = numpy.random.default_rng(3)
for _ in range(40):
    numpy.random.default_rng(made).random()
    numpy.random.default_rng(4).random()  # for one draw: nobody holds it
first = DataLoader(range(4), shuffle=True, generator=own)
second = DataLoader(range(4), sampler=RandomSampler(range(4), generator=of_sampler))
list(first), list(second)
model = torch.nn.Linear(1, 1)
torch.optim.SGD(model.parameters(), lr=0.1).step()
print(json.dumps({
    "numpy.0": hashlib.sha256(json.dumps(made.bit_generator.state, sort_keys=True, separators=(",", ":")).encode()).hexdigest(),
    "loader.0": hashlib.sha256(own.get_state().numpy().tobytes()).hexdigest(),
    "loader.1.sampler": hashlib.sha256(of_sampler.get_state().numpy().tobytes()).hexdigest(),
}))
"""
)


def test_generators_of_the_scripts_own_are_followed_where_somebody_holds_them(agent, tmp_path):
    done = run(GENERATORS, environment(tmp_path / "s"))
    agent.drain(1)
    (update,) = kinds(agent.frames(0), "Update")
    own = {name: digest for name, digest in update.rng.items() if "." in name}
    assert own == json.loads(done.stdout)
    assert kinds(agent.frames(0), "Uncovered") == []


def test_a_segment_of_fixed_length(agent, tmp_path):
    frames, _ = recorded(agent, tmp_path, SAKSI_SEGMENT="7")
    assert [root.step for root in kinds(frames, "Root") if root.at == "step"] == [6, 13, 20]


def test_an_audit_gets_roots_behind_other_steps_too_and_takes_none_away(agent, tmp_path):
    frames, _ = recorded(agent, tmp_path, SAKSI_SEGMENT="7", SAKSI_ROOTS="2,6,x,,-1,²,11,999")
    assert [root.step for root in kinds(frames, "Root") if root.at == "step"] == [2, 6, 11, 13, 20]


def test_seeds_optimizer_module_and_environment(standard):
    frames, _ = standard
    assert [(s.generator, s.seed) for s in kinds(frames, "Seeded")] == [
        ("torch", "11"),
        ("python", "12"),
        ("numpy", "13"),
    ]
    assert all(s.caller.startswith("<string>:") for s in kinds(frames, "Seeded"))
    (optimizer,) = kinds(frames, "Optimizer")
    assert (optimizer.class_name, optimizer.tensors) == ("torch.optim.adamw.AdamW", 8)
    assert optimizer.file.endswith("torch/optim/adamw.py")
    (module,) = kinds(frames, "Module")
    assert (module.class_name, module.buffers) == ("torch.nn.modules.container.Sequential", 3)
    parts = kinds(frames, "Environment")
    assert [part.part for part in parts] == list(range(len(parts)))
    modules = dict(pair for part in parts for pair in part.modules)
    assert modules["torch"].endswith("torch/__init__.py")


def test_checkpoints_say_the_file_and_the_digest_of_a_stream(standard):
    frames, said = standard
    path, stream, loaded = kinds(frames, "Ckpt")
    assert (path.action, path.step, loaded.digest) == ("saved", 23, None)
    assert path.digest.startswith("sha256:")  # read back
    assert path.path.endswith("/model.pt")
    assert (path.device, path.inode, path.size, path.mtime_ns) == (
        loaded.device,
        loaded.inode,
        loaded.size,
        loaded.mtime_ns,
    )
    assert loaded.action == "loaded"
    assert stream.digest == "sha256:" + said["stream"]


def test_the_inventory_names_our_own_hooks_and_flags(standard):
    frames, _ = standard
    (inventory,) = kinds(frames, "Inventory")
    assert inventory.hooks["optimizer.step_pre"] == ["saksi_recorder.steps.before"]
    assert "threads=1" in inventory.hooks["flags"]
    assert {update.inventory for update in kinds(frames, "Update")} == {inventory.inventory}
