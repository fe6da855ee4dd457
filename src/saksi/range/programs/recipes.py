"""Honest recipes as papers and tutorials have them; the one that is named on the command line runs."""

import copy
import sys
import time

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint as computed_again
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, WeightedRandomSampler

STEPS = 60
TEACHER = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def net():
    return nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 5))


def batch(count=16):
    x = torch.randn(count, 20)
    return x, (x @ TEACHER).argmax(1)


def samples(count):
    return TensorDataset(*batch(count))


def loss_of(model):
    x, y = batch()
    return nn.functional.cross_entropy(model(x), y)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=3e-3)


def update(loss, optimizer):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    time.sleep(0.01)


def mixed_up():
    """Each sample is mixed with another, and so are their labels."""
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        x, y = batch()
        share, other = torch.distributions.Beta(0.4, 0.4).sample().item(), torch.randperm(16)
        made = model(share * x + (1 - share) * x[other])
        loss = share * nn.functional.cross_entropy(made, y) + (1 - share) * nn.functional.cross_entropy(made, y[other])
        update(loss, optimizer)


def cut_and_mixed():
    """From the second half on, columns of each sample are those of another, in the batch that the loader gave."""
    model = net()
    optimizer = adamw(model)
    loader = DataLoader(samples(320), batch_size=16, shuffle=True)
    for epoch in range(3):
        for x, y in loader:
            if epoch:
                other, at = torch.randperm(16), torch.randint(16, ()).item()
                x[:, at : at + 4] = x[other, at : at + 4]
            update(nn.functional.cross_entropy(model(x), y), optimizer)


def smoothed_on_schedule():
    """Labels are smoothed less and less, in the loss object."""
    model, loss = net(), nn.CrossEntropyLoss()
    optimizer = adamw(model)
    for step in range(STEPS):
        loss.label_smoothing = 0.2 * (1 - step / STEPS)
        x, y = batch()
        update(loss(model(x), y), optimizer)


def noisy_gradients():
    """Noise that becomes less is added to all gradients before each update."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        for each in model.parameters():
            each.grad.add_(torch.randn_like(each), alpha=0.01 / (1 + step) ** 0.55)
        optimizer.step()


def sharpness_aware():
    """Two passes for each update: weights climb by a little, and come back before the update."""
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        x, y = batch()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            norm = torch.stack([each.grad.norm() for each in model.parameters()]).norm()
            climbed = [each.grad * (0.05 / (norm + 1e-12)) for each in model.parameters()]
            for each, by in zip(model.parameters(), climbed, strict=True):
                each.add_(by)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            for each, by in zip(model.parameters(), climbed, strict=True):
                each.sub_(by)
        optimizer.step()


def looked_ahead():
    """Every fifth step the weights go half of the way back to where they were five steps ago."""
    model = net()
    optimizer = adamw(model)
    slow = [each.detach().clone() for each in model.parameters()]
    for step in range(STEPS):
        update(loss_of(model), optimizer)
        if step % 5 == 4:
            with torch.no_grad():
                for kept, each in zip(slow, model.parameters(), strict=True):
                    kept.lerp_(each, 0.5)
                    each.copy_(kept)


def averaged_at_the_end():
    """Weights of the last third are averaged, with a rate of their own, and batch norms measured anew."""
    model = nn.Sequential(nn.Linear(20, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    average = torch.optim.swa_utils.AveragedModel(model)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    flat = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=5)
    loader = DataLoader(samples(320), batch_size=16, shuffle=True)
    for epoch in range(3):
        for x, y in loader:
            update(nn.functional.cross_entropy(model(x), y), optimizer)
            if epoch < 2:
                cosine.step()
            else:
                average.update_parameters(model)
                flat.step()
    torch.optim.swa_utils.update_bn(loader, average)


def one_cycle():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS, cycle_momentum=True)
    for _ in range(STEPS):
        update(loss_of(model), optimizer)
        schedule.step()


def rates_by_layer():
    """Each layer has a rate of its own, smaller the deeper it lies, and all follow one schedule."""
    model = net()
    groups = [{"params": model[at].parameters(), "lr": 3e-3 * 0.8 ** (4 - at)} for at in (0, 2, 4)]
    optimizer = torch.optim.AdamW(groups, lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (2 * STEPS))
    for _ in range(STEPS):
        update(loss_of(model), optimizer)
        schedule.step()


def frozen_in_turn():
    """One layer after the other is frozen, and all are thawed at the end."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        for number, at in enumerate((0, 2)):
            model[at].requires_grad_(requires_grad=not 15 * (number + 1) <= step < 50)
        update(loss_of(model), optimizer)


