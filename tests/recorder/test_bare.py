"""An object is read as the interpreter keeps it, and runs nothing."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections import OrderedDict

import pytest

from recorder.listener import PATH


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.syspath_prepend(str(PATH))
    return lambda name: importlib.import_module(f"saksi_recorder.{name}")


class Asked(Exception):
    pass


def asks(*_args, **_kwargs):
    raise Asked


class Meta(type):
    __getattribute__ = asks
    __hash__ = asks
    __eq__ = asks
    __instancecheck__ = asks
    __subclasscheck__ = asks


class Table(dict):
    items = keys = values = get = __iter__ = __getitem__ = __len__ = asks


class Texts(str):
    __slots__ = ()
    __str__ = __repr__ = __len__ = asks


class Many(list):
    __iter__ = __len__ = __getitem__ = asks


class Wary(metaclass=Meta):
    """Whatever it is asked for, it raises."""

    __getattribute__ = __getattr__ = __repr__ = __str__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = asks

    @property
    def __class__(self):
        raise Asked


def wary(**held):
    one = object.__new__(Wary)
    object.__getattribute__(one, "__dict__").update(held)
    return one


def test_an_object_that_answers_every_question_with_an_error_is_read_all_the_same(recorder):
    bare = recorder("bare")

    one = wary(step=5)
    assert bare.held(one) == {"step": 5}
    assert not bare.is_a(one, (int, str))
    assert bare.name_of(type(one)) == f"{__name__}.Wary"
    assert bare.found(type(one), "__repr__") is asks
    assert bare.found(type(one), "nothing") is None
    assert len(bare.once([one, one, type(one)])) == 2


def test_what_has_no_dictionary_of_its_own_holds_nothing(recorder):
    bare = recorder("bare")

    class Hidden:
        __slots__ = ("x",)

    class Lying:
        __slots__ = ("x",)
        __dict__ = property(asks)

    assert [bare.held(one) for one in (5, None, Hidden(), Lying(), int)] == [{}] * 5
    assert bare.held(types.ModuleType("m"))["__name__"] == "m"
    assert bare.held(sys)["path"] is sys.path
    function = lambda: None  # noqa: E731
    function.mark = 1
    assert bare.held(function) == {"mark": 1}
    assert bare.held(functools.partial(print)) == {}


def test_tables_and_texts_are_read_past_what_a_class_puts_over_them(recorder):
    bare = recorder("bare")

    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert bare.items(ordered) == [("b", 2), ("a", 1)]
    assert bare.items(Table(a=1)) == [("a", 1)]
    assert bare.items([1]) == bare.items(None) == []
    assert bare.each(Many([1, 2])) == bare.each((1, 2)) == [1, 2]
    assert bare.each(None) == []
    assert bare.word(Texts("x")) == "x"
    assert type(bare.word(Texts("x"))) is str
    assert bare.word(5) == ""


def test_a_value_is_put_into_words_without_asking_it(recorder):
    plain, text = recorder("plain").plain, recorder("plain").text

    class Slotted:
        __slots__ = ()
        __repr__ = asks

    assert plain(wary()) == f"{__name__}.Wary"
    assert plain(Slotted()).endswith("Slotted")
    assert plain(Table(a=Texts("x"))) == {"a": "x"}
    assert plain(Many([1])) == [1]
    assert text(Texts("x")) == "x"
    assert plain(wary) == f"{__name__}.wary"


def test_code_is_digested_and_literals_told_apart_without_asking(recorder):
    described, is_literal = recorder("code_digest").described, recorder("code_digest").is_literal

    assert not is_literal(wary())
    assert described(wary()) == f"<{__name__}.Wary>"
    assert [described(one) for one in (1, "x", (1, None), ...)] == ["1", "'x'", "(1, None)", "Ellipsis"]
