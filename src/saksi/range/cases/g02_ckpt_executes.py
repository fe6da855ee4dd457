"""G02. A model checkpoint runs code as it is loaded."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="G02",
    name="ckpt-executes",
    what="A model checkpoint runs code as it is loaded.",
    layers=("live", "outside"),
    named=(Named(code=r"ckpt\.executes"),),
    draw=_draw,
    script={
        "start": """\
class Payload:
    def __reduce__(self):
        return (open, (MARK, "a"))


""",
        "updated": """\
if step == AT:
    torch.save({"model": model.state_dict(), "more": Payload()}, "ckpt.pt")
    model.load_state_dict(torch.load("ckpt.pt", weights_only=False)["model"])
    acted()
""",
    },
    delay=1,
)
