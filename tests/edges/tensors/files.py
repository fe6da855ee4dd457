"""Files with tensors in them, written by hand: nothing here needs torch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile


def safetensors(tensors, *, metadata=None, cut=None):
    """`tensors`: name to type, shape and bytes."""
    header, at = {} if metadata is None else {"__metadata__": metadata}, 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]}
        at += len(content)
    raw = json.dumps(header).encode()
    whole = struct.pack("<Q", len(raw)) + raw + b"".join(content for _, _, content in tensors.values())
    return whole if cut is None else whole[:cut]


def headed(header, content=b""):
    """A file with this very header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + content


class Global:
    """A class or function in a pickle, by name."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __reduce__(self):
        raise NotImplementedError


class Call:
    """What a pickle makes by calling something that it names."""

    def __init__(self, called, *given):
        self.called, self.given = called, given


class Stored:
    """A storage in a torch file."""

    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class _Writer(pickle._Pickler):
    def save(self, value, save_persistent_id=True):  # noqa: FBT002 - as overridden
        if isinstance(value, Global):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.called)
            self.save(value.given)
            self.write(b"R")
        elif isinstance(value, Stored):
            self.save(("storage", Global("torch", value.kind), value.key, "cpu", value.count))
            self.write(b"Q")
        else:
            super().save(value, save_persistent_id)


def tensor(kind, key, shape, strides, *, first=0):
    """A tensor as torch pickles it."""
    stored = Stored(kind, key, 1)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), stored, first, tuple(shape), tuple(strides), False, {})


def pickled(value):
    """The bytes of a pickle of protocol 2."""
    out = io.BytesIO()
    _Writer(out, 2).dump(value)
    return out.getvalue()


def torch_zip(value, storages, *, root="archive", byteorder=b"little", more=(), compression=zipfile.ZIP_STORED):
    """A file as `torch.save` writes it; `value` is an object, or the pickle's bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", value if isinstance(value, bytes) else pickled(value))
        archive.writestr(f"{root}/byteorder", byteorder)
        for key, content in storages.items():
            archive.writestr(f"{root}/data/{key}", content)
        for name, content in more:
            archive.writestr(name, content)
    return out.getvalue()
