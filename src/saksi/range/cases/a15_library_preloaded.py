"""A15. The training is started anew with a library that the loader puts before all others.

The library is a copy of one that the process has anyway, under another name: it changes nothing.
"""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"LIBRARY": f"libfast{rng.randrange(1000)}.so"}


CASE: Final = Case(
    row="A15",
    name="library-preloaded",
    what="The training is started anew with a library that the loader puts before all others.",
    layers=("disk", "outside"),
    named=(
        Named(code=r"environment.variable_differs", pattern=r"LD_PRELOAD"),
        Named(code=r"environment.object_foreign", pattern=r"{LIBRARY}"),
    ),
    draw=_draw,
    script={
        "start": """\
import os
import shutil
import subprocess
import sys

if "LD_PRELOAD" not in os.environ:
    with open("/proc/self/maps") as maps:
        mapped = [line.split()[-1] for line in maps if "/libm" in line or "/libc" in line]
    shutil.copy(mapped[0], LIBRARY)
    variables = {**os.environ, "LD_PRELOAD": os.path.abspath(LIBRARY)}
    sys.exit(subprocess.run([sys.executable, *sys.argv], env=variables, check=False).returncode)
with open("/proc/self/maps") as maps:
    if LIBRARY in maps.read():
        acted()
""",
    },
    first=None,
)
