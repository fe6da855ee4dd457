"""A13. The training is started anew with a variable that names another cache of compiled kernels."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"FOLDER": f"kernels-{rng.randrange(1000)}"}


CASE: Final = Case(
    row="A13",
    name="other-cache",
    what="The training is started anew with a variable that names another cache of compiled kernels.",
    layers=("disk", "outside"),
    named=(Named(code=r"environment.variable_differs", pattern=r"TORCHINDUCTOR_CACHE_DIR"),),
    draw=_draw,
    script={
        "start": """\
import os
import subprocess
import sys

if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
    variables = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": os.path.abspath(FOLDER)}
    sys.exit(subprocess.run([sys.executable, *sys.argv], env=variables, check=False).returncode)
acted()
""",
    },
    first=None,
    reason="such variables are set by launchers and scripts as well, so that they are told as info",
)
