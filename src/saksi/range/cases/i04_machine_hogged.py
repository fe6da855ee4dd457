"""I04. Other processes keep the processors busy for a while."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "COUNT": rng.randint(2, 6)}


CASE: Final = Case(
    row="I04",
    name="machine-hogged",
    what="Other processes keep the processors busy for a while.",
    layers=("live", "outside"),
    named=(Named(code=r"(dynamics.(slowed|stalled)|availability\..*)"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    import subprocess
    import sys

    acted()
    program = "import time; until = time.monotonic() + 1.5\\nwhile time.monotonic() < until: pass"
    hogs = [subprocess.Popen([sys.executable, "-I", "-S", "-c", program]) for _ in range(COUNT)]
""",
        "end": """\
for each in hogs:
    each.wait()
""",
    },
    reason="how long updates take is judged from the 128th on, and told as info: a busy machine looks the same",
)
