"""Honest ways to keep averages of the weights, targets, and schedules of one's own; the one that is named runs."""

import copy
import sys
import time

import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils

STEPS = 40
TEACHER = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def net():
    return nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 5))


def loss_of(model, dtype=torch.float32):
    x = torch.randn(16, 20)
    return nn.functional.cross_entropy(model(x.to(dtype)).float(), (x @ TEACHER).argmax(1))


def update(model, optimizer, dtype=torch.float32):
    optimizer.zero_grad()
    loss = loss_of(model, dtype)
    loss.backward()
    optimizer.step()
    time.sleep(0.01)
    return loss.item()


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)


@torch.no_grad()
def follow(average, model, pace):
    for kept, each in zip(average.parameters(), model.parameters(), strict=True):
        kept.mul_(1 - pace).add_(each, alpha=pace)
    for kept, each in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(each)


def evaluated(model):
    model.eval()
    with torch.no_grad():
        loss_of(model)
    model.train()


def average_of_a_model():
    """Torch's own average, which is evaluated, and put in place of the weights in the end."""
    model = net()
    optimizer = adamw(model)
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.95), use_buffers=True)
    for step in range(STEPS):
        update(model, optimizer)
        average.update_parameters(model)
        if step % 10 == 9:
            evaluated(average)
    model.load_state_dict(average.module.state_dict())


def average_by_hand():
    """A copy that follows by hand, with a pace that grows, and is exchanged for the weights to evaluate."""
    model = net()
    optimizer = adamw(model)
    average = copy.deepcopy(model)
    for step in range(STEPS):
        update(model, optimizer)
        follow(average, model, max(0.02, 1 / (step + 2)))
        if step % 10 == 9:
            kept = copy.deepcopy(model.state_dict())
            model.load_state_dict(average.state_dict())
            evaluated(model)
            model.load_state_dict(kept)


def average_of_half():
    """Weights in bfloat16, an average in full, of several tensors at once."""
    model = net().to(torch.bfloat16)
    optimizer = adamw(model)
    average = copy.deepcopy(model).float()
    for _ in range(STEPS):
        update(model, optimizer, torch.bfloat16)
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), [each.float() for each in model.parameters()], 0.1)


def average_in_half():
    """Weights and average in bfloat16."""
    model = net().to(torch.bfloat16)
    optimizer = adamw(model)
    average = copy.deepcopy(model)
    for _ in range(STEPS):
        update(model, optimizer, torch.bfloat16)
        follow(average, model, 0.2)


def average_now_and_then():
    """An average that follows every third step, begins anew in the middle, and is made anew at the end."""
    model = net()
    optimizer = adamw(model)
    average = copy.deepcopy(model)
    for step in range(STEPS):
        update(model, optimizer)
        if step == STEPS // 2:
            average.load_state_dict(model.state_dict())
        elif step % 3 == 2:
            follow(average, model, 0.1)
        if step == STEPS - 8:
            average = copy.deepcopy(model)


def average_of_micro_batches():
    """An average that follows behind each of several backward passes of one update."""
    model = net()
    optimizer = adamw(model)
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.98))
    for _ in range(STEPS):
        optimizer.zero_grad()
        for _ in range(4):
            (loss_of(model) / 4).backward()
            average.update_parameters(model)
        optimizer.step()
        time.sleep(0.01)


def average_in_a_hook():
    """An average that a hook of the optimizer's takes, before each step."""
    model = net()
    optimizer = adamw(model)
    average = copy.deepcopy(model)
    optimizer.register_step_pre_hook(lambda *_: follow(average, model, 0.1))
    for _ in range(STEPS):
        update(model, optimizer)


class Learner(nn.Module):
    """A network, and a target of the same form that follows it."""

    def __init__(self):
        super().__init__()
        self.online = net()
        self.target = copy.deepcopy(self.online).requires_grad_(requires_grad=False)
        self.predictor = nn.Linear(5, 5)

    def forward(self, x):
        with torch.no_grad():
            wanted = self.target(x)
        return nn.functional.mse_loss(self.predictor(self.online(x)), wanted)


def target_within():
    """A model that holds its own target, whose pace follows a cosine."""
    model = Learner()
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=5e-3)
    for step in range(STEPS):
        optimizer.zero_grad()
        model(torch.randn(16, 20)).backward()
        optimizer.step()
        follow(model.target, model.online, 0.1 * (1 - step / STEPS) + 1e-3)
        time.sleep(0.01)


def best_is_kept():
    """A copy of the best weights, overwritten now and then, and a teacher that stands still."""
    model = net()
    optimizer = adamw(model)
    best, teacher, least = net(), copy.deepcopy(model), float("inf")
    for _ in range(STEPS):
        loss = update(model, optimizer)
        if loss < least:
            least = loss
            best.load_state_dict(model.state_dict())
        evaluated(teacher)


def exchanged_for_good():
    """Weights and average change places for good, and go on; later the average is drawn back to the weights."""
    model = net()
    optimizer = adamw(model)
    average = copy.deepcopy(model)
    for step in range(STEPS):
        update(model, optimizer)
        follow(average, model, 0.2)
        if step == STEPS // 2:
            kept = copy.deepcopy(model.state_dict())
            model.load_state_dict(average.state_dict())
            average.load_state_dict(kept)


class Warmed:
    """A schedule of a program's own around one of torch's."""

    def __init__(self, schedule, steps):
        self.schedule, self.steps, self.count = schedule, steps, 0
        self.rates = [group["lr"] for group in schedule.optimizer.param_groups]

    def step(self):
        self.count += 1
        if self.count > self.steps:
            self.schedule.step()
            return
        for group, rate in zip(self.schedule.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.count / self.steps


class Halved(lr_scheduler.LambdaLR):
    """A schedule of a class of the program's own, which keeps a function."""

    def __init__(self, optimizer):
        self.told = print
        super().__init__(optimizer, lambda step: 0.5 ** (step // 10))


def schedules_of_many_kinds():
    """Schedules in a row, chained, around one another and of classes of the program's own, some made in the middle."""
    model = net()
    optimizer = adamw(model)
    linear, cosine = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=8), lr_scheduler.CosineAnnealingLR(optimizer, 32)
    one = lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[8])
    flat = lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
    for step in range(STEPS):
        loss = update(model, optimizer)
        if step == 10:
            one = Warmed(lr_scheduler.ExponentialLR(optimizer, 0.99), 4)
        if step == 20:
            one = lr_scheduler.ChainedScheduler([Halved(optimizer), lr_scheduler.ConstantLR(optimizer)])
        if step == 30:
            one = lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=20)
        one.step()
        if step % 10 == 9:
            flat.step(loss)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    globals()[sys.argv[1].replace("-", "_")]()
