"""Kernels that somebody put in the place of torch's own, and the file in which that was done.

Rules: torch's dispatcher is only asked for its own account of an operator; that takes microseconds for one and a tenth
of a second for all. So the operators that most training stands on are asked for at first; all of them at the first
question, and whenever torch's library has noted another number of registrations; else some in turn. What torch's own
Python files register is left out, but for what goes through `torch.library`'s functions into torch's own operators:
there torch notes its own file, whoever called.
"""

# ruff: noqa: SLF001, PTH120  (torch gives no public name to what is read here; plain os: light, and also what old interpreters know)

from __future__ import annotations

import os
import re
from typing import Any, Iterator

import torch

from . import pieces, session
from .live_subjects import MAX_NAME, Subject
from .plain import text

SHARES = 128
HOT_SHARES = 6
MAX_KERNELS = 128
# fmt: off
HOT = frozenset((
    "_foreach_add_", "_foreach_addcdiv_", "_foreach_addcmul_", "_foreach_lerp_", "_foreach_mul_", "_foreach_norm",
    "_foreach_sqrt", "_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_log_softmax", "_log_softmax_backward_data",
    "_softmax", "_softmax_backward_data", "add", "add_", "addcdiv_", "addcmul_", "addmm", "baddbmm", "bmm", "cat",
    "clamp", "clone", "convolution", "convolution_backward", "copy_", "cross_entropy_loss", "div", "div_", "dropout",
    "embedding", "embedding_dense_backward", "exp", "gelu", "gelu_backward", "index_select", "layer_norm", "lerp_",
    "linalg_vector_norm", "linear", "log_softmax", "matmul", "mean", "mm", "mse_loss", "mse_loss_backward", "mul",
    "mul_", "native_batch_norm", "native_batch_norm_backward", "native_dropout", "native_layer_norm",
    "native_layer_norm_backward", "neg", "nll_loss", "nll_loss_backward", "nll_loss_forward", "normal_", "pow",
    "random_", "randperm", "relu", "relu_", "rsqrt", "scaled_dot_product_attention", "sigmoid", "silu", "softmax",
    "sqrt", "sub", "sub_", "sum", "tanh", "threshold_backward", "uniform_",
))
# fmt: on
_LINE = re.compile(r"^(\S+?)(?:\[alias\])?( \(inactive\))?: registered at (.+?):(\d+) ", re.MULTILINE)
_FOLDER = os.path.dirname(torch.__file__) + os.sep
_ANYBODYS = _FOLDER + "library.py"
OWN = "aten::"  # torch itself registers none of these through the functions of its library

_names: list[str] = []
_hot: list[str] = []
_known: dict[str, dict[str, tuple[str, list[str]]]] = {}  # by operator and dispatch key: the file, and what is said
_state = {"turn": 0, "noted": -1}


def listed(at: str) -> Iterator[Subject]:
    """Every kernel known to stand in place of another, after a look at those whose turn it is."""
    try:
        _refresh(at)
    except (AttributeError, RuntimeError):  # a version that gives no account
        session.uncovered("operators of torch", "this version gives no account of who registered their kernels")
        return
    for name, kernels in sorted(_known.items()):
        for key, (file, notes) in sorted(kernels.items()):
            owner = file if file.endswith(".py") else None
            yield Subject("operator", text("%s %s" % (name, key), MAX_NAME), owner, (), pieces.Words(*notes))


def _refresh(at: str) -> None:
    if not _names:
        _names.extend(torch._C._dispatch_get_all_op_names())
        _hot.extend(one for one in _names if one.startswith("aten::") and one[6:].partition(".")[0] in HOT)
    noted = len(getattr(session.loaded("torch.library"), "_impls", ()))
    if at == "first":
        asked = _hot
    elif (_state["turn"] == 0 and at != "exit") or noted != _state["noted"]:
        _names[:] = torch._C._dispatch_get_all_op_names()
        asked = _names
        _state["turn"] += 1
    else:
        turn = _state["turn"]
        asked = _hot[turn % HOT_SHARES :: HOT_SHARES] + _names[turn % SHARES :: SHARES]
        _state["turn"] += 1
    _state["noted"] = noted
    for name in asked:
        _ask(name)


def _ask(name: str) -> None:
    said = torch._C._dispatch_dump(name)
    found = {}
    if ".py:" in said or "(inactive)" in said:
        lines = _LINE.findall(said)
        replaced = {key: "%s:%s" % (file, line) for key, inactive, file, line in lines if inactive}
        for key, inactive, file, line in lines:
            through = file == _ANYBODYS and name.startswith(OWN)
            if inactive or not (key in replaced or file.endswith(".py")) or (file.startswith(_FOLDER) and not through):
                continue
            notes = [text("registered at %s:%s" % (file, line), MAX_NAME)]
            if through:
                notes.append("through torch.library, which does not note for whom")
            if key in replaced:
                notes.append(text("in place of " + replaced[key], MAX_NAME))
            found[key] = text(file), notes
    if not found:
        _known.pop(name, None)
    elif name in _known or len(_known) < MAX_KERNELS:
        _known[name] = found
    else:
        session.uncovered(
            "kernels of further operators", "those of more than %d operators are not torch's" % MAX_KERNELS
        )


def forget() -> Any:
    """A forked child takes turns of its own."""
    _known.clear()
    _state.update(turn=0, noted=-1)


session.wakers.append(forget)
