"""What a connection has heard of each place, and for how many more there is room.

Rules: each kind of place has room of its own, so that a program of many functions cannot silence what is said of hooks,
modes and kernels; a place that is gone makes room again.
"""

from __future__ import annotations

Key = tuple[str, str]

ROOM = {"code": 2304, "objects": 896, "constants": 256, "operators": 128, "watchers": 512}
"""Together as many as readers keep."""
_KIND = {
    "module": "code",
    "class": "code",
    "instance": "objects",
    "attribute": "objects",
    "constant": "constants",
    "operator": "operators",
}


class Heard:
    """The words of each place, and when it was last met."""

    def __init__(self) -> None:
        self._words: dict[Key, str] = {}
        self._met: dict[Key, int] = {}
        self._count = dict.fromkeys(ROOM, 0)

    def has_room(self, key: Key) -> bool:
        """Whether something can be said of a place: it has been met before, or there is room for its kind."""
        return key in self._met or self._count[_kind(key)] < ROOM[_kind(key)]

    def meet(self, key: Key, number: int) -> None:
        """A place for which there is room, met in the inventory of that number."""
        if key not in self._met:
            self._count[_kind(key)] += 1
        self._met[key] = number

    def was_said(self, key: Key) -> bool:
        """Whether anything has been said of a place."""
        return key in self._words

    def said_of(self, kind: str) -> list[str]:
        """The names of all places of a kind of which something has been said."""
        return [name for place, name in list(self._words) if place == kind]

    def is_news(self, key: Key, words: str) -> bool:
        """Whether a place that was met has not been said in these words; from now on it has."""
        if self._words.get(key) == words:
            return False
        self._words[key] = words
        return True

    def gone_since(self, number: int) -> list[Key]:
        """Let go of the places that no inventory has met since that one: these."""
        gone = [key for key, met in list(self._met.items()) if met < number]
        for key in gone:
            del self._met[key]
            self._words.pop(key, None)
            self._count[_kind(key)] -= 1
        return gone

    def forget(self) -> None:
        """Another connection: it has heard nothing."""
        self._words.clear()
        self._met.clear()
        self._count = dict.fromkeys(ROOM, 0)


def _kind(key: Key) -> str:
    return _KIND.get(key[0], "watchers")
