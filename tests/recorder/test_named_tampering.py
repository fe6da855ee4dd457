"""The nine toys of the published measurement of operator transcripts: each is placed, and named where it can be.

Every toy acts in Step 2, and is written down beside the program without it.
"""

from __future__ import annotations

import pytest

from recorder.listener import Listener, environment, run
from saksi.judgement.replay.named import naming_of
from saksi.judgement.replay.transcript import parse_transcript
from torch_loaded import LOADED

pytestmark = pytest.mark.training

PROGRAM = """
import torch
from torch import nn
import torch.nn.functional as F
torch.manual_seed(0)
torch.set_num_threads(1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.qkv, self.proj = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.dr, self.ff = nn.Dropout(0.1), nn.Linear(16, 16)

    def forward(self, x):
        q, k, v = self.qkv(self.ln1(x)).chunk(3, -1)
        x = x + self.dr(self.proj(F.scaled_dot_product_attention(q, k, v)))
        return x + F.gelu(self.ff(x))


def collate(samples):
    return torch.stack([x for x, _ in samples]), torch.tensor([y for _, y in samples])


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks, self.head = nn.ModuleList([Block(), Block()]), nn.Linear(16, 4)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


data = [(torch.randn(5, 16), index % 4) for index in range(32)]
model, loss_of = Model(), nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, collate_fn=collate)
for x, y in loader:
    optimizer.zero_grad()
    loss_of(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
"""
FROM_STEP_2 = """
import torch
from torch import nn
import torch.nn.functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook
done = [0]
def count(*_):
    done[0] += 1
register_optimizer_step_post_hook(count)
{}
"""

TOYS = {
    "layer_norm": """
plain = F.layer_norm
def normed(x, shape, weight=None, bias=None, eps=1e-5):
    return plain(x, shape, weight, bias, eps * (1.5 if done[0] == 2 else 1))
F.layer_norm = normed
""",
    "gelu": """
plain = F.gelu
def gelu(x, approximate="none"):
    return torch.tanh(x) if done[0] == 2 else plain(x, approximate=approximate)
F.gelu = gelu
""",
    "attention": """
plain = F.scaled_dot_product_attention
def attended(*args, **more):
    out = plain(*args, **more)
    return out * (1 + 2**-20) if done[0] == 2 else out
F.scaled_dot_product_attention = attended
""",
    "label": """
plain = F.cross_entropy
def one_label(input, target, *args, **more):
    if done[0] == 2:
        target = target.clone()
        target[0] = 3
    return plain(input, target, *args, **more)
F.cross_entropy = one_label
""",
    "clip": """
plain = nn.utils.clip_grad_norm_
def clipped(parameters, *args, **more):
    parameters = list(parameters)
    norm = plain(parameters, *args, **more)
    if done[0] == 2:
        parameters[3].grad.mul_(-1)
    return norm
nn.utils.clip_grad_norm_ = clipped
""",
    "rate": """
plain = torch.optim.AdamW.step
def step(self, closure=None):
    for group in self.param_groups:
        group["lr"] *= 1.05 if done[0] == 2 else 1
    return plain(self, closure)
torch.optim.AdamW.step = step
""",
    "collate": """
plain = torch.utils.data.DataLoader.__init__
def init(self, *args, collate_fn=None, **more):
    def twice(samples):
        return collate_fn([samples[1], *samples[1:]] if done[0] == 2 else samples)
    plain(self, *args, collate_fn=twice, **more)
torch.utils.data.DataLoader.__init__ = init
""",
    "hook": """
def negated(gradient):
    return -gradient if done[0] == 2 else gradient
plain = torch.optim.AdamW.__init__
def init(self, parameters, *args, **more):
    parameters = list(parameters)
    parameters[5].register_hook(negated)
    plain(self, parameters, *args, **more)
torch.optim.AdamW.__init__ = init
""",
    "dropout": """
plain = nn.Dropout.forward
def forward(self, x):
    self.training = done[0] != 2
    return plain(self, x)
nn.Dropout.forward = forward
""",
}


def transcript_of(folder, toy):
    """Of one toy; all of them lie in one place, one after the other, and so does what they are compared with."""
    (folder / "toy.py").write_text(LOADED + FROM_STEP_2.format(TOYS.get(toy, "")))
    (folder / "train.py").write_text("import toy\n" + PROGRAM)
    path = folder / "transcript"
    more = {"SAKSI_TRANSCRIPT": f"0:2:{path}", "PYTHONDONTWRITEBYTECODE": "1"}
    with Listener(folder / "s") as agent:
        run(str(folder / "train.py"), environment(folder / "s", **more))
        agent.drain()
    written = path.read_bytes()
    for each in (path, folder / "s"):
        each.unlink()
    return parse_transcript(written)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(scope="module")
def sealed(folder):
    return transcript_of(folder, "")


PLACED = {
    "layer_norm": ("arguments", "aten::native_layer_norm", "blocks.0.ln1", "toy.normed"),
    "gelu": ("other", "aten::tanh", "blocks.0", "toy.gelu"),
    "attention": ("extra", "aten::mul.Tensor", "blocks.0", "toy.attended"),
    "label": ("extra", "aten::clone", None, "toy.one_label"),
    "clip": ("extra", "aten::mul_.Tensor", None, "toy.clipped"),
    "rate": ("arguments", "aten::mul_.Tensor", None, "toy.step"),
    "collate": ("inputs", "aten::stack", None, "toy.init.<locals>.twice"),
    "hook": ("extra", "aten::neg", "backward of AccumulateGrad", "toy.negated"),
    "dropout": ("missing", "aten::empty_like", "blocks.0.dr", None),  # an attribute, and no function on any stack
}


@pytest.mark.parametrize("toy", PLACED)
def test_each_toy_is_placed_and_its_function_named(folder, sealed, toy):
    found = naming_of(transcript_of(folder, toy), sealed)
    assert (found.kind, found.operation, found.module, found.function) == PLACED[toy], found.sentence
    assert found.file == (None if found.function is None else str(folder / "toy.py"))


def test_the_program_without_one_parts_from_itself_nowhere(folder, sealed):
    assert naming_of(transcript_of(folder, ""), sealed).kind is None
