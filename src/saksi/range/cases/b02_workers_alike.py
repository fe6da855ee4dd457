"""B02. From an epoch on, all workers of the loader draw the same noise for their samples."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20 * rng.randint(1, 2), "SEED": rng.randrange(2**31)}


CASE: Final = Case(
    row="B02",
    name="workers-alike",
    what="From an epoch on, all workers of the loader draw the same noise for their samples.",
    layers=("live", "replay"),
    named=(
        Named(code=r"(randomness|agreement|data)\..*", pattern=r"worker|equal|repeat"),
        Named(code=r"live.instance_patched", pattern=r"worker_init_fn"),
    ),
    draw=_draw,
    script={
        "start": """\
from torch.utils.data import Dataset


class Noisy(Dataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        x, y = self.pairs[index]
        return x + 0.1 * torch.randn(20), y


def alike(worker):
    torch.manual_seed(SEED)
""",
        "epoch": """\
if step >= AT:
    acted()
    loader = DataLoader(Noisy(data), batch_size=16, shuffle=True, num_workers=2, worker_init_fn=alike)
""",
    },
    reason="that the script brings a function for workers is told as info; their generators are not in the record",
)