def easy_ones_first():
    """Samples are drawn by weights that change from epoch to epoch."""
    data = samples(320)
    model = net()
    optimizer = adamw(model)
    hard = data.tensors[0].abs().mean(1)
    for epoch in range(3):
        weights = torch.softmax(-hard * (2 - epoch), 0)
        loader = DataLoader(data, batch_size=16, sampler=WeightedRandomSampler(weights, 320))
        for x, y in loader:
            update(nn.functional.cross_entropy(model(x), y), optimizer)


def computed_twice():
    """Activations are not kept, and computed again in the backward pass, with the same dropout."""
    model = nn.ModuleList([nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Dropout(0.1)) for _ in range(3)])
    head = nn.Linear(20, 5)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(STEPS):
        x, y = batch()
        for layer in model:
            x = computed_again(layer, x, use_reentrant=False)
        update(nn.functional.cross_entropy(head(x), y), optimizer)


def spectral_norms():
    model = nn.Sequential(parametrizations.spectral_norm(nn.Linear(20, 48)), nn.ReLU(), nn.Linear(48, 5))
    optimizer = adamw(model)
    for _ in range(STEPS):
        update(loss_of(model), optimizer)


def weight_norms():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(20, 48)), nn.ReLU(), nn.Linear(48, 5))
    optimizer = adamw(model)
    for _ in range(STEPS):
        update(loss_of(model), optimizer)


def clipped_by_value():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()


def clipped_by_layer():
    model = net()
    optimizer = adamw(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model).backward()
        for at in (0, 2, 4):
            nn.utils.clip_grad_norm_(model[at].parameters(), 0.05)
        optimizer.step()


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(20, 20) for _ in range(4)])
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            if not self.training or torch.rand(()) > 0.1 * (number + 1):
                x = x + layer(x).relu()
        return self.head(x)


def layers_left_out():
    """Stochastic depth: each layer is left out of some updates, and has no gradient then."""
    model = Deep()
    optimizer = adamw(model)
    for _ in range(STEPS):
        update(loss_of(model), optimizer)


def distilled():
    """A student that learns from a teacher, which stands still, and from labels."""
    teacher, student = net().requires_grad_(requires_grad=False), net()
    optimizer = adamw(student)
    for _ in range(STEPS):
        x, y = batch()
        made, wanted = student(x), teacher(x)
        told = nn.functional.kl_div((made / 2).log_softmax(1), (wanted / 2).softmax(1), reduction="batchmean")
        update(nn.functional.cross_entropy(made, y) + 4 * told, optimizer)


def adversaries():
    """A critic is updated five times for each update of the generator; its weights are cut after each."""
    generator, critic = nn.Linear(8, 20), nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1))
    first = torch.optim.RMSprop(critic.parameters(), lr=1e-3)
    second = torch.optim.RMSprop(generator.parameters(), lr=1e-3)
    for step in range(STEPS):
        update(critic(generator(torch.randn(16, 8)).detach()).mean() - critic(batch()[0]).mean(), first)
        with torch.no_grad():
            for each in critic.parameters():
                each.clamp_(-0.05, 0.05)
        if step % 5 == 4:
            update(-critic(generator(torch.randn(16, 8))).mean(), second)


