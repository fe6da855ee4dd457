"""What a signal handler of the user's raises while the recorder runs reaches the training, whatever the handler is."""

from __future__ import annotations

import _signal
import functools
import importlib
import signal
import types
from typing import ClassVar

import pytest

from recorder.listener import PATH


class Late(Exception):
    pass


def ring(*_args):
    raise Late


class Bell:
    def __call__(self, *_args):
        raise Late

    def ring(self, *_args):
        raise Late


class Louder(Bell):
    pass


class Wary:
    """Whatever it is asked for, it fails the test."""

    asked: ClassVar[list[str]] = []

    def __getattribute__(self, name):
        Wary.asked.append(name)
        raise AttributeError(name)

    def __eq__(self, other):
        Wary.asked.append("__eq__")
        return True

    def __hash__(self):
        Wary.asked.append("__hash__")
        return 1

    def __call__(self, *_args):
        raise Late


class Raises:
    def __init__(self, *_args):
        raise Late


class Held:
    __call__ = functools.partial(ring)


HANDLERS = {
    "function": ring,
    "partial": functools.partial(ring, 1),
    "partial of a partial": functools.partial(functools.partial(Bell(), 1), 2),
    "object": Bell(),
    "object of a class below": Louder(),
    "bound method": Louder().ring,
    "bound object": types.MethodType(Bell(), 1),
    "object that calls a partial": Held(),
    "object that must not be asked": Wary(),
    "class": Raises,
    "cache": functools.lru_cache(ring),
}


@pytest.fixture
def guarded(monkeypatch):
    monkeypatch.syspath_prepend(str(PATH))
    guard = importlib.import_module("saksi_recorder.guard")
    monkeypatch.setattr(guard, "_off", {})
    return guard.guarded("a part of this test")


@pytest.fixture
def handled():
    before = _signal.getsignal(signal.SIGUSR1)
    Wary.asked.clear()
    yield lambda handler: _signal.signal(signal.SIGUSR1, handler)  # `signal` itself asks what it is given
    _signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_a_handler_of_any_kind_raises_is_meant_for_the_training(guarded, handled, handler):
    handled(HANDLERS[handler])
    with pytest.raises(Late):
        guarded(signal.raise_signal)(signal.SIGUSR1)
    assert Wary.asked == []


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_the_recorder_raises_itself_stays_in_it(guarded, handled, handler):
    def fails():
        raise Late

    handled(HANDLERS[handler])
    assert guarded(fails)() is None
    assert Wary.asked == []
