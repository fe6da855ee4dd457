"""J04. Another process attaches to the witness with a token that it made up."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TOKEN": f"{rng.getrandbits(128):032x}"}


CASE: Final = Case(
    row="J04",
    name="stranger-knocks",
    what="Another process attaches to the witness with a token that it made up.",
    layers=("outside",),
    named=(Named(code=r"witness.peer_refused"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    import os
    import subprocess
    import sys

    acted()
    program = (
        "import torch, time;"
        "weights = torch.zeros(9, requires_grad=True);"
        "optimizer = torch.optim.SGD([weights], 0.1);"
        "weights.sum().backward();"
        "optimizer.step();"
        "time.sleep(1)"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "SAKSI_TOKEN": TOKEN}, check=True)
""",
    },
    reason="a process that is refused is told as info: an environment left over from another launch does the same",
)
