"""Tiny wheels, made byte by byte so that each can be wrong in its own way, and trees of folders."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from saksi.judgement.environment.tree import Root, Tree, TreeFile

__all__ = ["make_wheel", "row_of", "tree_of"]

EPOCH = (1980, 1, 1, 0, 0, 0)


def row_of(path: str, content: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).rstrip(b"=").decode()
    return f"{path},{algorithm}={digest},{len(content)}\n"


def make_wheel(
    folder: Path,
    name: str = "demo",
    version: str = "1.0",
    *,
    tags: str = "py3-none-any",
    pure: bool = True,
    files: Mapping[str, bytes] | None = None,
    data: Mapping[str, bytes] | None = None,
    entry_points: str | None = None,
    record: str | None = None,
    more_record: str = "",
    wheel_text: str | None = None,
    raw: tuple[tuple[zipfile.ZipInfo, bytes], ...] = (),
    leave_out: tuple[str, ...] = (),
) -> Path:
    """The wheel's path. `record` replaces RECORD, `more_record` is added to it, `raw` members are not in it."""
    info = f"{name}-{version}.dist-info"
    members = dict(files if files is not None else {f"{name}/__init__.py": b"value = 1\n"})
    members |= {f"{name}-{version}.data/{path}": content for path, content in (data or {}).items()}
    members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    said = f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: {str(pure).lower()}\nTag: {tags}\n"
    members[f"{info}/WHEEL"] = (said if wheel_text is None else wheel_text).encode()
    if entry_points is not None:
        members[f"{info}/entry_points.txt"] = entry_points.encode()
    rows = "".join(row_of(path, content) for path, content in members.items())
    members[f"{info}/RECORD"] = (f"{rows}{more_record}{info}/RECORD,,\n" if record is None else record).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tags}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            if member not in leave_out:
                described = zipfile.ZipInfo(member, EPOCH)
                described.compress_type = zipfile.ZIP_DEFLATED
                described.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(described, content)
        for described, content in raw:
            archive.writestr(described, content)
    return path


def tree_of(folders: Mapping[str, Path]) -> Tree:
    """What lies in each folder, by label: a small stand-in for the real reader of trees."""
    roots = []
    for label in sorted(folders):
        found = []
        for at, _, names in os.walk(folders[label]):
            for name in names:
                path = Path(at) / name
                content = path.read_bytes()
                found.append(
                    TreeFile(
                        path=str(path.relative_to(folders[label])),
                        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
                        size=len(content),
                    )
                )
        roots.append(Root(label=label, files=tuple(sorted(found, key=lambda each: each.path))))
    return Tree(roots=tuple(roots))
