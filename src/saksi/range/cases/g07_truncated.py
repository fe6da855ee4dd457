"""G07. Another process cuts a saved model checkpoint short; it can be loaded no more."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "KEPT": rng.randint(0, 2000)}


CASE: Final = Case(
    row="G07",
    name="truncated",
    what="Another process cuts a saved model checkpoint short; it can be loaded no more.",
    layers=("outside",),
    named=(Named(code=r"ckpt\.content_differs", pattern=r"could not be loaded"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import subprocess
    import sys

    torch.save(model.state_dict(), "ckpt.pt")
    program = "import os, sys; os.truncate('ckpt.pt', int(sys.argv[1]))"
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(KEPT)], check=True)
    acted()
if step == AT + 3:
    model.load_state_dict(torch.load("ckpt.pt"))
""",
    },
    ends=(1,),
    delay=4,  # nobody reads the file before
)
