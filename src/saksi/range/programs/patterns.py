"""Honest ways to write a training loop; the one that is named on the command line runs."""

import copy
import math
import os
import random
import sys
import time

import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

STEPS = 40
TEACHER = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def net():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 5))


def batch(count=16, generator=None):
    x = torch.randn(count, 20, generator=generator)
    return x, (x @ TEACHER).argmax(1)


def loss_of(model):
    x, y = batch()
    return nn.functional.cross_entropy(model(x), y)


def adamw(model, **more):
    return torch.optim.AdamW(model.parameters(), lr=5e-3, **more)


def update(model, optimizer):
    optimizer.zero_grad()
    loss = loss_of(model)
    loss.backward()
    optimizer.step()
    time.sleep(0.01)
    return loss.item()


def average_swapped():
    """Evaluates with averaged weights that are swapped in and out every tenth step."""
    model = net()
    optimizer = adamw(model)
    average = [each.detach().clone() for each in model.parameters()]
    for step in range(STEPS):
        update(model, optimizer)
        with torch.no_grad():
            for kept, each in zip(average, model.parameters(), strict=True):
                kept.lerp_(each, 0.1)
            if step % 10 == 9:
                live = [each.detach().clone() for each in model.parameters()]
                for kept, each in zip(average, model.parameters(), strict=True):
                    each.copy_(kept)
                loss_of(model)
                for kept, each in zip(live, model.parameters(), strict=True):
                    each.copy_(kept)


def weights_clipped():
    model = net()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        update(model, optimizer)
        with torch.no_grad():
            for each in model.parameters():
                each.clamp_(-0.1, 0.1)


def pruned():
    """A mask that is applied through torch's own pruning, from the start."""
    model = net()
    prune.l1_unstructured(model[0], "weight", amount=0.3)
    optimizer = adamw(model)
    for _ in range(STEPS):
        update(model, optimizer)


def pruned_by_hand():
    """The smallest weights are set to zero once, in the middle."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        update(model, optimizer)
        if step == STEPS // 2:
            with torch.no_grad():
                model[0].weight[model[0].weight.abs() < 0.02] = 0.0


def target_network():
    model = net()
    target = copy.deepcopy(model).requires_grad_(requires_grad=False)
    optimizer = adamw(model)
    for step in range(STEPS):
        x, _ = batch()
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), target(x) * 0.9 + 1).backward()
        optimizer.step()
        if step % 5 == 4:
            target.load_state_dict(model.state_dict())


def two_optimizers():
    """A generator and a critic, each with its own optimizer, at different rates."""
    generator, critic = net(), nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    first, second = adamw(generator), adamw(critic)
    for step in range(STEPS):
        second.zero_grad()
        (critic(generator(torch.randn(16, 20)).detach()).mean() - critic(torch.randn(16, 5)).mean()).backward()
        second.step()
        if step % 2:
            first.zero_grad()
            (-critic(generator(torch.randn(16, 20))).mean()).backward()
            first.step()


def scheduled():
    model = net()
    optimizer = adamw(model)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=8)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], [8])
    for _ in range(STEPS):
        update(model, optimizer)
        schedule.step()


def warm_restarts():
    """The rate jumps up again and again, and momentum moves with it."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, step_size_up=5, cycle_momentum=True)
    for _ in range(STEPS):
        update(model, optimizer)
        schedule.step()


