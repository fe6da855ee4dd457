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


def nothing(connection, step: int) -> None:
    """What other optimizers do beside a Step, unless a test says otherwise."""


class Pair:
    """A first attempt that saves after Step 3, and a second that loads that file; tests change one thing.

    `told` are the fields of each Step, `before` and `behind` are called around it, all with the Step's number in the
    run; `ending` is called as the first attempt ends. `at` is what its root is taken at, empty for none.
    """

    def __init__(
        self,
        *,
        after: int = 2,
        root: dict | None = None,
        leaves: bool = True,
        ranks: int = 1,
        at: str = "ckpt",
        told=course,
        before=nothing,
        behind=nothing,
        ending=nothing,
    ) -> None:
        self.run = SealedRun()
        self.told, self.before, self.behind = told, before, behind
        connections = [self.run.attach(rank, world_size=ranks) for rank in range(ranks)]
        for connection in connections:
            for step in range(STEP + 1):
                self.step(connection, step)
            if at:
                say_root(connection, at=at, step=STEP, values=root or state(), leaves=leaves)
            connection.flush()
        self.run.file(path="/ckpt.pt", digest=CKPT, step=STEP)
        for connection in connections:
            for step in range(STEP + 1, STEP + 1 + after):
                self.step(connection, step)
            ending(connection, STEP + after)
            connection.vanish()
        self.run.exit()

    def step(self, connection, step: int, **changes) -> None:
        """One Step and what is beside it; `changes` are of its own fields."""
        self.before(connection, step)
        connection.update(**(self.told(step) | changes))
        self.behind(connection, step)

    def resumed(self, *, steps: int = 3, root: dict | None = None, says=(), ranks: int = 1, leaves=True, **first):
        self.run.resume()
        self.second(self.run, steps=steps, root=root, says=says, ranks=ranks, leaves=leaves, **first)
        return self.compared(self.run)

    def second(self, simulated, *, steps=3, root=None, says=(), ranks=1, leaves=True, **first) -> None:
        connections = [simulated.attach(rank, world_size=ranks, pid=7000 + rank) for rank in range(ranks)]
        simulated.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=-1)
        for connection in connections:
            for kind, fields in says:
                connection.send(kind, **fields)
            say_root(connection, at="attach", step=-1, values=root or state(), leaves=leaves)
            for step in range(steps):
                self.step(connection, step + STEP + 1, **(first if step == 0 else {}) | {"update": step})
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


def part(found: Continuation, name: str):
    (one,) = [each for each in found.parts if each.name == name]
    return one


def outcomes(found: Continuation) -> dict:
    return {each.name: each.outcome for each in found.parts}
