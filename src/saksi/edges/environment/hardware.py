"""The machine, as the kernel describes it. Nothing is started, no device is woken."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from saksi.judgement.redaction import printable
from saksi.judgement.seal import Hardware

__all__ = ["kernel", "machine"]

# The kernel makes this file as it is read, a block for each core: a big node's takes milliseconds.
_CPUINFO_BYTES: Final = 4096
_MAX_GPUS: Final = 64
_MAX_NAME: Final = 200
_CPU: Final = re.compile(rb"^(?:model name|Hardware|cpu model|cpu)\s*:\s*(.+)$", re.MULTILINE)
_FEATURES: Final = re.compile(rb"^(?:flags|Features)\s*:\s*(.+)\n", re.MULTILINE)
_OF_ARITHMETIC: Final = (
    "amx", "asimd", "avx", "bf16", "f16c", "fma", "i8mm", "neon", "sme", "sse", "ssse", "sve", "vfp",
)  # fmt: skip
"""How the names of instructions for arithmetic begin, on x86 and on ARM: libraries choose their kernels by them."""
_GPU: Final = re.compile(rb"^Model:\s*(.+)$", re.MULTILINE)


def kernel() -> str:
    """Name, release and build of the kernel."""
    name = os.uname()
    return printable(f"{name.sysname} {name.release} {name.version}")[:4096]


def machine(proc: Path = Path("/proc")) -> Hardware:
    """The machine this runs on. `proc` is where the kernel's files are mounted."""
    name = os.uname()
    features = (_first(_FEATURES, proc / "cpuinfo") or "").split()
    return Hardware(
        host=printable(name.nodename),
        machine=printable(name.machine),
        cpu=_cut(_first(_CPU, proc / "cpuinfo")),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory(),
        gpus=_gpus(proc / "driver" / "nvidia" / "gpus"),
        cpu_features=tuple(sorted({each for each in features if each.startswith(_OF_ARITHMETIC)})) or msgspec.UNSET,
    )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _gpus(folder: Path) -> tuple[str, ...]:
    try:
        devices = sorted(folder.iterdir())[:_MAX_GPUS]
    except OSError:
        return ()
    names = [_first(_GPU, device / "information") for device in devices]
    return tuple(_cut(each) or "not known" for each in names)


def _cut(said: str | None) -> str | None:
    return None if said is None else said[:_MAX_NAME]


def _first(pattern: re.Pattern[bytes], path: Path) -> str | None:
    """What the first line of `path` that fits `pattern` says, or `None`."""
    try:
        with path.open("rb", buffering=0) as file:
            found = pattern.search(file.read(_CPUINFO_BYTES) or b"")
    except OSError:
        return None
    return None if found is None else found[1].strip().decode("utf-8", "backslashreplace")
