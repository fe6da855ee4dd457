"""Two attempts, the second of which continues the first; every quantity of a Step moves, so that a shift shows."""

from __future__ import annotations

import base64
import hashlib
import json

from doors.cli.cli_home import SealedRun
from saksi.judgement.continuation.compare import Continuation, compare_continuation, link_of
from saksi.judgement.story import StoryBuilder
from simulated_run import hex64

STEP = 3
CKPT = f"sha256:{'a' * 64}"
KEYS = ["0/0/0", "0/0/0/exp_avg", "0/0/0/step", "0/0/1", "0/0/1/exp_avg", "0/0/1/step", "buffer/0/norm.mean"]


def lines(keys):
    return [[key, f"layer{key[-1]}.weight" if key.count("/") == 2 else None, "torch.float32", [4]] for key in keys]


def say_root(connection, *, at: str, step: int, values: dict, leaves: bool = True) -> None:
    """A root over `values` (key to content), and its layout before it."""
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines(values))
    layout = hex64(text)
    digests = [hashlib.sha256(value.encode()).digest() for value in values.values()]
    connection.send("layout", layout=layout, part=0, parts=1, lines=lines(values))
    connection.send(
        "root",
        at=at,
        step=step,
        root=hex64(layout + "".join(each.hex() for each in digests)),
        layout=layout,
        tensors=len(digests),
        bytes=16,
        leaves=base64.b64encode(b"".join(digests)).decode() if leaves else None,
    )


def state(**changes) -> dict:
    return {key: f"value of {key}" for key in KEYS} | changes


def course(step: int, **changes) -> dict:
    """What one Step says: every quantity moves with the step."""
    batch = {"loader": 0, "ordinal": step, "digest": f"sha256:{hex64(f'batch {step}')}", "items": 2, "ids": [9, 4]}
    return {
        "update": step,
        "groups": [{"lr": 0.001 * min(step + 1, 5), "betas": [0.9, 0.95]}],
        "rng": {"torch": hex64(f"torch {step}"), "python": hex64("never drawn from")},
        "batches": [batch],
        "loss": 4.0 / (step + 1),
    } | changes


class Pair:
    """A first attempt that saves after Step 3, and a second that loads that file; tests change one thing."""

    def __init__(self, *, after: int = 2, root: dict | None = None, leaves: bool = True, ranks: int = 1) -> None:
        self.run = SealedRun()
        connections = [self.run.attach(rank, world_size=ranks) for rank in range(ranks)]
        for connection in connections:
            for step in range(STEP + 1):
                connection.update(**course(step))
            say_root(connection, at="ckpt", step=STEP, values=root or state(), leaves=leaves)
            connection.flush()
        self.run.file(path="/ckpt.pt", digest=CKPT, step=STEP)
        for connection in connections:
            for step in range(STEP + 1, STEP + 1 + after):
                connection.update(**course(step))
            connection.vanish()
        self.run.exit()

    def resumed(self, *, steps: int = 3, root: dict | None = None, says=(), ranks: int = 1, leaves=True, **first):
        self.run.resume()
        self.second(self.run, steps=steps, root=root, says=says, ranks=ranks, leaves=leaves, **first)
        return self.compared(self.run)

    @staticmethod
    def second(simulated, *, steps=3, root=None, says=(), ranks=1, leaves=True, shifted=STEP + 1, **first) -> None:
        connections = [simulated.attach(rank, world_size=ranks, pid=7000 + rank) for rank in range(ranks)]
        simulated.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=-1)
        for connection in connections:
            for kind, fields in says:
                connection.send(kind, **fields)
            say_root(connection, at="attach", step=-1, values=root or state(), leaves=leaves)
            for step in range(steps):
                changes = first if step == 0 else {}
                connection.update(**(course(step + shifted) | changes | {"update": step}))
            connection.goodbye()
        simulated.exit()

    def compared(self, later) -> Continuation:
        stories = []
        for simulated in (self.run, later):
            builder = StoryBuilder()
            for item in simulated.items():
                builder.take(item)
            stories.append(builder.build())
        link = link_of(stories[0], stories[1], run_a=self.run.run, run_b=later.run)
        assert link is not None
        return compare_continuation(link, self.run.items, later.items)
