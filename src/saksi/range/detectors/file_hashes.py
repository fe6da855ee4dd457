"""Plain file hashing, as AIDE does it: a tree of digests taken when the files were approved, compared at the launch.

It is given the project and the folder of shared packages of a case, not the whole environment: hashing that as well
would find the same of these cases, for half a minute each.
"""

from __future__ import annotations

from typing import ClassVar

from saksi.range.detectors.protocol import Alarm, Seen

__all__ = ["FileHashes"]


class FileHashes:
    """Every file that is another, new or gone."""

    name: ClassVar[str] = "file hashes"
    names_objects: ClassVar[bool] = False

    def judge(self, seen: Seen) -> tuple[Alarm, ...]:
        """See `Detector.judge`."""
        paths = sorted(seen.approved.keys() | seen.launched.keys())
        return tuple(
            Alarm(code="file", text=path) for path in paths if seen.approved.get(path) != seen.launched.get(path)
        )
