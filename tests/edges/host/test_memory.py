from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saksi.edges.host.memory import available_memory, memory_of

MIB = 1 << 20
TAKING = "import sys; b = bytearray(%d << 20); b[::4096] = b'x' * len(b[::4096]); print('taken', flush=True); input()"


@pytest.fixture
def taking():
    with subprocess.Popen(
        [sys.executable, "-c", TAKING % 64], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "taken\n"
        yield process.pid
        process.stdin.write("\n")


def test_memory_that_a_process_has_written_to_is_counted_and_none_of_one_that_is_gone(taking):
    assert 64 * MIB < memory_of([taking], beyond=1 << 40) < 256 * MIB
    assert 64 * MIB < memory_of([taking], beyond=0) < 256 * MIB
    assert memory_of([2**22 + 1], beyond=0) == 0


def test_pages_that_a_forked_process_shares_are_counted_once_where_that_decides():
    with mmap.mmap(-1, 64 * MIB) as shared:
        for at in range(0, len(shared), mmap.PAGESIZE):
            shared[at] = 1
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            sum(shared[at] for at in range(0, len(shared), mmap.PAGESIZE))
            os.read(heard, 1)
            os._exit(0)
        os.close(heard)
        both = [os.getpid(), child]
        try:
            alone = memory_of(both[:1], beyond=0)
            assert memory_of(both, beyond=0) < memory_of(both, beyond=1 << 40)
            assert alone < memory_of(both[:1], beyond=1 << 40)  # half of what it shares falls to the other
        finally:
            os.close(told)
            os.waitpid(child, 0)


def made(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_is_available_is_that_of_the_machine_or_of_a_smaller_cgroup(tmp_path):
    proc = made(tmp_path / "proc", meminfo="MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    none = made(tmp_path / "none", memory__max="max\n", memory__current="5\n")
    assert available_memory(proc=proc, cgroups=none) == 1000 * 1024
    small = made(
        tmp_path / "small", memory__max="600000\n", memory__current="500000\n",
        memory__stat="anon 7\ninactive_file 300000\n",
    )  # fmt: skip
    assert available_memory(proc=proc, cgroups=small) == 400_000
    assert available_memory(proc=Path("/nonexistent"), cgroups=Path("/nonexistent")) is None
