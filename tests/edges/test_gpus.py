"""The processes on this machine's GPUs, through a stand-in for NVIDIA's management library."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from saksi.edges.host.gpus import GpuUse, open_gpus


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    module = ModuleType("nvml_stand_in")
    module.NVMLError = NVMLError
    module.running = {0: [(7, 1024), (5, None)], 1: [(7, 1)]}
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetCount = lambda: len(module.running)
    module.nvmlDeviceGetHandleByIndex = lambda index: index
    module.nvmlDeviceGetUUID = lambda index: f"GPU-{index}"
    module.nvmlDeviceGetComputeRunningProcesses = lambda index: [
        SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in module.running[index]
    ]
    monkeypatch.setitem(sys.modules, "nvml_stand_in", module)
    return module


def test_every_process_on_every_gpu_is_named(nvml):
    uses = open_gpus("nvml_stand_in").uses()
    assert uses == (GpuUse("GPU-0", 5, None), GpuUse("GPU-0", 7, 1024), GpuUse("GPU-1", 7, 1))


def test_without_the_library_nothing_is_known():
    assert open_gpus("a_library_that_is_not_installed") is None


def test_without_a_driver_or_a_gpu_nothing_is_known(nvml):
    nvml.running = {}
    assert open_gpus("nvml_stand_in") is None

    def fails():
        raise NVMLError

    nvml.nvmlInit = fails
    assert open_gpus("nvml_stand_in") is None


def test_a_driver_that_fails_later_says_nothing_for_then(nvml):
    gpus = open_gpus("nvml_stand_in")

    def fails(index):
        raise NVMLError

    nvml.nvmlDeviceGetComputeRunningProcesses = fails
    assert gpus.uses() is None
