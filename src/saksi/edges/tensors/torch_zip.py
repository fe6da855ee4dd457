"""Tensors of a file that `torch.save` wrote: a zip file whose `data.pkl` names them, the bytes beside it.

Rules: entries are stored, not compressed, as torch writes them; only tensors that lie in C order are read. TorchScript
and the older formats are not.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from typing import Final

from saksi.edges.tensors.form import SIZES, NotTensors, Slot, read_tensor
from saksi.edges.tensors.torch_pickle import Pickled, tensors_of_pickle
from saksi.words.tensors import FileTensor, Tensors

__all__ = ["torch_zip_in"]

MAX_PICKLE: Final = 64 << 20
MAX_ENTRIES: Final = 200_000
_PICKLE: Final = "/data.pkl"
_TIMES: Final = 4
"""So many times what there is may be read: tensors can share bytes."""


def torch_zip_in(file: io.FileIO) -> Tensors:
    """Every tensor that is found, in the order of names. Raises `NotTensors`, `OSError`."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _read(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise NotTensors(f"its zip file cannot be read: {type(error).__name__}") from None


def _read(archive: zipfile.ZipFile) -> Tensors:
    entries = {each.filename: each for each in archive.infolist()}
    if len({name.lower() for name in entries}) != len(archive.infolist()):  # torch looks names up in any case
        raise NotTensors("two files in it have one name")
    pickles = [name for name in entries if name.endswith(_PICKLE) and name.count("/") == 1]
    if len(pickles) != 1 or len(entries) > MAX_ENTRIES:
        raise NotTensors("it is no file of torch.save: there is not one data.pkl in it")
    root = pickles[0].removesuffix(_PICKLE)
    order = f"{root}/byteorder"
    if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
        raise NotTensors("something in it is compressed: torch.save compresses nothing")
    if order in entries and archive.read(order)[:7] != b"little":
        raise NotTensors("its numbers are not in this byte order")
    with archive.open(pickles[0]) as member:
        content = member.read(MAX_PICKLE + 1)
    if len(content) > MAX_PICKLE:
        raise NotTensors("its pickle is larger than is read")
    said, names = tensors_of_pickle(content)
    found: list[FileTensor] = []
    read: dict[Pickled, FileTensor] = {}
    room = _TIMES * sum(each.file_size for each in archive.infolist())
    for name, tensor in said:
        if not _lies_in_order(tensor.shape, tensor.strides):
            continue
        if tensor not in read:
            room -= SIZES[tensor.dtype] * math.prod(tensor.shape)
            if room < 0:
                raise NotTensors("its tensors lie over one another too often")
            read[tensor] = _of(archive, entries.get(f"{root}/data/{tensor.storage}"), name, tensor)
        found.append(read[tensor]._replace(name=name))
    return Tensors(tuple(sorted(found)), left_out=len(said) - len(found), is_pickle=True, named=names)


def _of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo | None, name: str, tensor: Pickled) -> FileTensor:
    slot = Slot(name, tensor.dtype, tensor.shape, tensor.first * SIZES[tensor.dtype])
    if entry is None or slot.start + slot.length > entry.file_size:
        raise NotTensors(f"the bytes of {name[:80]} are not in it")
    with archive.open(entry) as source:
        source.seek(slot.start)
        return read_tensor(source, slot)


def _lies_in_order(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements follow one another; of dimensions of one element the stride says nothing."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return math.prod(shape) == 0
        expected *= size
    return True
