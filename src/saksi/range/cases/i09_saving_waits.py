"""I09. A lock that nobody gives back keeps a model checkpoint from being saved for seconds."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 24), "SECONDS": rng.choice((2, 3))}


CASE: Final = Case(
    row="I09",
    name="saving-waits",
    what="A lock that nobody gives back keeps a model checkpoint from being saved for seconds.",
    layers=("live", "outside"),
    named=(Named(code=r"availability\..*", pattern=r"took|stall|said nothing"),),
    draw=_draw,
    settings=declared.PROMPT,
    script={
        "updated": """\
if step == AT:
    import fcntl
    import subprocess
    import sys

    acted()
    program = (
        "import fcntl, sys, time;"
        "file = open('ckpt.lock', 'w');"
        "fcntl.flock(file, fcntl.LOCK_EX);"
        "print(flush=True);"
        "time.sleep(int(sys.argv[1]))"
    )
    words = [sys.executable, "-I", "-S", "-c", program, str(SECONDS)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE)
    holder.stdout.readline()
    with open("ckpt.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        torch.save(model.state_dict(), "ckpt.pt")
    holder.wait()
""",
    },
    delay=1,
)
