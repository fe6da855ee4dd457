"""An inventory in parts that fit a packet, each with the files that it names by their number in a list."""

from __future__ import annotations

from typing import Any

from .channel import MAX_FRAME_BYTES

MAX_PART_BYTES = MAX_FRAME_BYTES - 8192  # beside the names of files and the flags
MAX_FILES = 256  # that one part names
OWNER, HOMES, PIECES, NOTES = 2, 3, 4, 5
SPELLED = 2  # bytes for a character of a path, where it is listed: names that are not ASCII take more


def parts_of(changed: list[tuple[list[Any], int]]) -> list[tuple[list[str], list[Any]]]:
    """The places, each with its length, in parts."""
    parts: list[tuple[list[str], list[Any]]] = [([], [])]
    numbers: dict[str, int] = {}
    room = MAX_PART_BYTES
    for said, length in changed:
        named = [said[OWNER], *(file for file, _ in said[HOMES]), *(one.file for one in said[PIECES])]
        named = [file for file in named if file is not None]
        size = length - sum(len(file) for file in named) + sum(SPELLED * len(one) for one in {*named} - numbers.keys())
        if parts[-1][1] and (size > room or len(numbers) + len(named) > MAX_FILES):
            parts.append(([], []))
            numbers.clear()
            room = MAX_PART_BYTES
        files, subjects = parts[-1]
        for file in named:
            if file not in numbers:
                numbers[file] = len(files)
                files.append(file)
        subjects.append(_numbered(said, numbers))
        room -= max(size, 0)
    return parts


def _numbered(said: list[Any], numbers: dict[str, int]) -> list[Any]:
    name, place, owner, homes, found, notes = said
    return [
        name,
        place,
        numbers.get(owner),
        [[numbers[file], within] for file, within in homes],
        [[numbers.get(one.file), *one[1:]] for one in found],
        notes,
    ]
