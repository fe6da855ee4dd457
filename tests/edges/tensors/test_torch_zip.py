"""Tensors of torch's files: read without torch, by what the pickle says; nothing that it names is called."""

from __future__ import annotations

import hashlib
import struct
import zipfile

import pytest

from edges.tensors.files import Call, Global, Stored, pickled, tensor, torch_zip
from edges.tensors.test_safetensors import read
from saksi.edges.tensors import torch_pickle
from saksi.edges.tensors import torch_zip as module
from saksi.edges.tensors.form import NotTensors

NUMBERS = struct.pack("<12f", *range(12))
MATRIX = tensor("FloatStorage", "0", (3, 4), (4, 1))
REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
ORDERED = Call(Global("collections", "OrderedDict"))


def digest_of(content):
    return hashlib.sha256(content).digest()


def test_tensors_are_found_under_their_path_wherever_they_are_nested(tmp_path):
    value = {"model": {"w": MATRIX, "b": tensor("HalfStorage", "1", (2,), (1,))}, "more": [1, ("x", MATRIX)], 3: None}
    found = read(tmp_path, torch_zip(value, {"0": NUMBERS, "1": b"abcd"}))
    assert [(each.name, each.dtype, each.shape, each.digest) for each in found.found] == [
        ("model.b", "torch.float16", (2,), digest_of(b"abcd")),
        ("model.w", "torch.float32", (3, 4), digest_of(NUMBERS)),
        ("more.1.1", "torch.float32", (3, 4), digest_of(NUMBERS)),
    ]
    assert (found.left_out, found.named) == (0, ())


def test_a_part_of_a_storage_is_read_from_where_it_begins(tmp_path):
    (found,) = read(
        tmp_path, torch_zip({"a": tensor("FloatStorage", "0", (2, 3), (3, 1), first=4)}, {"0": NUMBERS})
    ).found
    assert found.digest == digest_of(NUMBERS[16:40])


def test_what_does_not_lie_in_order_is_left_out_and_counted(tmp_path):
    value = {"t": tensor("FloatStorage", "0", (4, 3), (1, 4)), "ones": tensor("FloatStorage", "0", (12, 1), (1, 77))}
    found = read(tmp_path, torch_zip(value, {"0": NUMBERS}))
    assert ([each.name for each in found.found], found.left_out) == (["ones"], 1)


def test_ordered_dictionaries_and_parameters_are_known(tmp_path):
    parameter = Call(Global("torch._utils", "_rebuild_parameter"), MATRIX, True, {})
    found = read(tmp_path, torch_zip({"p": parameter, "empty": ORDERED}, {"0": NUMBERS}))
    assert [each.name for each in found.found] == ["p"]
    assert found.named == ()


def test_what_else_a_pickle_names_is_told_and_not_called(tmp_path):
    value = {
        "a": MATRIX,
        "b": Call(Global("os", "system"), f"touch {tmp_path}/called"),
        "c": Global("own", "Class\x1b"),
    }
    found = read(tmp_path, torch_zip(value, {"0": NUMBERS}))
    assert [each.name for each in found.found] == ["a"]
    assert found.named == ("os.system", "own.Class?")
    assert not (tmp_path / "called").exists()


NOT_READ = {
    "two pickles": torch_zip({}, {}, more=[("other/data.pkl", b"")]),
    "none": torch_zip({}, {}, root="a/b"),
    "other byte order": torch_zip({}, {}, byteorder=b"big"),
    "a storage is not there": torch_zip({"a": MATRIX}, {}),
    "too few bytes": torch_zip({"a": MATRIX}, {"0": NUMBERS[:-1]}),
    "compressed": torch_zip({"a": MATRIX}, {"0": NUMBERS}, compression=zipfile.ZIP_DEFLATED),
    "shape and strides": torch_zip({"a": tensor("FloatStorage", "0", (3,), (4, 1))}, {"0": NUMBERS}),
    "a negative size": torch_zip({"a": tensor("FloatStorage", "0", (-3,), (1,))}, {"0": NUMBERS}),
    "a size that is none": torch_zip({"a": tensor("FloatStorage", "0", ("3",), (1,))}, {"0": NUMBERS}),
    "a huge size": torch_zip({"a": tensor("FloatStorage", "0", (1 << 61, 1 << 61), (1 << 61, 1))}, {"0": NUMBERS}),
    "no pickle": torch_zip(b"hello", {}),
    "an empty pickle": torch_zip(b"", {}),
    "no end": torch_zip(pickled({"a": 1})[:-1], {}),
    "a stack that is empty": torch_zip(b"\x80\x02s.", {}),
    "a memo that is not there": torch_zip(b"\x80\x02h\x07.", {}),
    "a memo far away": torch_zip(b"\x80\x02}r\xff\xff\xff\xff.", {}),
    "an opcode that is not written": torch_zip(b"\x80\x02P1\n.", {}),
    "something else that persists": torch_zip(b"\x80\x02K\x01Q.", {}),
    "cut off": torch_zip({"a": MATRIX}, {"0": NUMBERS})[:-30],
}


@pytest.mark.parametrize("name", [each for each in NOT_READ if each != "a memo far away"])
def test_what_cannot_be_is_refused(tmp_path, name):
    with pytest.raises(NotTensors):
        read(tmp_path, NOT_READ[name])


def test_a_memo_is_no_table_of_its_largest_number(tmp_path):
    assert read(tmp_path, NOT_READ["a memo far away"]).found == ()


