"""B05. The state of a generator in a saved model checkpoint is that of an earlier step, so that numbers come again."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 12), "BACK": rng.randint(2, 8)}


CASE: Final = Case(
    row="B05",
    name="generator-put-back",
    what="The state of a generator in a saved model checkpoint is that of an earlier step, so that numbers come again.",
    layers=("live",),
    named=(Named(code=r"randomness.state_repeated"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT - BACK:
    earlier = torch.get_rng_state()
if step == AT:
    acted()
    torch.save({"model": model.state_dict(), "random": torch.get_rng_state()}, "ckpt.pt")
    kept = torch.load("ckpt.pt")
    torch.save({**kept, "random": earlier}, "ckpt.pt")
    kept = torch.load("ckpt.pt")
    model.load_state_dict(kept["model"])
    torch.set_rng_state(kept["random"])
""",
    },
    delay=1,
    reason="a shuffle right behind one of the two states is drawn at another place, and then no state comes again",
)
