"""Doors outside the environment's own folders: the dynamic loader's files, settings of NCCL, folders of kernels.

Folders of kernels are looked at as folders: what is in them changes with every compilation. The question is who may
put something there.

BUG: `/etc/ld.so.conf` and its cache, the system's own `openssl.cnf`, and libraries in the loader's folders are files of
the operating system, and are not here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.door_owners import DoorOwners
from saksi.edges.environment.search_path import SearchPath
from saksi.judgement.environment.doors import Acts, Door, Kind, Unread
from saksi.judgement.environment.startup_doors import shown

__all__ = ["MAX_PRELOAD", "SystemDoors"]

MAX_PRELOAD: Final = 65_536
_NCCL_PLUGINS: Final = re.compile(r"lib(?:nccl|rccl)-(?:net|tuner|profiler|env)\b.*\.so")
_NOT_IN_A_NAME: Final = re.compile(r'[\\/:*?"<>|]')


class SystemDoors:
    """Gathers doors; `doors` and `unread` are the result. `system` is `/`, but for tests."""

    def __init__(self, environment: Mapping[str, str], folder: Path, owners: DoorOwners, *, system: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._owners = owners
        self._system = system
        self.doors: list[Door] = []
        self.unread: list[Unread] = []

    def loader(self) -> None:
        """`/etc/ld.so.preload`, and each object that it names."""
        preload = self._system / "etc/ld.so.preload"
        if not os.path.lexists(preload):
            return
        found = self._owners.files.read(preload, MAX_PRELOAD)
        if found.reason is not None:
            self.unread.append(Unread(path=shown(str(preload)), reason=shown(found.reason)))
        text = os.fsdecode(found.content or b"")
        lines = "\n".join(each.partition("#")[0] for each in text.split("\n"))
        named = [each for each in re.split(r"[\s:]+", lines) if each]
        acts: Acts = "every_program" if named or found.content is None else "never"
        what = "the dynamic loader loads the objects that it names into every program"
        self._add("loader", preload.name, preload, acts, what, value=" ".join(named))
        for each in named:
            self._add("named", preload.name, Path(each), acts, "an object that is loaded into every program")

    def communication(self, home: Path | None) -> None:
        """NCCL's configuration files, and its plug-ins that LD_LIBRARY_PATH makes it find."""
        places = [self._system / "etc/nccl.conf"]
        if "NCCL_CONF_FILE" not in self._environment and home is not None:
            places.append(home / ".nccl.conf")
        for place in places:
            if os.path.lexists(place):
                what = "NCCL reads settings from it, plug-ins included"
                self._add("configuration", place.name, place, "several_processes", what)
        value = self._environment.get("LD_LIBRARY_PATH", "")
        for part in dict.fromkeys(re.split("[:;]", value)) if value else ():
            folder = self._folder / part
            try:
                names = sorted(each for each in os.listdir(folder) if _NCCL_PLUGINS.fullmatch(each))  # noqa: PTH208 - names
            except (OSError, ValueError):
                continue
            for name in names:
                what = "a plug-in that NCCL loads by its name"
                self._add("named", "LD_LIBRARY_PATH", folder / name, "several_processes", what)

    def kernels(self, path: SearchPath, home: Path | None, *, user: str) -> None:
        """The folders of kernels that are used where no variable names others; none where there is no torch."""
        installed = {each for each in ("torch", "triton") for entry in path.all() if (entry / each).is_dir()}
        set_ = self._environment
        temporary = self._first_of(("TMPDIR", "TEMP", "TMP"), str(self._system / "tmp"))
        name = self._first_of(("LOGNAME", "USER", "LNAME", "USERNAME"), user)
        if "torch" in installed and "TORCHINDUCTOR_CACHE_DIR" not in set_:
            inductor = self._folder / temporary / f"torchinductor_{_NOT_IN_A_NAME.sub('_', name)}"
            self._kernels("Inductor", inductor, "Inductor loads compiled kernels that it finds here")
        if home is None:
            return
        if "triton" in installed and not set_.get("TRITON_CACHE_DIR"):
            below = Path(set_["TRITON_HOME"]) if set_.get("TRITON_HOME") else home
            self._kernels("Triton", below / ".triton/cache", "Triton loads compiled kernels that it finds here")
        if "torch" in installed:
            cache = Path(set_["XDG_CACHE_HOME"]) if set_.get("XDG_CACHE_HOME") else home / ".cache"
            if "TORCH_EXTENSIONS_DIR" not in set_:
                what = "torch loads extensions that were built here"
                self._kernels("torch extensions", cache / "torch_extensions", what)
            if "PYTORCH_KERNEL_CACHE_PATH" not in set_:
                self._kernels("torch kernels", cache / "torch/kernels", "torch loads kernels that it finds here")
            if "CUDA_CACHE_PATH" not in set_ and (home / ".nv/ComputeCache").exists():
                what = "the CUDA driver loads kernels that it finds here"
                self._kernels("CUDA", home / ".nv/ComputeCache", what)

    def _first_of(self, names: tuple[str, ...], otherwise: str) -> str:
        return next((self._environment[each] for each in names if self._environment.get(each)), otherwise)

    def _kernels(self, name: str, folder: Path, what: str) -> None:
        self._add("kernel_cache", name, folder, "compiled_models", what)

    def _add(self, kind: Kind, name: str, path: Path, acts: Acts, what: str, *, value: str | None = None) -> None:
        facts, listed = self._owners.look(path)
        if facts.form == "missing":
            what += "; nothing is there yet"
        owner = listed if facts.form == "file" else None
        self.doors.append(
            Door(
                kind=kind,
                name=shown(name, 512),
                acts=acts,
                what=what,
                path=shown(str(path)),
                value=None if value is None else shown(value),
                file=facts,
                owner=owner,
            )
        )
