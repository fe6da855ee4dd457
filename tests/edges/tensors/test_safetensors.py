"""Tensors of safetensors files: what stands there, by name; what cannot be is refused with the place."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.tensors.files import headed, safetensors
from saksi.edges.tensors.form import NotTensors
from saksi.edges.tensors.read import tensors_in

NUMBERS = struct.pack("<12f", *range(12))


def read(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        found = tensors_in(file)
        assert not file.closed
        return found


def test_tensors_are_found_with_form_and_digest_and_the_metadata_is_none(tmp_path):
    given = {"b": ("F32", [3, 4], NUMBERS), "a": ("I64", [], struct.pack("<q", 7)), "none": ("F16", [0, 5], b"")}
    found = read(tmp_path, safetensors(given, metadata={"format": "pt"}))
    assert [(each.name, each.dtype, each.shape) for each in found.found] == [
        ("a", "torch.int64", ()), ("b", "torch.float32", (3, 4)), ("none", "torch.float16", (0, 5)),
    ]  # fmt: skip
    assert [each.digest for each in found.found] == [
        hashlib.sha256(given[each.name][2]).digest() for each in found.found
    ]
    assert (found.left_out, found.named) == (0, ())


@pytest.mark.parametrize(
    ("content", "tells"),
    [(NUMBERS, True), (struct.pack("<12f", *[1.5] * 12), False), (bytes(48), False), (NUMBERS[:-4] + bytes(4), True)],
)
def test_a_tensor_of_one_value_tells_no_models_apart(tmp_path, content, tells):
    (found,) = read(tmp_path, safetensors({"a": ("F32", [12], content)})).found
    assert found.tells is tells


def test_nor_does_one_of_few_elements(tmp_path):
    (found,) = read(tmp_path, safetensors({"a": ("F32", [8], NUMBERS[:32])})).found
    assert not found.tells


def test_one_value_that_changes_far_behind_is_not_one_value(tmp_path):
    content = bytearray(4 * (1 << 20))
    content[-4:] = b"\0\0\x80\x3f"
    (found,) = read(tmp_path, safetensors({"a": ("F32", [1 << 20], bytes(content))})).found
    assert found.tells


LINE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (headed(b"{"), "header"),
        (headed(b"{} {}"), "header"),
        (headed(b'{"a": {}, "a": {}}'), "stands in it twice"),
        (headed({"a": []}), "a is no tensor"),
        (headed({"a": LINE | {"more": 1}}, bytes(8)), "a is no tensor"),
        (headed({"a": LINE | {"dtype": "F12"}}, bytes(8)), "F12"),
        (headed({"a": LINE | {"shape": [3]}}, bytes(12)), "as its shape says"),
        (headed({"a": LINE | {"shape": [-2]}}, bytes(8)), "no shape"),
        (headed({"a": LINE | {"shape": [1] * 65}}, bytes(8)), "no shape"),
        (headed({"a": LINE}, bytes(7)), "as its shape says"),
        (headed({"a": LINE, "b": LINE}, bytes(8)), "in the same bytes"),
        (headed({"a": LINE | {"shape": [1 << 62, 4], "data_offsets": [0, 1 << 70]}}, bytes(8)), "as its shape says"),
        (safetensors({"a": ("F32", [12], NUMBERS)}, cut=20), "longer than the file"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path, content, reason):
    with pytest.raises(NotTensors, match=reason):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content", [b"", b"{", headed(b"[]"), b"hello, world", b"\x80\x02}q\0.", struct.pack("<Q", 1 << 62) + b"{}"]
)
def test_any_other_file_is_none_of_these(tmp_path, content):
    assert read(tmp_path, content) is None


@given(st.dictionaries(st.text(max_size=9), st.binary(max_size=60), max_size=5))
def test_every_tensor_that_was_written_is_read(tmp_path_factory, contents):
    contents.pop("__metadata__", None)
    given_ = {name: ("U8", [len(content)], content) for name, content in contents.items()}
    found = read(tmp_path_factory.mktemp("one"), safetensors(given_))
    assert {each.name: each.digest for each in found.found} == {
        name: hashlib.sha256(content).digest() for name, content in contents.items()
    }
