"""How tensors are laid into pieces of memory of one size, so that any state fits into pieces that were used before."""

from __future__ import annotations

from typing import NamedTuple

ALIGNED = 16  # for every type


class Piece(NamedTuple):
    """`length` bytes of a tensor from `start` on, which lie at `at` in their chunk."""

    number: int
    start: int
    at: int
    length: int


def laid_out(sizes: list[int], chunk: int) -> list[list[Piece]]:
    """For each chunk of so many bytes the pieces in it; every tensor's come in order, and lie in consecutive chunks.

    `chunk` is a multiple of `ALIGNED`. Tensors of no bytes have no piece.
    """
    out: list[list[Piece]] = []
    at = chunk
    for number, size in enumerate(sizes):
        start = 0
        while start < size:
            at = -(-at // ALIGNED) * ALIGNED
            if at >= chunk:
                out.append([])
                at = 0
            length = min(size - start, chunk - at)
            out[-1].append(Piece(number, start, at, length))
            start, at = start + length, at + length
    return out
