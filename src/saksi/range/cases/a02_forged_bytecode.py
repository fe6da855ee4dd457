"""A02. The compiled form of an optimizer is of other code than its source, under a header that fits.

`saksi run` gives an interpreter a folder of bytecode of its own, so that what lies beside the sources is not executed:
the job sets that aside here, or nothing would be done.
"""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 0.97, 1.03, 1.1))}


CASE: Final = Case(
    row="A02",
    name="forged-bytecode",
    what="The compiled form of an optimizer is of other code than its source, under a header that fits.",
    layers=("disk", "live"),
    named=(
        Named(code="live.code_differs", pattern=r"adam"),
        Named(code="optimizer.update_differs", pattern=r"AdamW?\.step"),
    ),
    draw=_draw,
    script={
        "start": """\
import sys

sys.pycache_prefix = None
""",
    },
    bytecode={
        "torch/optim/adam.py": """\
_plain, _calls = adam, 0


def adam(*args, lr, **more):
    global _calls
    _calls += 1
    if _calls > AT:
        acted()
        lr = lr * FACTOR
    return _plain(*args, lr=lr, **more)
""",
    },
)
