"""Launches in memory: a command from its start, and what resumes it after Step 1; tests change one thing."""

from __future__ import annotations

import json

from doors.cli.cli_home import SealedRun
from judgement.continuation.seam import CKPT, course, say_root, state
from saksi.judgement.doctor.judge import Launches, doctor_of
from saksi.judgement.doctor.launched import Launch, read_launch
from saksi.judgement.items import read_items
from simulated_run import hex64

SAVED = 1
"""The Step of the save that is resumed."""
MEMBERS = [["data.pkl", 7, 10], ["data/0", 8, 10]]


def state_after(step: int, **changes: str) -> dict[str, str]:
    return {key: f"{value} after {step}" for key, value in state().items()} | changes


def note(kind: str, step: int = -1, **fields) -> bytes:
    return json.dumps({"step": step, "kind": kind, **fields}).encode() + b"\n"


def began(**changes) -> bytes:
    fields = {"rank": 0, "world_size": 1, "threads": 1, "deterministic": False, "compiled": False}
    return note("began", **(fields | changes))


def saved_note(step: int, members=None) -> bytes:
    return note("saved", step, path="/ckpt.pt", members=MEMBERS if members is None else members)


def launched(
    run: str = "0",
    *,
    begins: int = 0,
    steps: int = 8,
    saves: tuple[int, ...] = (SAVED,),
    seeds: dict[str, str] | None = None,
    notes: bytes | None = None,
    told=course,
    holds=state_after,
    initial: dict[str, str] | None = None,
    says=(),
    loaded: str | None = None,
    loads: bool = True,
    ranks: int = 1,
) -> Launch:
    """One launch that does Steps from `begins` on; `told` and `holds` are what a Step says and leaves behind."""
    simulated = SealedRun(hex64(run)[:16])
    connections = [simulated.attach(rank, world_size=ranks) for rank in range(ranks)]
    if begins and loads:
        simulated.file(path="/ckpt.pt", digest=loaded, action="loaded", step=-1)
    for connection in connections:
        for generator, seed in ({"torch": "7", "python": "7"} if seeds is None else seeds).items():
            connection.send("seeded", generator=generator, seed=seed, caller="train.py:3")
        for kind, fields in says:
            connection.send(kind, **fields)
        say_root(connection, at="attach", step=-1, values=initial or holds(begins - 1))
        for number in range(steps):
            connection.update(**(told(begins + number) | {"update": number}))
            say_root(connection, at="step", step=number, values=holds(begins + number))
        connection.flush()
    for step in saves:
        simulated.file(path="/ckpt.pt", digest=CKPT, step=step)
    for connection in connections:
        connection.vanish()
    simulated.exit(code=None, signal=9, reason="killed")
    content = began(world_size=ranks) + b"".join(saved_note(step) for step in saves) if notes is None else notes
    contents = (content, *(began(rank=rank, world_size=ranks) for rank in range(1, ranks)))
    return read_launch(
        simulated.run, lambda: read_items(simulated.entries, simulated.blob), contents, ending="", code=137
    )


def resumed(**changes) -> Launch:
    """What goes on after the save."""
    return launched("resumed", **({"begins": SAVED + 1, "steps": 4, "saves": (), "loaded": CKPT} | changes))


def examined(first=None, killed=None, again=None, **more):
    return doctor_of(
        Launches(
            ("python", "train.py"),
            (),
            first or launched(),
            killed or launched("killed", steps=4),
            resumed() if again is None else again,
            **more,
        )
    )
