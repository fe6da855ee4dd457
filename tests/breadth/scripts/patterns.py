"""Ways to write a training loop; the one that is named on the command line runs."""

import copy
import math
import random
import sys

import numpy as np
import torch
from outcome import begin, each, end
from torch import nn

STEPS = 12


def net(width=16):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 3))


def loss_of(model):
    return nn.functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(3, (8,)))


def adamw(model, **more):
    return torch.optim.AdamW(model.parameters(), lr=1e-2, **more)


def several_optimizers():
    """A generator and a discriminator, each with its own optimizer, at different rates."""
    generator, critic = net(), nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    first, second = adamw(generator), adamw(critic)
    for step in range(STEPS):
        second.zero_grad()
        (critic(generator(torch.randn(8, 6)).detach()).mean() - critic(torch.randn(8, 3)).mean()).backward()
        second.step()
        if step % 2:
            first.zero_grad()
            (-critic(generator(torch.randn(8, 6))).mean()).backward()
            first.step()
    return generator, critic, first, second


def in_backward():
    """An optimizer for each parameter, stepping as its gradient is complete."""
    model = net()
    own = {p: torch.optim.Adam([p], foreach=False) for p in model.parameters()}

    def step(p):
        own[p].step()
        own[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(step)
    for _ in range(STEPS):
        loss_of(model).backward()
    return model, list(own.values())


def groups_added_later():
    model, head = net(), nn.Linear(3, 3)
    optimizer = adamw(model)
    for step in range(STEPS):
        if step == STEPS // 2:
            optimizer.add_param_group({"params": head.parameters(), "lr": 1e-3})
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(model(torch.randn(8, 6))), torch.randint(3, (8,))).backward()
        optimizer.step()
    return model, head, optimizer


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.out = nn.Linear(8, 20, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x):
        return self.out(self.embedding(x))


def tied_weights():
    model = Tied()
    optimizer = adamw(model)
    for _ in range(STEPS):
        x = torch.randint(20, (8,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), x).backward()
        optimizer.step()
    return model, optimizer


def sparse_gradients():
    embedding, head = nn.Embedding(50, 8, sparse=True), nn.Linear(8, 3)
    sparse, dense = torch.optim.SparseAdam(embedding.parameters()), adamw(head)
    for _ in range(STEPS):
        for one in (sparse, dense):
            one.zero_grad()
        nn.functional.cross_entropy(head(embedding(torch.randint(50, (8,)))), torch.randint(3, (8,))).backward()
        for one in (sparse, dense):
            one.step()
    return embedding, head, sparse, dense


def accumulation():
    model = net()
    optimizer = adamw(model)
    for micro in range(STEPS * 4):
        (loss_of(model) / 4).backward()
        if micro % 4 == 3:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return model, optimizer


