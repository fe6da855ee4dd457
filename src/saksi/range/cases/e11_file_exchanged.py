"""E11. Another process writes over the file that samples are read from, after the training has opened it."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "ROWS": rng.randint(16, 160)}


CASE: Final = Case(
    row="E11",
    name="file-exchanged",
    what="Another process writes over the file that samples are read from, after the training has opened it.",
    layers=("live", "replay"),
    named=(Named(code=r"data\..*", pattern=r"content|value|changed|file"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "built": """\
import pathlib
import subprocess
import sys

pathlib.Path("samples.bin").write_bytes(inputs.numpy().tobytes())
mapped = torch.from_file("samples.bin", shared=True, size=inputs.numel()).view_as(inputs)
loader = DataLoader(TensorDataset(mapped, labels), batch_size=16, shuffle=True)
""",
        "updated": """\
if step == AT:
    program = "import sys; open('samples.bin', 'r+b').write(bytes(int(sys.argv[1])))"
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(ROWS * 80)], check=True)
    if not mapped[ROWS - 1].any():
        acted()
""",
    },
    delay=1,
)
