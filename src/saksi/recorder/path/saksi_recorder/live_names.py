"""What code looks up besides the functions of whole modules: single functions, literals, and modules by their names.

Rules: only what somebody else has loaded, and nothing is asked; what stands behind the recorder's own wrappers counts.
"""

from __future__ import annotations

import sys
import types
from typing import Any, Iterator

from . import bare, pieces, session
from .code_digest import is_literal
from .live_classes import WHOLE, classes_in_use, file_of, home_of, modules_of
from .live_subjects import MAX_NAME, Subject
from .pieces import MAX_LINES
from .plain import text

MODULES = ", its modules"
NOT_LOADED = " (not the one that is loaded)"

PARTS = {
    "torch.nn.utils": ("clip_grad_norm_", "clip_grad_value_"),
    "torch.serialization": ("save", "load", "_save", "_load", "_legacy_save", "_legacy_load"),
    "random": ("seed", "random", "shuffle", "sample", "randint", "randrange", "uniform", "choice"),
    "numpy.random": ("seed", "default_rng", "permutation", "shuffle", "rand", "randn", "randint"),
}
BEHIND_OURS = (
    ("torch.autograd", "backward", "gradients", "_original_backward"),
    ("torch.nn.utils.clip_grad", "clip_grad_norm_", "gradients", "_original_clip"),
    ("torch", "manual_seed", "generators", "_original_torch"),
    ("torch.serialization", "save", "files", "_original_save"),
    ("torch.serialization", "load", "files", "_original_load"),
    ("torch.optim.optimizer", "Optimizer.__init__", "optimizers", "_original"),
    ("torch.nn.modules.module", "Module.__setstate__", "modules", "_original"),
    ("torch.optim.lr_scheduler", "LRScheduler.__init__", "schedules", "_original"),
    ("torch.optim.lr_scheduler", "SequentialLR.__init__", "schedules", "_original_sequential"),
    ("torch.optim.lr_scheduler", "ChainedScheduler.__init__", "schedules", "_original_chained"),
    ("torch.optim.lr_scheduler", "ReduceLROnPlateau.__init__", "schedules", "_original_plateau"),
    ("torch.utils.data.dataloader", "_BaseDataLoaderIter.__next__", "batches", "_original_next"),
)
"""What our own wrappers call, under names that somebody else could change as well."""


def others() -> Iterator[Subject]:
    """Single functions of modules, what stands behind the recorder's own, and what modules keep besides functions."""
    for name, wanted in PARTS.items():
        module = session.loaded(name)
        if module is not None:
            held, file = bare.held(module), file_of(name)
            for attribute in wanted:
                homes = () if file is None or attribute not in held else ((file, attribute),)
                yield Subject("module", "%s.%s" % (name, attribute), file, homes, held.get(attribute, pieces.GONE))
    for name, attribute, ours, behind in BEHIND_OURS:
        value = bare.held(session.loaded("%s.%s" % (__package__, ours))).get(behind)
        if value is not None:
            yield Subject("module", "%s.%s, behind the recorder's" % (name, attribute), file_of(name), (), value)
    for name in (*WHOLE[1:], *modules_of([])):
        module = session.loaded(name)
        if module is not None and name.startswith("torch."):
            held, file = bare.held(module), file_of(name)
            for attribute in _constants_of(name, held):
                yield Subject("constant", "%s.%s" % (name, attribute), file, (), held.get(attribute))
    for name in looked_up_in():
        words = _modules_in(name)
        if words:
            yield Subject("constant", text(name + MODULES, MAX_NAME), file_of(name), (), pieces.Words(*_packed(words)))


def looked_up_in() -> list[str]:
    """The modules in which the code of the classes in use looks names up, and those of which everything counts."""
    names = dict.fromkeys(WHOLE[1:])
    names.update((home_of(one), None) for one in classes_in_use())
    return [name for name in names if name and name != "torch"]


def _modules_in(name: str) -> list[str]:
    """Under which names a module keeps which other modules, but for those that lie within it."""
    words = []
    for attribute, value in bare.items(bare.held(session.loaded(name))):
        if bare.is_a(value, types.ModuleType):
            said = bare.word(bare.held(value).get("__name__"))
            if said != "%s.%s" % (name, bare.word(attribute)):
                known = session.loaded(said) is value or said not in sys.modules
                words.append("%s=%s%s" % (bare.word(attribute), said, "" if known else NOT_LOADED))
    return sorted(words)


def _packed(words: list[str]) -> list[str]:
    """A few lines of words, of some fifty modules; what does not fit into them is left out."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > MAX_NAME - 2:
            if len(lines) == MAX_LINES:
                break
            lines.append("")
        lines[-1] += ("; " if lines[-1] else "") + text(word, MAX_NAME - 2)
    return lines


_known_constants: dict[str, tuple[int, list[str]]] = {}


def _constants_of(name: str, held: dict[str, Any]) -> list[str]:
    """The names of what a module keeps that is a literal, looked for again only when it holds more or fewer things."""
    count, known = _known_constants.get(name, (-1, []))
    if count != len(held):
        known = [one for one, value in list(held.items()) if not one.startswith("__") and is_literal(value)]
        _known_constants[name] = len(held), known
    return known