def scaler():
    """A gradient scaler that leaves out the updates whose gradients overflowed."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    scaling = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model)
        scaling.scale(loss * (math.inf if step in (3, 7) else 1.0)).backward()
        scaling.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaling.step(optimizer)
        scaling.update()
    return model, optimizer, scaling.state_dict()


def scaler_fused():
    model = net()
    optimizer = adamw(model, fused=True)
    scaling = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(STEPS):
        optimizer.zero_grad()
        scaling.scale(loss_of(model) * (math.inf if step == 5 else 1.0)).backward()
        scaling.step(optimizer)
        scaling.update()
    return model, optimizer


def autocast():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model)
        loss.backward()
        optimizer.step()
    return model, optimizer


def half_precision_weights():
    model = net().to(torch.bfloat16)
    optimizer = adamw(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = model(torch.randn(8, 6, dtype=torch.bfloat16))
        nn.functional.cross_entropy(y.float(), torch.randint(3, (8,))).backward()
        optimizer.step()
    return model, optimizer


def ema_and_swa():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True
    )
    stochastic = torch.optim.swa_utils.AveragedModel(model)
    schedule = torch.optim.swa_utils.SWALR(optimizer, swa_lr=5e-3, anneal_epochs=3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        average.update_parameters(model)
        if step > STEPS // 2:
            stochastic.update_parameters(model)
            schedule.step()
    torch.optim.swa_utils.update_bn([torch.randn(8, 6) for _ in range(3)], stochastic)
    return model, average, stochastic, optimizer


def ema_swapped():
    """Evaluates with averaged weights that are swapped in and out between steps."""
    model = net()
    optimizer = adamw(model)
    shadow = [p.detach().clone() for p in model.parameters()]
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        with torch.no_grad():
            for kept, p in zip(shadow, model.parameters(), strict=True):
                kept.lerp_(p, 0.1)
            if step % 4 == 3:
                for kept, p in zip(shadow, model.parameters(), strict=True):
                    p.data, kept.data = kept.data, p.data
                loss_of(model)
                for kept, p in zip(shadow, model.parameters(), strict=True):
                    p.data, kept.data = kept.data, p.data
    return model, optimizer, shadow


def target_network():
    model = net()
    target = copy.deepcopy(model).requires_grad_(False)
    optimizer = adamw(model)
    for step in range(STEPS):
        x = torch.randn(8, 6)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), target(x) + 1).backward()
        optimizer.step()
        if step % 3 == 2:
            target.load_state_dict(model.state_dict())
    return model, target, optimizer


def weight_clipping():
    model = net()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        with torch.no_grad():
            for p in model.parameters():
                p.clamp_(-0.1, 0.1)
    return model, optimizer


def frozen_then_thawed():
    model = net()
    model[0].requires_grad_(False)
    optimizer = adamw(model)
    for step in range(STEPS):
        if step == STEPS // 2:
            model[0].requires_grad_(True)
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    return model, optimizer


def several_models():
    first, second = net(), net(8)
    optimizer = torch.optim.AdamW([{"params": first.parameters()}, {"params": second.parameters(), "lr": 1e-4}])
    for _ in range(STEPS):
        optimizer.zero_grad()
        (loss_of(first) + loss_of(second)).backward()
        optimizer.step()
    return first, second, optimizer


def evaluation_between():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        model.train()
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        model.eval()
        with torch.inference_mode():
            loss_of(model).item()
    return model, optimizer


def not_a_number():
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        optimizer.zero_grad()
        (loss_of(model) * (math.nan if step == 4 else 1.0)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model, optimizer


def checkpointing(*, reentrant):
    model, head = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.2), nn.Linear(16, 16)), nn.Linear(16, 3)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()])
    for _ in range(STEPS):
        optimizer.zero_grad()
        x = torch.randn(8, 6, requires_grad=True)
        hidden = torch.utils.checkpoint.checkpoint(model, x, use_reentrant=reentrant)
        nn.functional.cross_entropy(head(hidden), torch.randint(3, (8,))).backward()
        optimizer.step()
    return model, head, optimizer


def activation_checkpointing():
    return checkpointing(reentrant=False)


def activation_checkpointing_reentrant():
    return checkpointing(reentrant=True)


def by_hand_beside_an_optimizer():
    """One model is trained by an optimizer, and another by hand in the same loop."""
    first, second = net(), net(8)
    optimizer = adamw(first)
    for _ in range(STEPS):
        for p in (*first.parameters(), *second.parameters()):
            p.grad = None
        (loss_of(first) + loss_of(second)).backward()
        optimizer.step()
        with torch.no_grad():
            for p in second.parameters():
                p.sub_(p.grad, alpha=0.01)
    return first, second, optimizer


def second_optimizer_later():
    """Pre-training, then fine-tuning with a new optimizer in the same process."""
    model = net()
    first = adamw(model)
    for _ in range(STEPS):
        first.zero_grad()
        loss_of(model).backward()
        first.step()
    second = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        second.zero_grad()
        loss_of(model).backward()
        second.step()
    return model, first, second


def made_anew():
    """Each iteration trains a copy with an optimizer of its own, and has a loss with weights (Reptile)."""
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    optimizer = adamw(model)
    for _ in range(STEPS):
        criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 1.0]))
        inner = copy.deepcopy(model)
        inner_optimizer = torch.optim.SGD(inner.parameters(), lr=1e-2)
        for _ in range(3):
            inner_optimizer.zero_grad()
            criterion(inner(torch.randn(8, 6)), torch.randint(3, (8,))).backward()
            inner_optimizer.step()
        for p, moved in zip(model.parameters(), inner.parameters(), strict=True):
            p.grad = (p - moved).detach()
        optimizer.step()
    return model, optimizer


def schedulers():
    model = net()
    optimizer = adamw(model)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], [4])
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        schedule.step()
    return model, optimizer


def autograd_grad():
    """Gradients by `torch.autograd.grad`, put in place by hand; no call of backward."""
    model = net()
    optimizer = adamw(model)
    parameters = list(model.parameters())
    for _ in range(STEPS):
        for p, g in zip(parameters, torch.autograd.grad(loss_of(model), parameters), strict=True):
            p.grad = g
        optimizer.step()
    return model, optimizer


def generators():
    """Every kind of generator a script may keep for itself."""
    own, of_numpy, of_python = torch.Generator().manual_seed(7), np.random.default_rng(8), random.Random(9)
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        noise = torch.randn(8, 6, generator=own) + of_numpy.standard_normal() + of_python.random() + random.random()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(noise), torch.randint(3, (8,))).backward()
        optimizer.step()
    return model, optimizer, own.get_state()


def train(name):
    begin()
    end(*globals()[name](), label=name)


if __name__ == "__main__":
    each(sys.argv[1:], train)
