"""Do two machines do the same arithmetic, as far as their seals tell.

Libraries choose their kernels by what a processor can do, and other kernels add in another order: the same program
then makes other bits of the same numbers, and nobody did anything.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from saksi.judgement.seal import Hardware

__all__ = ["FLAGS_OF_THE_MACHINE", "Machine", "machine_of", "other_machine"]

FLAGS_OF_THE_MACHINE: Final = frozenset({"interop_threads", "threads_here"})
"""What a recorder's first frame says that follows from how many processors there are, and no result depends on."""

_NAMED: Final = 4


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What arithmetic depends on. `cpu` is `None` where it is not known, `features` where nobody looked.

    Known weakness: slices of one GPU (MIG) have its name, and do other sums.
    """

    architecture: str
    cpu: str | None
    gpus: tuple[str, ...]
    features: tuple[str, ...] | None


def machine_of(hardware: Hardware) -> Machine:
    """What a seal says of it."""
    features = hardware.cpu_features
    return Machine(
        architecture=hardware.machine,
        cpu=hardware.cpu,
        gpus=hardware.gpus,
        features=None if isinstance(features, msgspec.UnsetType) else features,
    )


def other_machine(was: Machine, now: Machine) -> str | None:
    """How `now` may do other arithmetic, as what "it has"; `None` where nothing says so.

    Features count where both sides looked: a name of a CPU in a virtual machine stands for several.
    """
    if (was.architecture, was.cpu) != (now.architecture, now.cpu):
        return f"another CPU, {now.cpu or now.architecture} and not {was.cpu or was.architecture}"
    if was.features is not None and now.features is not None and was.features != now.features:
        apart = sorted(set(was.features) ^ set(now.features))
        named = ", ".join(islice(apart, _NAMED)) + (f" and {len(apart) - _NAMED} more" if len(apart) > _NAMED else "")
        return f"a CPU of another kind ({named})"
    if set(was.gpus) != set(now.gpus):
        return "other GPUs"
    return None
