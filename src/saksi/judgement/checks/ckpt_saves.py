"""What a run saved: which contents, and which of them was the last at each path.

Rules: contents are known by digest, or, of a file that nobody read, by which file it was in which state. A path that
two processes saved at one Step with different contents holds either, or parts of both: nothing certain.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from saksi.judgement.checks.ckpt_uses import SKEW_NS, Use, is_before

__all__ = ["MAX_SAVES", "Saves", "follows"]

MAX_SAVES: Final = 1 << 16
"""That are remembered of a run; one that saves every minute makes as many in six weeks."""
MAX_OF_ONE: Final = 8
"""Saves of one content, or at one path: the first ones and the last ones."""
MAX_LATEST: Final = 64


class Saves:
    """Every save that was heard of, by what was saved and where. `full` is whether some were not kept."""

    __slots__ = ("_by_key", "_contents", "_latest", "_paths", "full")

    def __init__(self) -> None:
        self.full = False
        self._by_key: dict[tuple[int, int, int], Use] = {}
        self._contents: dict[str, list[tuple[int, int, int]]] = {}
        self._paths: dict[str, list[tuple[int, int, int]]] = {}
        self._latest: deque[tuple[int, int, int]] = deque(maxlen=MAX_LATEST)

    def note(self, save: Use) -> None:
        """Takes a save in, or what has become known of one."""
        known = self._by_key.get(save.key)
        if known is None and len(self._by_key) >= MAX_SAVES:
            self.full = True
            return
        self._by_key[save.key] = save
        if known is None:
            self._latest.append(save.key)
            if save.path is not None:
                _append(self._paths.setdefault(save.path, []), save.key)
        if save.digest is not None:
            keys = self._contents.setdefault(save.digest, [])
            if save.key not in keys:
                _append(keys, save.key)

    def of_content(self, load: Use) -> list[Use]:
        """The saves of what was loaded, before it was."""
        saves = [self._by_key[key] for key in self._contents.get(load.digest or "", ())]
        return [each for each in saves if is_before(each, load, slack_ns=SKEW_NS)]

    def at_path(self, load: Use) -> Use | None:
        """The last save at the path that was loaded, before it was."""
        found: Use | None = None
        for key in self._paths.get(load.path or "", ()):
            save = self._by_key[key]
            if is_before(save, load) and (found is None or found.wall_ns <= save.wall_ns):
                found = save
        return found

    def is_followed(self, load: Use) -> bool:
        """Whether another process saved at its path just behind it, as far as that is known by now."""
        return any(follows(self._by_key[key], load) for key in self._paths.get(load.path or "", ()))

    def is_shared(self, save: Use) -> bool:
        """Whether another process saved something else at the same path, at the same Step."""
        others = [self._by_key[key] for key in self._paths.get(save.path or "", ())]
        return any(
            each.position == save.position and each.process != save.process and each.digest != save.digest
            for each in others
        )

    def newest(self, load: Use) -> list[Use]:
        """The last saves before a load, of files that are not much smaller."""
        saves = (self._by_key[key] for key in self._latest)
        return [each for each in saves if is_before(each, load) and 2 * (each.size or 0) >= (load.size or 0)]


def follows(save: Use, load: Use) -> bool:
    """Whether `save` is of another process, at the same path, and came just behind `load`: it was being made then."""
    is_other = save.path == load.path and save.process != load.process
    return is_other and 0 <= save.wall_ns - load.wall_ns <= SKEW_NS


def _append(keys: list[tuple[int, int, int]], key: tuple[int, int, int]) -> None:
    keys.append(key)
    if len(keys) > MAX_OF_ONE:
        del keys[1]  # the first one stays: it says since when
