"""Tensors of a file, as they are compared with what a record holds."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FileTensor", "Tensors"]


class FileTensor(NamedTuple):
    """A tensor: `dtype` as torch spells it, SHA-256 of its bytes in C order, and whether it tells models apart."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: bytes
    tells: bool


class Tensors(NamedTuple):
    """The tensors of a file; `left_out` of those that it has are not read, since they do not lie in C order.

    `is_pickle`: a pickle says what they are, and so can make something else of them as it is loaded. `named` are
    functions and classes that it names, beyond those that put tensors together.
    """

    found: tuple[FileTensor, ...]
    left_out: int = 0
    is_pickle: bool = False
    named: tuple[str, ...] = ()
