"""A script that got to a Step hollow, and was given the state of it, goes on as the run did, to the last bit."""

from __future__ import annotations

import json

import pytest

from recorder.hollowed import assert_goes_on_exactly

OF_OPTIMIZERS = ("optimizer.py", "sgd.py")
pytestmark = pytest.mark.training

ADAMW = r"""
model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
data = torch.utils.data.TensorDataset(torch.randn(20, 6), torch.randint(3, (20,)))
loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
step = 0
for epoch in range(4):
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        behind(step, loss, optimizer)
        step += 1
"""


def test_adamw_with_dropout_clipping_schedule_and_shuffled_epochs(tmp_path):
    assert_goes_on_exactly(tmp_path, ADAMW, 7, 9)  # within an epoch, and as one ends


RANDINT = r"""
text = torch.randint(50, (400,))
model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, 50))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for step in range(14):
    at = torch.randint(390, (8,))
    x = torch.stack([text[i : i + 4] for i in at.tolist()])
    loss = F.cross_entropy(model(x), text[at + 4])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    behind(step, loss, optimizer)
"""
WORKERS = r"""
import numpy
class Noisy(torch.utils.data.Dataset):
    def __len__(self):
        return 24
    def __getitem__(self, at):
        torch_, numpy_ = torch.randn(5), torch.tensor(numpy.random.rand(5), dtype=torch.float32)
        return torch_ + numpy_ + random.random() + at
numpy.random.seed(3)
model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
loader = torch.utils.data.DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=2, persistent_workers=PERSISTENT)
step = 0
for epoch in range(3):
    for x in loader:
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        behind(step, loss, optimizer)
        step += 1
"""
OWN = r"""
import numpy
numpy.random.seed(5)
own = numpy.random.default_rng(7)
class Augmented(torch.utils.data.Dataset):
    def __len__(self):
        return 20
    def __getitem__(self, at):
        x = torch.full((1, 4, 4), float(at))
        if random.random() < 0.5:
            x = x.flip(1) + random.gauss(0, 1)
        return x + float(numpy.random.normal()) + float(own.normal())
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
made = torch.Generator().manual_seed(9)
loader = torch.utils.data.DataLoader(Augmented(), batch_size=4, shuffle=True, generator=made)
step = 0
for epoch in range(3):
    for x in loader:
        loss = (model(x) - 1).square().mean()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        behind(step, loss, optimizer)
        step += 1
    model.eval()
    with torch.no_grad():
        model(torch.randn(2, 1, 4, 4))
    model.train()
"""
SCALED = r"""
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=FUSED)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
for step in range(14):
    total = 0.0
    for micro in range(2):
        with torch.autocast("cpu", dtype=torch.DTYPE):
            out = model(torch.randn(5, 6))
        loss = out.float().square().mean() * (float("inf") if step in (2, 6) and micro else 1.0)
        scaler.scale(loss / 2).backward()
    if UNSCALED:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    behind(step, loss, optimizer)
    behind(step + 0.5, scaler.get_scale(), optimizer)
"""
GAN = r"""
made = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
judge = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(8, 1))
of_made = torch.optim.Adam(made.parameters(), lr=1e-3, amsgrad=True)
of_judge = torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.9))
for step in range(10):
    real, fake = torch.randn(6, 3) + 1, made(torch.randn(6, 4))
    of_judge.zero_grad()
    first = F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()
    first.backward()
    of_judge.step()
    of_made.zero_grad()
    loss = F.softplus(-judge(fake)).mean()
    loss.backward()
    of_made.step()
    behind(step, loss, of_judge, of_made)
"""
PLATEAU = r"""
model = nn.Linear(4, 1)
ema = nn.Linear(4, 1)
ema.load_state_dict(model.state_dict())
kept = nn.ModuleDict({"model": nn.Sequential(nn.Linear(2, 2)), "ema": ema})
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.3)
schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
for step in range(16):
    loss = (model(torch.randn(8, 4)) - 2).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for one, other in zip(ema.parameters(), model.parameters()):
            one.lerp_(other, 0.1)
    schedule.step(loss.item())
    behind(step, loss, optimizer)
"""


def test_batches_drawn_from_the_global_generator(tmp_path):
    assert_goes_on_exactly(tmp_path, RANDINT, 0, 5)


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_with_randomness_of_their_own(tmp_path, persistent):
    assert_goes_on_exactly(tmp_path, WORKERS.replace("PERSISTENT", str(persistent)), 5, 8)


def test_augmentation_by_generators_of_python_numpy_and_the_program_and_gradients_cleared_in_place(tmp_path):
    assert_goes_on_exactly(tmp_path, OWN, 6, 9)


@pytest.mark.parametrize(("dtype", "unscaled", "fused"), [("float16", True, False), ("bfloat16", False, True)])
def test_a_scaler_that_left_updates_out_and_grew(tmp_path, dtype, unscaled, fused):
    script = SCALED.replace("DTYPE", dtype).replace("UNSCALED", str(unscaled)).replace("FUSED", str(fused))
    assert_goes_on_exactly(tmp_path, script, 4, 6)