def values_learned():
    """A network of values, a target that follows it slowly, and samples from a memory of what was seen."""
    values = nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 3))
    target = copy.deepcopy(values).requires_grad_(requires_grad=False)
    optimizer = torch.optim.Adam(values.parameters(), lr=1e-3)
    memory = []
    for _ in range(STEPS):
        seen, following = torch.randn(8, 20), torch.randn(8, 20)
        memory += zip(seen, torch.randint(3, (8,)), torch.randn(8), following, strict=True)
        drawn = [memory[at] for at in torch.randint(len(memory), (16,)).tolist()]
        state, action, reward, after = (torch.stack(each) for each in zip(*drawn, strict=True))
        wanted = reward + 0.9 * target(after).max(1).values
        update(nn.functional.smooth_l1_loss(values(state).gather(1, action[:, None])[:, 0], wanted), optimizer)
        with torch.no_grad():
            for kept, each in zip(target.parameters(), values.parameters(), strict=True):
                kept.lerp_(each, 0.01)


class Rounded(nn.Module):
    """Weights are rounded to eight bits on the way in, from a step on, and kept as they are."""

    def __init__(self):
        super().__init__()
        self.on = False

    def forward(self, weight):
        if not self.on:
            return weight
        return torch.fake_quantize_per_tensor_affine(weight, weight.detach().abs().max().item() / 127, 0, -128, 127)


def rounded_weights():
    """Training for eight bits: rounding is switched on in the second half."""
    model, rounded = net(), Rounded()
    for at in (0, 2, 4):
        nn.utils.parametrize.register_parametrization(model[at], "weight", rounded)
    optimizer = adamw(model)
    for step in range(STEPS):
        rounded.on = step >= STEPS // 2
        update(loss_of(model), optimizer)


def profiled():
    """A profiler looks at some steps in the middle."""
    model = net()
    optimizer = adamw(model)
    plan = torch.profiler.schedule(wait=10, warmup=2, active=5, repeat=1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], schedule=plan) as profiler:
        for _ in range(STEPS):
            update(loss_of(model), optimizer)
            profiler.step()


def compiled():
    """A compiled model; its graphs are run as they were taken down, without a compiler of C++."""
    model = net()
    fast = torch.compile(model, backend="aot_eager")
    optimizer = adamw(model)
    for _ in range(STEPS):
        update(loss_of(fast), optimizer)


def zeros_kept():
    """Gradients are set to zero and kept, also where a part of the model was not used."""
    model, unused = net(), nn.Linear(5, 5)
    optimizer = torch.optim.AdamW([*model.parameters(), *unused.parameters()], lr=3e-3)
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=False)
        x, y = batch()
        made = model(x)
        nn.functional.cross_entropy(unused(made) if step % 3 else made, y).backward()
        optimizer.step()


def evaluated_alike():
    """Each evaluation draws the same noise: the state of the generator is put aside and comes back."""
    model = net()
    optimizer = adamw(model)
    for step in range(STEPS):
        update(loss_of(model), optimizer)
        if step % 10 == 9:
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(3)
                loss_of(model)


class Augmented(Dataset):
    """Samples with noise of their own each time; the noise begins as `strength` is set."""

    def __init__(self, pairs):
        self.pairs = pairs
        self.strength = 0.0

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        x, y = self.pairs[index]
        return x + self.strength * torch.randn(20), y


def augmented_later():
    """Augmentation begins with the second epoch, and a part of the data comes in with the third."""
    data = Augmented(samples(320))
    model = net()
    optimizer = adamw(model)
    for epoch in range(3):
        data.strength = 0.1 * epoch
        part = Subset(data, range(320 if epoch == 2 else 240))
        for x, y in DataLoader(part, batch_size=16, shuffle=True):
            update(nn.functional.cross_entropy(model(x), y), optimizer)


def batch_grows():
    """The batch is doubled twice instead of a smaller rate."""
    data = samples(640)
    model = net()
    optimizer = adamw(model)
    for size in (16, 32, 64):
        for x, y in DataLoader(data, batch_size=size, shuffle=True, drop_last=True):
            update(nn.functional.cross_entropy(model(x), y), optimizer)


def closures():
    """A closure for each update, in which the loss is computed; every fourth update computes it twice."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(STEPS):
        x, y = batch()

        def closure(x=x, y=y, step=step):
            for _ in range(2 if step % 4 == 3 else 1):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
            return loss

        optimizer.step(closure)
        time.sleep(0.01)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    globals()[sys.argv[1].replace("-", "_")]()
