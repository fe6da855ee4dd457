"""What cannot be got to without training ends the process with one line, and never goes on from a wrong state."""

from __future__ import annotations

import json
import random
import shutil

import pytest

from recorder.hollowed import ask, hollow, plain, refused
from recorder.listener import environment, run

pytestmark = pytest.mark.training

PLAIN = r"""
one, other = nn.Linear(4, WIDTH), nn.Linear(4, 2)
first = torch.optim.SGD(one.parameters(), lr=0.1)
second = torch.optim.SGD(other.parameters(), lr=0.1)
KEPT = None
for step in range(STEPS):
    for model, optimizer in ORDER:
        loss = model(torch.randn(3, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(CLOSURE)
    for _ in range(LOADED):
        next(iter(torch.utils.data.DataLoader([1, 2])))
    behind(step, loss, first)
"""
DEFAULTS = {
    "WIDTH": "2", "ORDER": "[(other, second), (one, first)]", "STEPS": "6", "CLOSURE": "", "LOADED": "1",
    "KEPT = None": "",
}  # fmt: skip
OTHERS = {
    "closure": ({"CLOSURE": "lambda: 1.0"}, "a closure is handed to a step"),
    "order": (
        {"ORDER": "[(one, first), (other, second)]"},
        "update 0 was made by optimizer 1 in the run, and by optimizer 0 here",
    ),
    "shape": ({"WIDTH": "3"}, "0/0/0 is torch.float32 [2, 4] in the capsule, and torch.float32 [3, 4] here"),
    "iterated more": ({"LOADED": "2"}, "what torch's generator was as a loader was iterated is not in the record"),
    "iterated less": ({"LOADED": "0"}, "loaders were iterated 0 times by then, and 2 times in the run"),
    "copy": (
        {"KEPT = None": "import copy; kept = copy.deepcopy(one)"},
        "the program keeps a copy of a module, which no capsule has",
    ),
    "generator": (
        {"KEPT = None": "import numpy; own = numpy.random.default_rng(1)"},
        "the capsule lacks the generator numpy.0",
    ),
    "buffer": (
        {"KEPT = None": "kept = nn.BatchNorm1d(2, affine=False)"},
        "the capsule lacks buffer/2/num_batches_tracked",
    ),
    "scaler": (
        {"KEPT = None": "kept = torch.amp.GradScaler('cpu')"},
        "the run had made 0 gradient scalers by then, and this process 1",
    ),
}
JUDGED = r"""
made, judge = nn.Linear(4, 3), nn.Linear(3, 1)
of_judge = torch.optim.Adam(judge.parameters())
of_made = torch.optim.Adam(made.parameters())
for step in range(6):
    fake = made(torch.randn(6, 4))
    of_judge.zero_grad()
    F.softplus(judge(fake.detach())).mean().backward()
    of_judge.step()
    of_made.zero_grad()
    loss = F.softplus(-judge(fake)).mean()
    loss.backward()
    of_made.step()
    behind(step, loss, of_judge)
"""
TOGETHER = r"""
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
first = torch.optim.SGD(model[0].parameters(), lr=0.1, momentum=0.9)
second = torch.optim.Adam(model[2].parameters())
for step in range(6):
    loss = model(torch.randn(3, 4)).square().mean()
    loss.backward()
    first.step()
    second.step()
    first.zero_grad(), second.zero_grad()
    behind(step, loss, first, second)
"""
IN_A_CHILD = r"""
if os.environ.get("SAKSI_HOLLOW") and os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def script(**others):
    found = PLAIN
    for name, value in {**DEFAULTS, **others}.items():
        found = found.replace(name, value)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    _, updates = plain(folder, script())
    return folder, updates


@pytest.mark.parametrize("name", OTHERS)
def test_another_script(made, tmp_path, name):
    others, reason = OTHERS[name]
    assert refused(tmp_path, script(**others), ask(*made, 2)) == reason


READ_ALL = r"""
import json, os, random, sys, torch
from saksi_recorder import capsule_files, hollow_record
from saksi_recorder.cannot import CannotBeHollowError
def reason(folder):
    try:
        record = hollow_record.Record(folder, 0)
        capsule = capsule_files.Capsule(os.path.join(folder, "0.safetensors"))
        for key in capsule.entries:
            capsule.tensor(key)
    except CannotBeHollowError as error:
        return str(error)
    return (capsule.step, record.step)
folder, seed = os.environ["FOLDER"], os.environ["SEED"]
print(json.dumps({name: reason(os.path.join(folder, name)) for name in os.listdir(folder)}))
draw = random.Random(int(seed))
path = os.path.join(folder, "whole", draw.choice(["0.json", "0.safetensors"]))
whole = open(path, "rb").read()
for _ in range(400):
    found = bytearray(whole)
    for _ in range(draw.randint(1, 3)):
        at, size = draw.randrange(len(found)), draw.choice([1, 1, 4, 100])
        found[at : at + size] = draw.choice([b"", draw.randbytes(size), found[at : at + size] * 2])
    open(path, "wb").write(found)
    reason(os.path.join(folder, "whole"))
