"""The machine, as the kernel describes it. Nothing is started, no device is woken."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from saksi.judgement.redaction import printable
from saksi.judgement.seal import Hardware

__all__ = ["kernel", "machine"]

# The kernel makes this file as it is read, a block for each core: a big node's takes milliseconds.
_CPUINFO_BYTES: Final = 4096
_MAX_GPUS: Final = 64
_CPU: Final = re.compile(rb"^(?:model name|Hardware|cpu model|cpu)\s*:\s*(.+)$", re.MULTILINE)
_GPU: Final = re.compile(rb"^Model:\s*(.+)$", re.MULTILINE)


def kernel() -> str:
    """Name, release and build of the kernel."""
    name = os.uname()
    return printable(f"{name.sysname} {name.release} {name.version}")[:4096]


def machine(proc: Path = Path("/proc")) -> Hardware:
    """The machine this runs on. `proc` is where the kernel's files are mounted."""
    name = os.uname()
    return Hardware(
        host=printable(name.nodename),
        machine=printable(name.machine),
        cpu=_first(_CPU, proc / "cpuinfo"),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory(),
        gpus=_gpus(proc / "driver" / "nvidia" / "gpus"),
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
    return tuple(each or "not known" for each in names)


def _first(pattern: re.Pattern[bytes], path: Path) -> str | None:
    """What the first line of `path` that fits `pattern` says, or `None`."""
    try:
        with path.open("rb", buffering=0) as file:
            found = pattern.search(file.read(_CPUINFO_BYTES) or b"")
    except OSError:
        return None
    return None if found is None else found[1].strip().decode("utf-8", "backslashreplace")[:200]
