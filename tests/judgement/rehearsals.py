"""Training that was rehearsed, and launches held to it: simulated, and the same but for what is asked for."""

from __future__ import annotations

from typing import Any

from doors.cli.cli_home import SealedRun
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.rehearsal.first_steps import rehearsal_of
from saksi.judgement.rehearsal.values import Rehearsal
from saksi.judgement.seal import Hardware
from simulated_run import SimulatedRun, hex64

STEPS = 4
ADAMW = "torch.optim.adamw.AdamW"
HOOKS = {"optimizer.step_post": ["saksi_recorder.steps.after"], "flags": ["deterministic=False", "threads=1"]}
CPU = Hardware(host="node1", machine="x86_64", cpu="A CPU", cores=8, memory_bytes=2**36, gpus=())


def trained(
    simulated: SimulatedRun,
    *,
    steps: int = STEPS + 2,
    ranks: int = 1,
    seeded: dict[str, str] | None = None,
    changes: dict[int, dict[str, Any]] | None = None,
    rng: dict[str, Any] | None = None,
    roots: dict[int, str] | None = None,
    hooks: dict[int, dict[str, list[str]]] | None = None,
    optimizers: tuple[str, ...] = (ADAMW,),
    loads: int = 0,
    hello: dict[str, Any] | None = None,
) -> SimulatedRun:
    """Steps of every rank: `changes` to the updates, `roots` and `hooks` by step, `rng` beside the usual generators."""
    for rank in range(ranks):
        connection = simulated.attach(rank, world_size=ranks, **hello or {})
        for generator, seed in ({"torch": "1337"} if seeded is None else seeded).items():
            connection.send("seeded", generator=generator, seed=seed, caller="train.py:3")
        for ordinal, name in enumerate(optimizers):
            defaults = {"lr": 0.001, "betas": [0.9, 0.999]}
            connection.send(
                "optimizer", ordinal=ordinal, class_name=name, file="a.py", groups=1, tensors=4, defaults=defaults
            )
        for _ in range(loads):
            file = dict.fromkeys(("path", "digest", "size", "device", "inode", "mtime_ns"))
            connection.send("ckpt", action="loaded", step=-1, **file)
        for step in range(-1, steps):
            if step >= 0:
                found = (hooks or {}).get(step) or (HOOKS if step == 0 else None)
                if found:
                    connection.send("inventory", inventory=hex64(f"{found}"), hooks=found)
                fields = connection.next_update(**(changes or {}).get(step, {}))
                fields["rng"] = {**fields["rng"], **{name: at(step) for name, at in (rng or {}).items()}}
                connection.send("update", **fields)
            root = hex64((roots or {}).get(step, f"root {step}"))
            at = "attach" if step < 0 else "step"
            connection.send(
                "root", at=at, step=step, root=root, layout=hex64("layout"), tensors=4, bytes=64, leaves=None
            )
            connection.flush()
        connection.goodbye()
    simulated.exit()
    return simulated


def rehearsal(steps: int = STEPS, **training: Any) -> Rehearsal:
    return rehearsal_of(trained(SimulatedRun(), **training).items(), steps)


def launched(held_to: Rehearsal, *, hardware: Hardware = CPU, **training: Any) -> SimulatedRun:
    """A launch under a seal file with this rehearsal, which was made on `CPU`."""
    simulated = SealedRun(hardware=hardware)
    simulated.approve(signed_file(plain_seal_file(hardware=CPU, rehearsal=held_to), CREATOR, MARIA).content)
    trained(simulated, **training)
    return simulated
