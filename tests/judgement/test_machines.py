"""Whether two machines do the same arithmetic, by what their seals say."""

from __future__ import annotations

import msgspec
import pytest

from saksi.judgement.machines import machine_of, other_machine
from saksi.judgement.seal import Hardware

CPU = Hardware(
    host="node1", machine="x86_64", cpu="A CPU", cores=8, memory_bytes=2**36, gpus=(), cpu_features=("avx2", "fma")
)


def apart(**changed):
    return other_machine(machine_of(CPU), machine_of(msgspec.structs.replace(CPU, **changed)))


@pytest.mark.parametrize("changed", [{}, {"host": "node2"}, {"memory_bytes": None}, {"cores": 2}, {"processors": 3}])
def test_what_no_arithmetic_depends_on_makes_no_other_machine(changed):
    assert apart(**changed) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cpu": "Another"}, "another CPU, Another and not A CPU"),
        ({"cpu": None}, "another CPU, x86_64 and not A CPU"),
        ({"machine": "aarch64"}, "another CPU, A CPU and not A CPU"),
        ({"gpus": ("A GPU",)}, "other GPUs"),
        ({"cpu_features": ("avx2", "avx512f", "fma")}, "a CPU of another kind (avx512f)"),
        ({"cpu_features": tuple("abcde")}, "a CPU of another kind (a, avx2, b, c and 3 more)"),
    ],
)
def test_another_machine_is_said_with_what_it_has(changed, said):
    assert apart(**changed) == said


def test_features_count_only_where_both_sides_looked():
    assert apart(cpu_features=msgspec.UNSET) is None