"""


def test_a_capsule_or_a_record_that_is_none(made, tmp_path):
    whole = ask(*made, 2)
    raw, order = (whole / "0.safetensors").read_bytes(), (whole / "0.json").read_text()
    length = int.from_bytes(raw[:8], "little")
    at = json.loads(order)
    given = {
        "whole": (raw, order),
        "cut off": (raw[:-1], order),
        "cut off in its header": (raw[: length // 2], order),
        "empty": (b"", order),
        "longer": (raw + b"\0", order),
        "another format": (raw.replace(b"saksi.capsule/1", b"saksi.capsule/9", 1), order),
        "another type": (raw.replace(b'"F32"', b'"F31"', 1), order),
        "another version": (raw, json.dumps({**at, "version": 2})),
        "an update that is none": (raw, json.dumps({**at, "made": [[0, 1.0, None, 0, ",,"], *at["made"][1:]]})),
        "a number that is none": (raw, json.dumps({**at, "made": [[0, "much", None, False, ",,"], *at["made"][1:]]})),
        "no order": (raw, ""),
    }
    for name, (capsule, order_of) in given.items():
        asked = tmp_path / "read" / name
        asked.mkdir(parents=True)
        (asked / "0.safetensors").write_bytes(capsule)
        (asked / "0.json").write_text(order_of)
    seed = random.randrange(1 << 32)
    variables = environment(tmp_path / "nobody", FOLDER=str(tmp_path / "read"), SEED=str(seed))
    done = run(READ_ALL, variables, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    reasons = json.loads(done.stdout)
    assert reasons.pop("no order").startswith("the record of updates is not readable: ")
    assert reasons == {
        "whole": ["2", 2],
        "cut off": "the capsule is cut off, or goes on behind its tensors",
        "cut off in its header": "the capsule is cut off",
        "empty": "the capsule is cut off",
        "longer": "the capsule is cut off, or goes on behind its tensors",
        "another format": "the capsule is of another format",
        "another type": "the capsule has a tensor of a type that is not known here",
        "another version": "the record of updates is of another version",
        "an update that is none": "the record of updates has one that is none",
        "a number that is none": "the record of updates has a number that is none",
    }


def test_a_capsule_with_another_state_than_it_says_or_none_at_all(made, tmp_path):
    asked = ask(*made, 2)
    raw = (asked / "0.safetensors").read_bytes()
    (asked / "0.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert refused(tmp_path, script(), asked) == "the state that was put in is not that of the capsule"
    shutil.rmtree(asked)
    assert refused(tmp_path, script(), asked).startswith("FileNotFoundError: ")


UNBOUND = r"""
tampered = "SAKSI_HOLLOW" not in os.environ  # in the run, and not where the sealed program is replayed
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=100)
data = torch.utils.data.DataLoader(torch.randn(64, 4), batch_size=4, shuffle=True)
whole = torch.get_rng_state()
if tampered and "ORDER" == "other":
    torch.default_generator.set_state(torch.Generator().manual_seed(5).get_state())
rows = iter(data)
torch.set_rng_state(whole)
for step in range(6):
    x = next(rows) if step > 3 else torch.ones(4, 4)
    optimizer.zero_grad()
    loss = model(x).square().mean()
    scaler.scale(loss).backward()
    scaler.step(optimizer); scaler.update()
    if tampered and step == 1 and "SCALER" == "other":
        scaler.set_growth_interval(4)
    behind(step, loss, optimizer)
"""


@pytest.mark.parametrize(("what", "reason"), [
    ("SCALER", "gradient scaler 0 is not as it was in the run"),
    ("ORDER", "what torch's generator was as a loader was iterated is not in the record"),
])  # fmt: skip
def test_what_no_root_has_is_not_believed_of_a_capsule(tmp_path, what, reason):
    script = UNBOUND.replace(f'"{what}" == "other"', "True")
    _, updates = plain(tmp_path, script)
    assert refused(tmp_path, script, ask(tmp_path, updates, 2)) == reason


def test_generators_have_to_be_those_of_the_last_update(made, tmp_path):
    for name, others in (("another", {"torch": "0" * 64}), ("none", {})):
        asked = ask(*made, 2)
        order = json.loads((asked / "0.json").read_text())
        order["generators"] = {**order["generators"], **others} if others else {}
        (asked / "0.json").write_text(json.dumps(order))
        assert refused(tmp_path, script(), asked) == "the generators that were put in are not those of the record", name


def test_a_program_that_trains_in_a_child_of_its_own(made, tmp_path):
    reason = refused(tmp_path, IN_A_CHILD + script(), ask(*made, 2))
    assert reason == "it trains in a process that another one started"


def test_a_program_that_ends_before_is_told_of_and_ends_as_it_does(made, tmp_path):
    _, _, done = hollow(tmp_path, script(STEPS="2") + "\nsys.exit(3)", ask(*made, 2), check=False)
    assert done.returncode == 3
    assert done.stderr == "saksi: hollow: the program ended behind 4 of the 6 updates that the run had made\n"


@pytest.mark.parametrize("forward", [False, True])
def test_a_backward_behind_the_capsule_through_what_was_computed_before_it(tmp_path, forward):
    _, updates = plain(tmp_path, JUDGED)
    reason = refused(tmp_path, JUDGED, ask(tmp_path, updates, 3, forward=forward))
    assert reason == "a backward behind the capsule runs through what a model returned before it"


def test_an_update_behind_the_capsule_made_from_gradients_from_before_it(tmp_path):
    _, updates = plain(tmp_path, TOGETHER)
    reason = refused(tmp_path, TOGETHER, ask(tmp_path, updates, 3))
    assert reason == "an update behind the capsule is made from gradients from before it"
