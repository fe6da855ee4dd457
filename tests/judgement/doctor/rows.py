"""A small training script with everything that a resume has to put back, each of which can be left out by a word.

Words are `name=value`. Those that end in a path to a model checkpoint resume: `resume=PATH`.
"""

import copy
import os
import random
import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

DEFAULTS = {
    "steps": "40", "save": "2", "workers": "0", "augment": "none", "loader": "plain", "rng": "after", "threads": "1",
    "precision": "fp32", "optimizer": "foreach", "accumulate": "1", "forget": "", "resume": "", "seed": "7", "scale": "",
    "norm": "", "ema": "", "wide": "", "width": "32", "order": "seeded", "warm": "0", "compile": "", "history": "",
}  # fmt: skip
GIVEN = DEFAULTS | dict(word.split("=", 1) for word in sys.argv[1:])
FORGET = set(GIVEN["forget"].split(",")) if GIVEN["resume"] else set()
RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
BATCH = 8


class Order(Sampler):
    """The order of all epochs, from a seed, beginning at a place."""

    def __init__(self, length, place):
        self.length, self.place = length, place

    def __iter__(self):
        seeds = {"seeded": 3, "hash": hash("order"), "clock": time.time_ns()}
        generator = torch.Generator().manual_seed(seeds.get(GIVEN["order"], 3) % 2**31)
        order = [int(each) for _ in range(40) for each in torch.randperm(self.length, generator=generator)]
        if GIVEN["order"] == "python":
            random.shuffle(order)
        return iter(order[self.place :])

    def __len__(self):
        return 40 * self.length - self.place


class Numbers(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        x = torch.arange(16).add(index).sin()
        kind = GIVEN["augment"]
        if kind == "sample":
            x = x + torch.randn(16, generator=torch.Generator().manual_seed(index))
        elif kind == "drawn":
            x = x + torch.randn(16)
        elif kind == "python":
            x = x + random.random()
        elif kind == "clock":
            x = x + time.time() % 1
        return x


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        width = int(GIVEN["width"])
        self.first, self.second = nn.Linear(16, width), nn.Linear(width, 16)
        self.norm = nn.BatchNorm1d(width) if GIVEN["norm"] else nn.Identity()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.second(self.dropout(torch.relu(self.norm(self.first(x)))))


def make_optimizer(model):
    kinds = {"foreach": {"foreach": True}, "fused": {"fused": True}, "loop": {"foreach": False}, "sgd": {}}
    if GIVEN["optimizer"] == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.01)
    return torch.optim.AdamW(model.parameters(), lr=0.01, **kinds[GIVEN["optimizer"]])


def loss_of(model, x):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=GIVEN["precision"] == "bf16"):
        loss = (model(x).float() - x).square().mean()
    if GIVEN["wide"]:  # sums that are long enough for threads to share
        loss = loss + sum(p.flatten().repeat(301).square().mean() for p in model.parameters())
    return loss


def main():
    torch.set_num_threads(int(GIVEN["threads"]))
    if WORLD > 1:
        store = torch.distributed.FileStore(GIVEN["store"], WORLD)
        torch.distributed.init_process_group("gloo", store=store, rank=RANK, world_size=WORLD)
    if GIVEN["seed"] == "clock":
        torch.manual_seed(time.time_ns() % 2**31)
    elif GIVEN["seed"] == "late":
        early = Model()
        torch.manual_seed(7)
    elif GIVEN["seed"] != "none":
        torch.manual_seed(int(GIVEN["seed"]))
    model = early if GIVEN["seed"] == "late" else Model()
    optimizer = make_optimizer(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=3, enabled=bool(GIVEN["scale"]))
    average = copy.deepcopy(model) if GIVEN["ema"] else None
    ckpt = torch.load(GIVEN["resume"], weights_only=True) if GIVEN["resume"] else None
    done = 0 if ckpt is None else ckpt["done"]
    net = model
    if WORLD > 1:
        net = nn.parallel.DistributedDataParallel(model, bucket_cap_mb=0.001)
        for _ in range(int(GIVEN["warm"])):
            loss_of(net, torch.ones(BATCH, 16)).backward()
    if GIVEN["compile"]:
        net = torch.compile(net, backend=GIVEN["compile"])
    if ckpt is not None:
        weights = ckpt["model"]
        if "precision" in FORGET:
            weights = {name: value.bfloat16().float() for name, value in weights.items()}
        if "norm" in FORGET:
            weights = {name: value for name, value in weights.items() if "running" not in name}
        if "weights" not in FORGET:
            model.load_state_dict(weights, strict="norm" not in FORGET)
        if "optimizer" not in FORGET:
            optimizer.load_state_dict(ckpt["optimizer"])
        if "schedule" not in FORGET:
            schedule.load_state_dict(ckpt["schedule"])
        if "scaler" not in FORGET and GIVEN["scale"]:
            scaler.load_state_dict(ckpt["scaler"])
        if average is not None and "ema" not in FORGET:
            average.load_state_dict(ckpt["ema"])
        if GIVEN["rng"] == "before":
            torch.set_rng_state(ckpt["rng"])
    place = 0 if "position" in FORGET else done * BATCH
    if GIVEN["loader"] == "tape":
        data = Numbers()
        order = list(Order(64, place))
        batches = (torch.stack([data[each] for each in order[at : at + BATCH]]) for at in range(0, len(order), BATCH))
    elif GIVEN["loader"] == "shuffled":
        generator = torch.Generator().manual_seed(5)
        if ckpt is not None and "generator" not in FORGET:
            generator.set_state(ckpt["epoch_began"])
        loader = DataLoader(Numbers(), batch_size=BATCH, shuffle=True, generator=generator)
        batches = epochs(loader, generator, done % 8)
    else:
        batches = iter(DataLoader(Numbers(), batch_size=BATCH, sampler=Order(64, place), num_workers=int(GIVEN["workers"])))
    if ckpt is not None and GIVEN["rng"] == "after":
        torch.set_rng_state(ckpt["rng"])
    losses = []
    for step in range(done, int(GIVEN["steps"])):
        x = next(batches)
        optimizer.zero_grad()
        for part in x.chunk(int(GIVEN["accumulate"])):
            scaler.scale(loss_of(net, part) / int(GIVEN["accumulate"])).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        losses.append(step)
        if average is not None:
            for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                mine.data.lerp_(theirs.data, 0.1)
        if (step + 1) % int(GIVEN["save"]) == 0 and RANK == 0:
            save(model, optimizer, schedule, scaler, average, step + 1, losses)
    if WORLD > 1:
        torch.distributed.destroy_process_group()


_began = [None]


def epochs(loader, generator, skip):
    while True:
        _began[0] = generator.get_state()
        for number, batch in enumerate(loader):
            if number >= skip:
                yield batch
        skip = 0


def save(model, optimizer, schedule, scaler, average, done, losses):
    ckpt = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
        "scaler": scaler.state_dict(), "rng": torch.get_rng_state(), "done": done,
    }  # fmt: skip
    if average is not None:
        ckpt["ema"] = average.state_dict()
    if _began[0] is not None:
        ckpt["epoch_began"] = _began[0]
    if GIVEN["history"]:
        ckpt["history"] = list(losses)
    torch.save(ckpt, "ckpt.pt")


if __name__ == "__main__":
    main()
