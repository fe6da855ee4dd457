"""Programs that are confined as replays are, and what a test does where this system lets nobody make namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import saksi

PROGRAM = """
import os, socket, sys
from pathlib import Path
sys.path.insert(0, {source!r})
from saksi.edges.host.confinement import CannotConfine, confine
try:
    confine([Path(each) for each in {layered!r}], Path({scratch!r}),
        writable=[Path(each) for each in {writable!r}], gladly=[Path(each) for each in {gladly!r}],
        hidden=[Path(each) for each in {hidden!r}],
        placed=[(Path(source), Path(target)) for source, target in {placed!r}])
except CannotConfine as reason:
    print(reason, file=sys.stderr)
    raise SystemExit(124)
os.chdir({folder!r})
{body}
"""


def not_allowed(reason):
    """Skip the test. Where nothing may be left out (`.ci/run` as root), it fails."""
    if os.environ.get("TESTS_MUST_CONFINE") == "1":
        pytest.fail(f"no replay can be confined here: {reason}")
    pytest.skip(reason)


def confined(
    place,
    body,
    *,
    layered=("project",),
    writable=(),
    gladly=(),
    hidden=(),
    placed=(),
    start=(sys.executable,),
    allowed=True,
    **options,
):
    """Runs `body` confined, by the interpreter that `start` starts; skips where that must be `allowed` and is not."""
    program = PROGRAM.format(
        source=str(Path(saksi.__file__).parent.parent),
        layered=[str(place / each) for each in layered],
        scratch=str(place / "scratch"),
        writable=[str(place / each) for each in writable],
        gladly=[str(place / each) for each in gladly],
        hidden=[str(place / each) for each in hidden],
        placed=[(str(place / source), str(place / target)) for source, target in placed],
        folder=str(place / "project"),
        body=body,
    )
    done = subprocess.run(
        [*start, "-B", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )
    if allowed and done.returncode == 124 and "namespaces" in done.stderr:
        not_allowed(done.stderr)
    return done
