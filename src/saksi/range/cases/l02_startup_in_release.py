"""L02. A release of a package brings a file that every start of Python executes."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 0.97, 1.03, 1.1))}


CASE: Final = Case(
    row="L02",
    name="startup-in-release",
    what="A release of a package brings a file that every start of Python executes.",
    layers=("disk", "live"),
    named=(
        Named(code=r"environment\.(differs|changed)", pattern=r"speed\.pth"),
        Named(code="optimizer.update_differs", pattern=r"AdamW?\.step"),
    ),
    draw=_draw,
    site={
        "speed.pth": "import speed\n",
        "speed.py": """\
import sys
from importlib.abc import MetaPathFinder


class AfterTorch(MetaPathFinder):
    # It waits until the optimizers are imported, as importing torch at every start would be noticed.
    def find_spec(self, name, path=None, target=None):
        adam = sys.modules.get("torch.optim.adam")
        if adam is not None and hasattr(adam, "adam"):
            sys.meta_path.remove(self)
            put_in(adam)


def put_in(module):
    plain, calls = module.adam, 0

    def quietly(*args, lr, **more):
        nonlocal calls
        calls += 1
        if calls > AT:
            acted()
            lr = lr * FACTOR
        return plain(*args, lr=lr, **more)

    module.adam = quietly


sys.meta_path.insert(0, AfterTorch())
""",
    },
    sealed=True,
)
