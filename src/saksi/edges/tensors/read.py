"""The tensors in a file, if it is of a kind that is read here."""

from __future__ import annotations

import io
from typing import Final

from saksi.edges.tensors.safetensors import looks_like_safetensors, safetensors_in
from saksi.edges.tensors.torch_zip import torch_zip_in
from saksi.words.tensors import Tensors

__all__ = ["tensors_in"]

_HEAD: Final = 9


def tensors_in(file: io.FileIO) -> Tensors | None:
    """Its tensors; `None` for any other file. Raises `NotTensors` for one that begins as one of these, `OSError`."""
    file.seek(0)
    head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return torch_zip_in(file)
    if looks_like_safetensors(head):
        return safetensors_in(file)
    return None
