"""Several cases of one script, each in a forked child and so the first training of a process: torch is loaded once."""

from __future__ import annotations

from recorder.listener import Listener, environment, run
from torch_loaded import LOADED

MARK = "--- the case "
FORKING = (
    LOADED
    + """
import os, sys
for CASE in CASES:
    print(MARK + CASE, flush=True)
    child = os.fork() if len(CASES) > 1 else 0
    if child == 0:
        break
    if os.waitpid(child, 0)[1]:
        sys.exit(CASE)
else:
    sys.exit(0)
"""
)


def of_cases(script, cases):
    """A script that runs `script` for each of the cases, under the name CASE; a single one without a fork."""
    return FORKING.replace("CASES", repr(list(cases))).replace("MARK", repr(MARK)) + script


def said_of_cases(output):
    """What each case wrote."""
    return dict(part.split("\n", 1) for part in output.split(MARK)[1:])


def recorded_cases(script, cases, folder, **more):
    """The frames and the output of each case; `more` is for the environment."""
    with Listener(folder / "s") as agent:
        done = run(of_cases(script, cases), environment(folder / "s", **more))
        children = len(cases) if len(cases) > 1 else 0
        agent.drain(children + 1)
        every = [agent.frames(at) for at in range(len(agent.connections))]
    assert [frames[0].forked for frames in every] == [False] + [True] * children
    said = said_of_cases(done.stdout)
    assert list(said) == list(cases)
    return {case: (frames, said[case]) for case, frames in zip(cases, every[-len(cases) :], strict=True)}


def plain_cases(script, cases):
    """The output of each case where nothing records it."""
    return said_of_cases(run(of_cases(script, cases), environment(None, PYTHONPATH="")).stdout)