def test_two_optimizers_that_train_two_models_in_turn(tmp_path):
    assert_goes_on_exactly(tmp_path, GAN, 4)


def test_a_schedule_that_follows_the_loss_and_an_average_beside_the_model(tmp_path):
    assert_goes_on_exactly(tmp_path, PLATEAU, 8)


def test_models_that_are_executed_all_the_same(tmp_path):
    assert_goes_on_exactly(tmp_path, ADAMW, 7, forward=True)


RESTORED = r"""
from torch.amp.grad_scaler import GradScaler
def replaced():
    held = [torch.autograd.backward, nn.utils.clip_grad_norm_, nn.utils.clip_grad.clip_grad_norm_, nn.Module.__call__,
            torch.utils.data.DataLoader.__iter__, GradScaler.__init__, GradScaler.scale, GradScaler.unscale_,
            GradScaler.step, torch.optim.SGD.step, torch.optim.SGD.step.__closure__[0].cell_contents]
    return [one.__code__.co_filename.rpartition("/")[2] for one in held]
class Own(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                kept = self.state[p]
                kept["count"] = kept.get("count", 0) + 1
                kept.setdefault("last", [torch.zeros_like(p)])[0].copy_(p.grad)
                kept["scale"] = 1.0 / kept["count"]
                p.data.add_(kept["last"][0], alpha=-group["lr"] * kept["scale"])
class Further(Own):
    def step(self, closure=None):
        super().step(closure)
model = nn.Linear(3, 2)
model.second = model.weight_of = nn.Linear(2, 2)
model.second.bias = model.bias  # tied
optimizer = Further(model.parameters())
torch.optim.SGD([torch.zeros(1, requires_grad=True)])
met = []
optimizer.register_step_pre_hook(lambda *_: met.append("before"))
optimizer.register_step_post_hook(lambda *_: met.append("behind"))
for step in range(8):
    loss = model.second(model(torch.randn(4, 3))).square().mean()
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    behind(step, loss, optimizer)
print(json.dumps([replaced(), len(met)]))
"""


def test_an_optimizer_of_the_programs_own_and_all_that_was_replaced_is_put_back(tmp_path):
    assert_goes_on_exactly(tmp_path, RESTORED, 4)
    ends = [(tmp_path / name).read_text() for name in ("plain.out", "hollow.out")]
    assert json.loads(ends[0])[1] == 16
    assert json.loads(ends[0])[0][3] == "module.py"
    kept = json.loads(ends[1])
    assert kept[1] == 16  # hooks of the program ran each time
    assert {*kept[0]} <= {"gradients.py", "module.py", "dataloader.py", "grad_scaler.py", "scaling.py", *OF_OPTIMIZERS}


VARIED = r"""
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.body = nn.Embedding(20, 8), nn.LSTM(8, 8, batch_first=True, dropout=0.1, num_layers=2)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.ones(6).bool())
    def forward(self, x, *, scale=1.0, y=None):
        out, state = self.body(self.embed(x) * self.mask[: x.shape[1], None])
        return {"logits": self.head(F.dropout(out, 0.1, self.training)) * scale, "state": state, "none": None}
class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        for _ in range(8):
            yield torch.randint(20, (random.choice((5, 6)),))
model = Model()
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
optimizer = torch.optim.AdamW([{"params": [model.embed.weight], "weight_decay": 0.0},
                               {"params": list(model.body.parameters())}], lr=1e-2)
schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [
    torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3),
    torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)], [3])
train = torch.utils.data.DataLoader(Stream(), batch_size=1, num_workers=1)
val = torch.utils.data.DataLoader([torch.arange(5)] * 4, batch_size=2, shuffle=True)
step = micro = 0
for epoch in range(4):
    for x in train:
        logits = model(x[:, :-1], scale=0.5)["logits"]
        logits -= 0.1
        loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
        (loss / 2).backward()
        micro += 1
        if micro % 2 == 0:
            clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            average.update_parameters(model)
            behind(step, loss / 2, optimizer)
            step += 1
    model.eval()
    with torch.no_grad():
        for x in val:
            model(x)["logits"].numpy().sum()
    model.train()
"""


def test_what_programs_do_besides(tmp_path):
    assert_goes_on_exactly(tmp_path, VARIED, 5, 8)


LOADED = r"""
import copy
torch.save(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), "whole.pt")
model = copy.deepcopy(torch.load("whole.pt", weights_only=False))
model = torch.compile(model, backend="eager")
optimizer = torch.optim.NAdam(model.parameters(), lr=1e-2)
for step in range(8):
    loss = model(torch.randn(5, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    behind(step, loss, optimizer)
"""


def test_a_model_that_was_read_whole_copied_and_compiled(tmp_path):
    assert_goes_on_exactly(tmp_path, LOADED, 4)
