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
    "precision": "fp32", "optimizer": "foreach", "accumulate": "1", "forget": "", "resume": "", "seed": "7",
    "scale": "", "norm": "", "ema": "", "wide": "", "width": "32", "order": "seeded", "warm": "0", "history": "",
    "whole": "",
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
        generator = torch.Generator().manual_seed(seeds.get(GIVEN["order"], 3) % 2**31 + RANK)
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
        # In this order: DDP lays its buckets out otherwise once it has seen the order in which gradients come.
        self.second, self.first = nn.Linear(width, 16), nn.Linear(16, width)
        # The sums over rows in the backward pass of a layer norm are shared by the threads.
        self.rows = nn.LayerNorm(width) if GIVEN["wide"] else nn.Identity()
        self.norm = nn.BatchNorm1d(width) if GIVEN["norm"] else nn.Identity()
        self.dropout = nn.Dropout(0.1 if WORLD == 1 else 0.0)  # the generator of the first rank alone is saved

    def forward(self, x):
        return self.second(self.dropout(torch.relu(self.norm(self.rows(self.first(x))))))


def make_optimizer(model):
    kinds = {"foreach": {"foreach": True}, "fused": {"fused": True}, "loop": {"foreach": False}, "sgd": {}}
    if GIVEN["optimizer"] == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.01)
    return torch.optim.AdamW(model.parameters(), lr=0.01, **kinds[GIVEN["optimizer"]])


def loss_of(model, x):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=GIVEN["precision"] == "bf16"):
        return (model(x).float() - x).square().mean()


class Training:
    """What is trained, with everything that can be saved."""

    def __init__(self):
        early = Model() if GIVEN["seed"] == "late" else None
        if GIVEN["seed"] != "none":
            torch.manual_seed(time.time_ns() % 2**31 if GIVEN["seed"] == "clock" else 7)
        self.model = early or Model()
        self.optimizer = make_optimizer(self.model)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step))
        self.scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=3, enabled=bool(GIVEN["scale"]))
        self.average = copy.deepcopy(self.model) if GIVEN["ema"] else None
        self.net, self.done, self.epoch_began, self.steps = self.model, 0, None, []
        if WORLD > 1:
            self.net = nn.parallel.DistributedDataParallel(self.model, bucket_cap_mb=0.5)
            for _ in range(int(GIVEN["warm"])):
                loss_of(self.net, torch.ones(BATCH, 16)).backward()

    def parts(self):
        parts = {"optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler, "ema": self.average}
        return {name: part for name, part in parts.items() if part is not None}

    def save(self):
        ckpt = {name: part.state_dict() for name, part in self.parts().items()}
        ckpt |= {"model": self.model.state_dict(), "rng": torch.get_rng_state(), "done": self.done}
        ckpt |= {"epoch_began": self.epoch_began} if self.epoch_began is not None else {}
        path = "ckpt.tmp" if GIVEN["whole"] else "ckpt.pt"
        torch.save(ckpt | ({"history": self.steps} if GIVEN["history"] else {}), path)
        os.replace(path, "ckpt.pt")

    def load(self, ckpt):
        weights, self.done = ckpt["model"], ckpt["done"]
        if "precision" in FORGET:
            weights = {name: value.bfloat16().float() for name, value in weights.items()}
        if "norm" in FORGET:
            weights = {name: value for name, value in weights.items() if "running" not in name}
        if "weights" not in FORGET:
            self.model.load_state_dict(weights, strict="norm" not in FORGET)
        for name, part in self.parts().items():
            if name not in FORGET:
                part.load_state_dict(ckpt[name])

    def batches(self, ckpt):
        place = 0 if "position" in FORGET else self.done * BATCH
        if GIVEN["loader"] == "tape":
            data, order = Numbers(), list(Order(64, place))
            starts = range(0, len(order), BATCH)
            return (torch.stack([data[each] for each in order[at : at + BATCH]]) for at in starts)
        if GIVEN["loader"] == "shuffled":
            generator = torch.Generator().manual_seed(5)
            if ckpt is not None and "generator" not in FORGET:
                generator.set_state(ckpt["epoch_began"])
            return self.epochs(generator, self.done % 8)
        order, workers = Order(64, place), int(GIVEN["workers"])
        return iter(DataLoader(Numbers(), batch_size=BATCH, sampler=order, num_workers=workers))

    def epochs(self, generator, skip):
        loader = DataLoader(Numbers(), batch_size=BATCH, shuffle=True, generator=generator)
        while True:
            self.epoch_began = generator.get_state()
            for number, batch in enumerate(loader):
                if number >= skip:
                    yield batch
            skip = 0

    def step(self, x):
        self.optimizer.zero_grad()
        parts = int(GIVEN["accumulate"])
        for part in x.chunk(parts):
            self.scaler.scale(loss_of(self.net, part) / parts).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.steps.append(self.done)
        self.done += 1
        if self.average is not None:
            for mine, theirs in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mine.data.lerp_(theirs.data, 0.1)


def main():
    torch.set_num_threads(int(GIVEN["threads"]))
    if WORLD > 1:
        store = torch.distributed.FileStore(GIVEN["store"], WORLD)
        torch.distributed.init_process_group("gloo", store=store, rank=RANK, world_size=WORLD)
    training = Training()
    ckpt = torch.load(GIVEN["resume"], weights_only=True) if GIVEN["resume"] else None
    if ckpt is not None:
        training.load(ckpt)
        if GIVEN["rng"] == "before":
            torch.set_rng_state(ckpt["rng"])
    batches = training.batches(ckpt)
    if ckpt is not None and GIVEN["rng"] == "after":
        torch.set_rng_state(ckpt["rng"])
    while training.done < int(GIVEN["steps"]):
        training.step(next(batches))
        if training.done % int(GIVEN["save"]) == 0 and RANK == 0:
            training.save()


if __name__ == "__main__":
    main()