def test_a_list_within_itself_ends_as_what_nests_too_deep(tmp_path):
    inner: list = []
    inner.append(inner)
    with pytest.raises(NotTensors, match="nests deeper"):
        read(tmp_path, torch_zip({"a": inner}, {}))


MATRIX_BYTES = pickled(MATRIX)[2:-1]
FOREIGN_WAYS = {
    "a dictionary with arguments": torch_zip(
        Call(Global("collections", "OrderedDict"), [("w", MATRIX)]), {"0": NUMBERS}
    ),
    "a key that is no simple value": torch_zip({(1, 2): MATRIX}, {"0": NUMBERS}),
    "an item of a list that is set anew": torch_zip(b"\x80\x02]K\x01aK\x00" + MATRIX_BYTES + b"s.", {"0": NUMBERS}),
    "something appended to a dictionary": torch_zip(b"\x80\x02}" + MATRIX_BYTES + b"a.", {"0": NUMBERS}),
    "a tensor that is built anew": torch_zip(pickled(MATRIX)[:-1] + b"(K\x01tb.", {"0": NUMBERS}),
    "a set with more than simple values": torch_zip(b"\x80\x04\x8f(" + MATRIX_BYTES + b"\x90.", {"0": NUMBERS}),
    "more than is read of a tensor": torch_zip(
        Call(
            Global("torch._utils", "_rebuild_tensor_v2"),
            Stored("FloatStorage", "0", 1),
            0,
            (2,),
            (1,),
            False,
            {},
            {"neg": True},
        ),
        {"0": NUMBERS},
    ),
    "hooks": torch_zip(
        Call(
            Global("torch._utils", "_rebuild_tensor_v2"), Stored("FloatStorage", "0", 1), 0, (2,), (1,), False, {1: 2}
        ),
        {"0": NUMBERS},
    ),
    "a storage that is built anew": torch_zip(b"\x80\x02" + pickled(Stored("FloatStorage", "0", 1))[2:-1] + b"}b.", {}),
    "a function that is built anew": torch_zip(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", {}),
    "a huge number as a key": torch_zip({1 << 70: 1}, {}),
    "two files of one name": torch_zip({"a": MATRIX}, {"0": NUMBERS}, more=[("archive/DATA/0", NUMBERS)]),
}


@pytest.mark.parametrize("way", FOREIGN_WAYS)
def test_what_could_bring_a_tensor_past_the_reading_is_refused(tmp_path, way):
    with pytest.raises(NotTensors):
        read(tmp_path, FOREIGN_WAYS[way])


def test_a_dictionary_that_is_made_otherwise_holds_its_tensors_all_the_same(tmp_path):
    made = b"\x80\x02ccollections\nOrderedDict\n)\x81U\x01w" + MATRIX_BYTES + b"s."
    (found,) = read(tmp_path, torch_zip(made, {"0": NUMBERS})).found
    assert found.name == "w"


def test_bytes_that_many_tensors_share_are_read_a_few_times(tmp_path):
    shared = [MATRIX] * 500
    assert len(read(tmp_path, torch_zip({"a": shared}, {"0": NUMBERS})).found) == 500
    views = [tensor("FloatStorage", "0", (12 - number % 3, 1), (1, 1)) for number in range(3)]
    assert len(read(tmp_path, torch_zip({"a": views}, {"0": NUMBERS})).found) == 3
    many = [tensor("ByteStorage", "0", (48_000 - number,), (1,)) for number in range(6)]
    with pytest.raises(NotTensors, match="over one another"):
        read(tmp_path, torch_zip({"a": many}, {"0": bytes(48_000)}))


def test_a_name_that_is_no_text_is_told_by_its_numbers(tmp_path):
    content = pickled({"nn": MATRIX}).replace(b"X\x02\0\0\0nn", b"X\x03\0\0\0\xed\xa0\x80")
    (found,) = read(tmp_path, torch_zip(content, {"0": NUMBERS})).found
    assert found.name == "\\ud800"


def test_a_parameter_with_a_state_of_its_own_is_named(tmp_path):
    call = Call(Global("torch._utils", "_rebuild_parameter_with_state"), MATRIX, True, {}, ({}, {"data": MATRIX}))
    found = read(tmp_path, torch_zip({"a": call}, {"0": NUMBERS}))
    assert found.named == ("torch._utils._rebuild_parameter_with_state",)


def test_lists_that_double_end_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_pickle, "MAX_VISITED", 1_000)
    value = [0]
    for _ in range(20):
        value = [value, value]
    with pytest.raises(NotTensors, match="more in it than is read"):
        read(tmp_path, torch_zip({"a": value}, {}))


@pytest.mark.parametrize("name", ["MAX_OPCODES", "MAX_TENSORS"])
def test_limits_hold(tmp_path, monkeypatch, name):
    monkeypatch.setattr(torch_pickle, name, 1)
    with pytest.raises(NotTensors):
        read(tmp_path, torch_zip({"a": MATRIX, "b": MATRIX}, {"0": NUMBERS}))


def test_a_pickle_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_PICKLE", 10)
    with pytest.raises(NotTensors, match="larger than is read"):
        read(tmp_path, torch_zip({"a": MATRIX}, {"0": NUMBERS}))


def test_a_storage_of_a_type_that_is_not_known_gives_no_tensor(tmp_path):
    value = {"a": Call(REBUILD, Stored("QInt8Storage", "0", 1), 0, (2,), (1,), 0, {})}
    assert read(tmp_path, torch_zip(value, {"0": b"ab"})).found == ()
