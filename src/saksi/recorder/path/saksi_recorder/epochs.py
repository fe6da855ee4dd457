"""Where an epoch of a DataLoader begins, and what its sampler is given: enough to work its order out elsewhere.

Rules: arguments are read of objects of torch's own classes alone, those of any other are not looked at; the state of a
generator is read just before the sampler draws and nothing is drawn here; a dataset is asked for its length once more,
as the sampler itself does in that moment.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, Optional

import torch
from torch.utils.data import BatchSampler, DistributedSampler, RandomSampler, SequentialSampler

from . import bare, memory
from .plain import text

MAX_NAME = 200
STATE_BYTES = 5056  # of torch's CPU generator; another version may keep it otherwise
_WORDS = 624
_HEAD = struct.Struct("=8xi4xQ")  # after the seed: the words left until the next ones are made, and the next one
_KEPT = struct.Struct("=%dQ" % _WORDS)
_SAID = struct.Struct("<%dI" % (_WORDS + 1))

DISTRIBUTED = ("num_replicas", "rank", "shuffle", "seed", "epoch", "drop_last", "num_samples", "total_size")


def begun(iterator: Any) -> dict[str, Any]:
    """What is said of the epoch that `iterator` begins. Call before the first index is drawn."""
    sampler, batch_size, drop_last = iterator._index_sampler, None, False
    if type(sampler) is BatchSampler:
        batch_size, drop_last = sampler.batch_size, sampler.drop_last is True
        sampler = sampler.sampler
    length, arguments, generator = _given(sampler)
    own = generator is not None
    draws = type(sampler) is RandomSampler and arguments.get("replacement") is False
    state = _state(generator if own else torch.default_generator) if draws else None
    return {
        "sampler": text(bare.name_of(type(sampler)), MAX_NAME),
        "dataset": text(bare.name_of(type(iterator._dataset)), MAX_NAME),
        "length": length,
        "batch_size": batch_size if _is_count(batch_size) else None,
        "drop_last": drop_last,
        "arguments": arguments,
        "own": own,
        "state": None if state is None else base64.b64encode(state).decode("ascii"),
        "after": None,
    }


def after_the_draw(said: dict[str, Any]) -> None:
    """The first indices are drawn: add where that left torch's generator, which other threads may have used."""
    if said["state"] is not None and not said["own"]:
        state = _state(torch.default_generator)
        said["after"] = None if state is None else hashlib.sha256(state).hexdigest()[:32]


def _given(sampler: Any) -> tuple[Optional[int], dict[str, Any], Any]:
    """The length of its dataset, its arguments and its generator; nothing of a class that is not known."""
    kind = type(sampler)
    if kind is SequentialSampler:
        length = len(sampler.data_source)
        return (length, {}, None) if _is_count(length) else (None, {}, None)
    if kind is RandomSampler:
        length = len(sampler.data_source)
        wanted = length if sampler._num_samples is None else sampler._num_samples
        arguments = {"replacement": sampler.replacement is not False, "num_samples": wanted}
        known = _is_count(length) and _is_count(wanted)
        return (length, arguments, sampler.generator) if known else (None, {}, None)
    if kind is DistributedSampler:
        length = len(sampler.dataset)
        arguments = {name: bare.held(sampler).get(name) for name in DISTRIBUTED}
        known = _is_count(length) and all(type(one) is bool or _is_whole(one) for one in arguments.values())
        return (length, arguments, None) if known else (None, {}, None)
    return None, {}, None


def _state(generator: Any) -> Optional[bytes]:
    """Its 624 words and the place of the next one, as 32-bit little-endian integers; None where it is another kind."""
    if type(generator) is not torch.Generator or generator.device.type != "cpu":
        return None
    with memory.quiet():
        held = memory.hold(generator.get_state())  # keeps the memory while its view is read
        raw = bytes(held.view)
    if len(raw) != STATE_BYTES:
        return None
    left, following = _HEAD.unpack_from(raw)
    words = _KEPT.unpack_from(raw, _HEAD.size)
    if max(words) >> 32 or not 0 <= following <= _WORDS:
        return None
    return _SAID.pack(*words, _WORDS if left == 1 else following)


def _is_whole(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63