def loaded_again():
    """The best weights so far are saved, and loaded again when the loss has become worse."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        update(model, optimizer)
        if step == 10:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "best.pt")
        if step == 20:
            kept = torch.load("best.pt")
            model.load_state_dict(kept["model"])
            optimizer.load_state_dict(kept["optimizer"])


def resumed():
    """Begins, or goes on where the launch before ended."""
    model = net()
    optimizer = adamw(model)
    if os.path.exists("last.pt"):
        kept = torch.load("last.pt")
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])
    for _ in range(STEPS):
        update(model, optimizer)
    kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
    torch.save(kept, "last.pt")


def stopped_early():
    model = net()
    optimizer = adamw(model)
    best, since = math.inf, 0
    for _ in range(STEPS * 10):
        loss = update(model, optimizer)
        best, since = (loss, 0) if loss < best else (best, since + 1)
        if since > 5:
            break


def raises():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS // 2):
        update(model, optimizer)
    raise RuntimeError("the disk is full, let us say")


def accumulated():
    model = net()
    optimizer = adamw(model)
    for micro in range(STEPS * 4):
        (loss_of(model) / 4).backward()
        if micro % 4 == 3:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()


def norm_clipped():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.2)
        optimizer.step()


def scaler_skips():
    """A gradient scaler that leaves out the updates whose gradients overflowed."""
    model = net()
    optimizer = adamw(model)
    scaling = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=5)
    for step in range(STEPS):
        optimizer.zero_grad()
        scaling.scale(loss_of(model) * (math.inf if step in (7, 19) else 1.0)).backward()
        scaling.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaling.step(optimizer)
        scaling.update()


def autocast():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model)
        loss.backward()
        optimizer.step()


def bfloat16_weights():
    model = net().to(torch.bfloat16)
    optimizer = adamw(model)
    for _ in range(STEPS):
        x, y = batch()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.bfloat16()).float(), y).backward()
        optimizer.step()


def own_hooks():
    """Hooks of the script's own: some look, one clips a gradient."""
    model = net()
    optimizer = adamw(model)
    norms = []
    model[0].register_forward_hook(lambda module, inputs, output: norms.append(output.norm().item()))
    model[3].register_full_backward_hook(lambda module, before, after: norms.append(after[0].norm().item()))
    model[0].weight.register_hook(lambda gradient: gradient.clamp(-1, 1))
    optimizer.register_step_post_hook(lambda optimizer, args, kwargs: norms.append(len(norms)))
    for _ in range(STEPS):
        update(model, optimizer)


def thawed():
    model = net()
    model[0].requires_grad_(requires_grad=False)
    optimizer = adamw(model)
    for step in range(STEPS):
        if step == STEPS // 2:
            model[0].requires_grad_(requires_grad=True)
        update(model, optimizer)


def group_added():
    model, head = net(), nn.Linear(5, 5)
    optimizer = adamw(model)
    for step in range(STEPS):
        if step == STEPS // 2:
            optimizer.add_param_group({"params": head.parameters(), "lr": 1e-3})
        x, y = batch()
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(model(x)), y).backward()
        optimizer.step()


def threads_changed():
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        torch.set_num_threads(1 + step % 2)
        update(model, optimizer)


def loss_decides():
    """What is done next follows from the loss: another batch, a smaller rate, a second update."""
    model = net()
    optimizer = adamw(model)
    last = math.inf
    for _ in range(STEPS):
        loss = update(model, optimizer)
        if loss > last:
            optimizer.param_groups[0]["lr"] *= 0.9
            update(model, optimizer)
        last = loss


def evaluated_between():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        model.train()
        update(model, optimizer)
        model.eval()
        with torch.inference_mode():
            loss_of(model).item()


def workers():
    x, y = batch(160)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, num_workers=1)
    model = net()
    optimizer = adamw(model)
    for _ in range(2):
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()


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
        x = torch.randint(20, (16,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), x).backward()
        optimizer.step()


def decay_by_hand():
    """Weight decay is switched off for the second half, as a recipe may ask."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        if step == STEPS // 2:
            optimizer.param_groups[0]["weight_decay"] = 0.0
        update(model, optimizer)


def seeded_each_epoch():
    """The same seed at each epoch: a mistake, and nobody's sabotage."""
    model = net()
    optimizer = adamw(model)
    for _ in range(4):
        torch.manual_seed(0)
        for _ in range(STEPS // 4):
            update(model, optimizer)


def warmed_by_hand():
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(1.0, (step + 1) / 10)
        update(model, optimizer)


def own_patch():
    """A function of torch that the script wraps for the whole run, and says so in its own source."""
    original = nn.functional.cross_entropy

    def halved(*args, **kwargs):
        return original(*args, **kwargs) / 2

    nn.functional.cross_entropy = halved
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        update(model, optimizer)


def generators():
    """Generators of several kinds, one of which is put back for each evaluation and then goes on."""
    own, of_python = torch.Generator().manual_seed(7), random.Random(9)
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        x, y = batch(generator=own)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x + of_python.random()), y).backward()
        optimizer.step()
        if step % 10 == 9:
            kept = torch.get_rng_state()
            torch.manual_seed(5)
            loss_of(model)
            torch.set_rng_state(kept)


def not_a_number():
    """One loss is no number, and training ends up with weights that are none."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        optimizer.zero_grad()
        (loss_of(model) * (math.nan if step == 30 else 1.0)).backward()
        optimizer.step()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    globals()[sys.argv[1].replace("-", "_")]()
