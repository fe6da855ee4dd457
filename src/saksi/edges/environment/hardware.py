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
_FEATURES: Final = re.compile(rb"^(?:flags|Features)[ \t]*:[ \t]*(.+)\n", re.MULTILINE)
_OF_ARITHMETIC: Final = re.compile(r"amx|asimd|avx|bf16|f16c|fma|i8mm|neon|pni|sme(?!p)|sse|ssse|sve|vfp")
"""How the names of instructions for arithmetic begin, on x86 and on ARM; `smep` protects the kernel."""
_MADE: Final = re.compile(
    rb"^(cpu family|model|stepping|cache size|CPU implementer|CPU variant|CPU part)[ \t]*:[ \t]*(.+)\n", re.MULTILINE
)
"""One name of a CPU stands for several, above all in virtual machines; on ARM there is none."""
_GPU: Final = re.compile(rb"^Model:\s*(.+)$", re.MULTILINE)


def kernel() -> str:
    """Name, release and build of the kernel."""
    name = os.uname()
    return printable(f"{name.sysname} {name.release} {name.version}")[:4096]


def machine(proc: Path = Path("/proc")) -> Hardware:
    """The machine this runs on. `proc` is where the kernel's files are mounted."""
    name = os.uname()
    said = _read(proc / "cpuinfo")
    return Hardware(
        host=printable(name.nodename),
        machine=printable(name.machine),
        cpu=_first(_CPU, said),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory(),
        gpus=_gpus(proc / "driver" / "nvidia" / "gpus"),
        processors=os.cpu_count() or msgspec.UNSET,
        cpu_features=_features(said) or msgspec.UNSET,
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
    names = [_first(_GPU, _read(device / "information")) for device in devices]
    return tuple(each or "not known" for each in names)


def _features(said: bytes) -> tuple[str, ...]:
    """What libraries choose their kernels by, of the first processor; nothing where its instructions are not known."""
    listed = _FEATURES.search(said)
    if listed is None:
        return ()
    named = {each for each in map(_text, listed[1].split()) if _OF_ARITHMETIC.match(each)}
    made = {f"{_text(name).lower().replace(' ', '-')}={_text(value)}" for name, value in _MADE.findall(said)}
    return tuple(sorted(made | named))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_CPUINFO_BYTES) or b""
    except OSError:
        return b""


def _first(pattern: re.Pattern[bytes], said: bytes) -> str | None:
    """What the first line that fits says, or `None`."""
    found = pattern.search(said)
    return None if found is None else _text(found[1])


def _text(value: bytes) -> str:
    return value.strip().decode("utf-8", "backslashreplace")[:_MAX_NAME]
