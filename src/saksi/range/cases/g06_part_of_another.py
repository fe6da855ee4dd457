"""G06. One of the two files of a model checkpoint is that of an earlier one."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 12), "BACK": rng.randint(4, 10)}


CASE: Final = Case(
    row="G06",
    name="part-of-another",
    what="One of the two files of a model checkpoint is that of an earlier one.",
    layers=("live", "outside"),
    named=(Named(code=r"(ckpt|state)\.(?!not_checkable).*"),),
    draw=_draw,
    script={
        "updated": """\
if step in (AT - BACK, AT):
    import os

    first = {name: each for name, each in model.state_dict().items() if name.startswith("0.")}
    rest = {name: each for name, each in model.state_dict().items() if not name.startswith("0.")}
    torch.save(first, f"first-{step}.pt")
    torch.save(rest, f"rest-{step}.pt")
if step == AT:
    os.replace(f"first-{AT - BACK}.pt", f"first-{AT}.pt")
    model.load_state_dict({**torch.load(f"first-{AT}.pt"), **torch.load(f"rest-{AT}.pt")})
    acted()
""",
    },
    delay=1,
    reason="as G05",
)
