"""Waits for torch without importing it: attaches once `torch` has been executed, however that came about.

Rules: acts once in a process; a look-up that is never executed (`importlib.util.find_spec("torch")`) changes nothing;
a failing import of torch fails as it would, and the next attempt is waited for again; the loader stays the loader that
Python found, so that `inspect`, `pickle` and `importlib.resources` see what they are used to.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec
from typing import Any, Callable, Optional

_armed = False


class Finder:
    """First on sys.meta_path while something is awaited; finds nothing by itself."""

    def __init__(self) -> None:
        self.awaited: dict[str, Callable[[], None]] = {}
        self._busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """The spec the other finders give for an awaited module, told to report when executed; else None."""
        if name not in self.awaited or self._busy:
            return None
        self._busy = True
        try:
            for finder in list(sys.meta_path):
                look = None if finder is self else getattr(finder, "find_spec", None)
                spec = None if look is None else look(name, path, target)
                if spec is not None:
                    self._report_when_executed(spec)
                    return spec  # type: ignore[no-any-return]
        finally:
            self._busy = False
        return None

    def _report_when_executed(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: Any) -> None:
            with suppress(AttributeError):
                del loader.exec_module  # type: ignore[union-attr]
            execute(module)
            self.arrived(spec.name)

        try:
            # On the instance only: importlib makes one loader for each spec, so no other import is touched.
            loader.exec_module = exec_module  # type: ignore[union-attr,method-assign]
        except AttributeError:
            return  # a loader without instance attributes (frozen, built in): torch never comes that way

    def arrived(self, name: str) -> None:
        """An awaited module is complete: act once, and leave sys.meta_path when nothing else is awaited."""
        act = self.awaited.pop(name, None)
        if not self.awaited and self in sys.meta_path:
            sys.meta_path.remove(self)
        if act is not None:
            with suppress(Exception):
                act()

    def wait_for(self, name: str, act: Callable[[], None]) -> None:
        """`act` is called once, after module `name` has been executed; at once if it has been already."""
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if module is not None and not getattr(spec, "_initializing", False):
            act()
            return
        self.awaited[name] = act
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]


FINDER = Finder()


def arm() -> None:
    """Attach when torch is imported, or now if it is already there."""
    global _armed
    if _armed:
        return
    _armed = True
    FINDER.wait_for("torch", _attach)


def _attach() -> None:
    from . import attach

    attach.attach()
