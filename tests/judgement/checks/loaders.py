"""DataLoaders of a simulated run: what a recorder says of them, with the orders that torch itself makes."""

from __future__ import annotations

import base64
import struct

import torch
from torch.utils.data import DistributedSampler, RandomSampler

from saksi.judgement.checks.data import DATA
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.judgement.ordering.twister import twister_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun, hex64

SAMPLERS = "torch.utils.data.sampler."
SEQUENTIAL, RANDOM = SAMPLERS + "SequentialSampler", SAMPLERS + "RandomSampler"
DISTRIBUTED = "torch.utils.data.distributed.DistributedSampler"


def state_of(generator: torch.Generator) -> str:
    """A generator's state as the recorder says it, read here by torch's own layout."""
    raw = generator.get_state().numpy().tobytes()
    _, left, _, following = struct.unpack_from("<QiiQ", raw)
    words = struct.unpack_from("<624Q", raw, 24)
    return base64.b64encode(struct.pack("<625I", *words, 624 if left == 1 else following)).decode()


class Loader:
    """One loader of a connection. Tests change what it says, or the order that it hands out."""

    def __init__(self, connection, number=0, *, sampler=RANDOM, length=20, size=4, drop_last=False, **arguments):
        self.connection = connection
        self.number = number
        self.sampler = sampler
        self.length = length
        self.size = size
        self.drop_last = drop_last
        self.arguments = arguments
        self.generator = torch.Generator().manual_seed(number)
        self.epoch = -1
        self.ordinal = 0
        self.order: list[int] = []

    def begin(self, **changes) -> None:
        """The next epoch, as torch makes it."""
        self.epoch += 1
        fields = {
            "loader": self.number, "epoch": self.epoch, "sampler": self.sampler, "dataset": "builtins.range",
            "length": self.length, "batch_size": self.size, "drop_last": self.drop_last, "arguments": self.arguments,
            "own": False, "state": None, "after": None,
        }  # fmt: skip
        if self.sampler == SEQUENTIAL:
            self.order = list(range(self.length))
        elif self.sampler == RANDOM:
            fields["arguments"] = {"replacement": False, "num_samples": self.length} | self.arguments
            fields |= {"own": True, "state": state_of(self.generator)}
            made = RandomSampler(
                range(self.length), num_samples=fields["arguments"]["num_samples"], generator=self.generator
            )
            self.order = list(made)
        elif self.sampler == DISTRIBUTED:
            made = DistributedSampler(range(self.length), **self.arguments)
            made.set_epoch(self.epoch)
            self.order = list(made)
            fields["arguments"] = self.arguments | {"epoch": self.epoch, "num_samples": len(made)}
        self.connection.send("epoch", **fields | changes)

    def batch(self, place: int, **changes):
        ids = self.order[place * self.size : (place + 1) * self.size]
        self.ordinal += 1
        content = f"sha256:{hex64(f'{ids}')}"
        fields = {"loader": self.number, "ordinal": self.ordinal - 1, "digest": content, "items": len(ids), "ids": ids}
        return fields | {"epoch": self.epoch, "place": place, "before": place * self.size} | changes

    @property
    def places(self) -> range:
        whole, rest = divmod(len(self.order), self.size)
        return range(whole + (rest > 0 and not self.drop_last))

    def train(self, places=None, **changes) -> None:
        """An update for each batch of the epoch."""
        for place in self.places if places is None else places:
            self.connection.update(batches=[self.batch(place, **changes)])

    def exhaust(self, batches=None) -> None:
        self.connection.send(
            "exhausted", loader=self.number, epoch=self.epoch, batches=len(self.places) if batches is None else batches
        )

    def whole(self, change=lambda order: order, **changes) -> None:
        """A whole epoch, whose order may be changed."""
        self.begin(**changes)
        self.order = change(self.order)
        self.train()
        self.exhaust()


def seeded_by_torch(seed: int, *, more: int = 0) -> tuple[list[int], dict]:
    """The order of 20 that a sampler makes with torch's own generator, and the fields that say so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = state_of(torch.default_generator)
        order = list(RandomSampler(range(20)))
        torch.rand(more)
        after = twister_of(state_of(torch.default_generator)).digest()
    return order, {"own": False, "state": before, "after": after}


def judged(simulated: SimulatedRun, *, ended: bool = True):
    judging, news = Judging([DATA]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=ended), news


def said(simulated: SimulatedRun):
    """Code, severity, first step and last step of each finding, by code."""
    return sorted((each.code, each.severity, each.first_step, each.last_step) for each in judged(simulated)[0])


def run_of(act, **options):
    """A run of one process whose one loader does `act(loader)`."""
    simulated = SimulatedRun()
    connection = simulated.attach(**{key: options.pop(key) for key in ("torch",) if key in options})
    act(Loader(connection, **options))
    connection.goodbye()
    simulated.exit()
    return simulated
