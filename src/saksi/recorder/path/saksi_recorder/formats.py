"""Model checkpoints in other forms: safetensors, and the folders of `torch.distributed.checkpoint`.

Patched, because there is no hook, and only once somebody has loaded them: `save_file`, `load_file` and `load_model` of
`safetensors.torch` (`save_model` calls the first), `save` and `load` of `torch.distributed.checkpoint` (`async_save`
calls the first). Tensors taken one by one from `safetensors.safe_open` are not seen.

The bytes are written past Python: the agent hashes the files from outside, as it does for a path given to `torch.save`.
"""

# ruff: noqa: PTH112, PTH118, PTH119, PTH208  (plain os: light, and a folder may be named by a string)

from __future__ import annotations

import functools
import os
import threading
from typing import Any, Callable, Optional

import torch

from . import files, holding, seams, session, state
from .guard import guarded

MAX_FILES = 256
SAFETENSORS = "safetensors.torch"
DISTRIBUTED = "torch.distributed.checkpoint"

_local = threading.local()
_replaced: list[tuple[Any, str, Any]] = []


def install_safetensors() -> None:
    """Put the wrappers in place, once `safetensors.torch` has been loaded."""
    module = session.loaded(SAFETENSORS)
    _replace([module], "save_file", saved_file)
    _replace([module], "load_file", loaded_file, unread_file)
    _replace([module], "load_model", loaded_model, unread_model)


def install_distributed() -> None:
    """Put the wrappers in place, once `torch.distributed.checkpoint` has been loaded."""
    home = session.loaded(DISTRIBUTED)
    for name, module, tell in (("save", "saver", saved_folder), ("load", "loader", loaded_folder)):
        _replace([home, session.loaded(DISTRIBUTED + ".state_dict_" + module)], name, tell)


def restore() -> None:
    """Put the originals back."""
    while _replaced:
        module, name, original = _replaced.pop()
        setattr(module, name, original)


def _replace(
    modules: list[Any], name: str, tell: Callable[..., None], tell_failed: Optional[Callable[..., None]] = None
) -> None:
    original = getattr(modules[0], name, None)
    if original is None:
        return
    told = _told(original, tell, tell_failed)
    for module in modules:
        if getattr(module, name, None) is original:
            _replaced.append((module, name, original))
            setattr(module, name, told)


def _told(original: Any, tell: Callable[..., None], tell_failed: Optional[Callable[..., None]]) -> Any:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return original(*args, **kwargs)
        outermost = not getattr(_local, "inside", False)
        _local.inside, _local.read = True, False
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            if outermost:
                _tell_failure(error, tell, tell_failed, args, kwargs)
            raise
        finally:
            _local.inside = not outermost
        _local.read = True
        if outermost:  # one of these may call another: one file is one record
            tell(args, kwargs)
        return result

    return call


def _tell_failure(error: BaseException, tell: Any, tell_failed: Any, args: Any, kwargs: Any) -> None:
    """What raised: a save, or a load, which may have put the tensors in their places before (`load_model`)."""
    if tell in (saved_file, saved_folder):
        files.unsaved()
    elif tell_failed is not None and isinstance(error, Exception):
        (tell if _local.read else tell_failed)(args, kwargs)


@guarded("ckpt")
def saved_file(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`save_file(tensors, filename)` has returned."""
    holds = holding.of(args[0] if args else kwargs.get("tensors"))
    _saved([args[1] if len(args) > 1 else kwargs.get("filename")], holds)


@guarded("ckpt")
def loaded_file(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`load_file(filename)` has returned."""
    _loaded([args[0] if args else kwargs.get("filename")])


@guarded("ckpt")
def loaded_model(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`load_model(model, filename)` has returned."""
    _loaded([args[1] if len(args) > 1 else kwargs.get("filename")])


def unread_file(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`load_file(filename)` has raised."""
    files.unread(args[0] if args else kwargs.get("filename"))


def unread_model(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`load_model(model, filename)` has raised."""
    files.unread(args[1] if len(args) > 1 else kwargs.get("filename"))


@guarded("ckpt")
def saved_folder(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`dcp.save` has returned: the files that this rank wrote."""
    rank, _ = session.world()
    holds = holding.of(args[0] if args else kwargs.get("state_dict"))
    _saved([path for path in _in_folder(kwargs, "storage_writer") if _is_of_rank(os.path.basename(path), rank)], holds)


@guarded("ckpt")
def loaded_folder(_args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`dcp.load` has returned: each rank says its share of the files, so that all are said once."""
    rank, size = session.world()
    _loaded(_in_folder(kwargs, "storage_reader")[rank % max(1, size) :: max(1, size)])


def _in_folder(kwargs: dict[str, Any], storage: str) -> list[str]:
    folder = kwargs.get("checkpoint_id") or getattr(kwargs.get(storage), "path", None)
    if not isinstance(folder, (str, os.PathLike)) or not os.path.isdir(folder):
        session.uncovered("distributed model checkpoints", "they are kept in a storage that is no folder")
        return []
    names = sorted(name for name in os.listdir(folder) if name == ".metadata" or name.endswith(".distcp"))
    if len(names) > MAX_FILES:
        session.uncovered("distributed model checkpoints", "more than %d files in one of them" % MAX_FILES)
    return [os.path.join(os.fspath(folder), name) for name in names[:MAX_FILES]]


def _is_of_rank(name: str, rank: int) -> bool:
    return name.startswith("__%d_" % rank) or (name == ".metadata" and rank == 0)


def _saved(paths: list[Any], holds: Optional[dict[str, int]]) -> None:
    session.wake()
    size = sum(files.say_file("saved", path, holds) for path in paths)
    if size:
        state.at_ckpt(size)


def _loaded(paths: list[Any]) -> None:
    if not files.is_in_a_worker():
        seams.loaded(sum(files.say_file("loaded", path) for path in paths))
