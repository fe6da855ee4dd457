"""G01. A saved model checkpoint is edited by another process before it is loaded."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "VALUE": rng.choice((0.0, 0.5))}


CASE: Final = Case(
    row="G01",
    name="ckpt-edited",
    what="A saved model checkpoint is edited by another process before it is loaded.",
    layers=("live", "outside"),
    named=(Named(code=r"ckpt\.content_differs"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import pathlib
    import struct
    import subprocess
    import sys

    torch.save(model.state_dict(), "ckpt.pt")
    there = pathlib.Path("ckpt.pt").read_bytes().index(model[0].weight.detach().numpy().tobytes())
    program = (
        "import struct, sys;"
        "file = open('ckpt.pt', 'r+b');"
        "file.seek(int(sys.argv[1]));"
        "file.write(struct.pack('f', float(sys.argv[2])))"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(there), str(VALUE)], check=True)
    model.load_state_dict(torch.load("ckpt.pt"))
    if model[0].weight[0, 0].item() == VALUE:
        acted()
""",
    },
    delay=1,
)
