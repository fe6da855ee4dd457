"""Which processes compute on this machine's GPUs, as NVIDIA's management library (NVML) says.

NVML is asked through `nvidia-ml-py` (the extra `[gpu]`), where that is installed and a driver answers; elsewhere
nothing is known, which is not the same as nothing running. Inside a container NVML names the pids of the host: none of
them is then one of ours.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

import msgspec

__all__ = ["GpuUse", "Gpus", "open_gpus"]

MAX_USES: Final = 1_024


class GpuUse(msgspec.Struct, frozen=True, order=True):
    """One process on one GPU. `used_bytes` is its memory there, if the driver says."""

    gpu: str
    pid: int
    used_bytes: int | None


class Gpus:
    """The GPUs of this machine. A call may take long, or not return where a device hangs: never from a loop."""

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml

    def uses(self) -> tuple[GpuUse, ...] | None:
        """Every process that computes on a GPU now, in order; `None` if the driver does not say."""
        nvml, found = self._nvml, []
        try:
            for index in range(nvml.nvmlDeviceGetCount()):
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                name = str(nvml.nvmlDeviceGetUUID(device))
                for each in nvml.nvmlDeviceGetComputeRunningProcesses(device):
                    used = each.usedGpuMemory
                    found.append(GpuUse(name, int(each.pid), None if used is None else int(used)))
        except nvml.NVMLError:
            return None
        return tuple(sorted(found)[:MAX_USES])


def open_gpus(library: str = "pynvml") -> Gpus | None:
    """The GPUs, if NVML is here and there is one."""
    try:
        nvml = importlib.import_module(library)
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return None
    return Gpus(nvml) if count else None
