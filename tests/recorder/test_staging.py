"""How state on devices is laid into pinned memory, and how much of that memory there may be."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.listener import PATH

SIZES = st.lists(st.integers(0, 5_000), max_size=40)
CHUNKS = st.sampled_from([16, 64, 1024, 4096])


@pytest.fixture(scope="module", autouse=True)
def recorder():
    sys.path.append(str(PATH))
    yield
    sys.path.remove(str(PATH))


@given(SIZES, CHUNKS)
def test_each_byte_of_each_tensor_has_one_place_in_order(sizes, chunk):
    pieces = [piece for each in import_module("saksi_recorder.chunks").laid_out(sizes, chunk) for piece in each]
    for number, size in enumerate(sizes):
        reached = 0
        for piece in (each for each in pieces if each.number == number):
            assert piece.start == reached
            assert piece.length > 0
            reached += piece.length
        assert reached == size


@given(SIZES, CHUNKS)
def test_pieces_lie_aligned_within_their_chunk_and_apart(sizes, chunk):
    for each in import_module("saksi_recorder.chunks").laid_out(sizes, chunk):
        end = 0
        for piece in each:
            assert piece.at % 16 == 0
            assert piece.at >= end
            end = piece.at + piece.length
        assert 0 < end <= chunk


@given(SIZES, CHUNKS)
def test_no_chunk_is_taken_that_tensors_set_apart_would_not_need(sizes, chunk):
    aligned = sum(-(-size // 16) * 16 for size in sizes)
    assert len(import_module("saksi_recorder.chunks").laid_out(sizes, chunk)) == -(-aligned // chunk)


@pytest.fixture
def grouped(tmp_path):
    """The limit as it is found in pretended control groups, given the line of this process and each group's file."""

    def limit(line, files):
        for name, content in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "mine").write_text(line)
        return import_module("saksi_recorder.host_memory").limit(str(tmp_path / "groups"), str(tmp_path / "mine"))

    return limit


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "4194304\n"}),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "4194304\n"}),
        ("0::/a/b\n", {"memory.max": "4194304\n"}),
        ("0::/../elsewhere\n", {"memory.max": "4194304\n"}),
        ("3:cpu:/x\n2:memory:/a\n", {"memory/a/memory.limit_in_bytes": "4194304\n"}),
        ("4:blkio,memory:/a\n", {"memory/memory.limit_in_bytes": "4194304\n"}),
    ],
)
def test_a_control_group_around_the_process_bounds_it(grouped, line, files):
    assert grouped(line, files) == 4194304


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("", {}),
        ("0::/a\n", {"a/memory.max": "max\n"}),
        ("0::/a\n", {"a/memory.max": "-3\n"}),
        ("0::/a\n", {"a/memory.max": "9" * 40}),
        ("2:memory:/a\n", {"a/memory.max": "4194304\n"}),
        ("nonsense\n", {"memory.max": "not read"}),
    ],
)
def test_where_no_group_bounds_it_the_host_does(grouped, line, files):

    assert grouped(line, files) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
