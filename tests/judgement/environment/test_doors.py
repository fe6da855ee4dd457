"""Doors as values: their order, who may write them, and what of them a seal holds and compares."""

from __future__ import annotations

import typing
from itertools import permutations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from judgement.environment.door_values import DIGESTS, door, facts, report
from saksi.judgement.environment.door_comparison import WHEN, compare_doors, title
from saksi.judgement.environment.doors import (
    Acts,
    Kind,
    Owner,
    SealedDoor,
    Writer,
    is_unaccounted,
    others_who_may_write,
)

STRANGE = door("strange.pth", owner=Owner(state="unowned"))


def test_what_nothing_accounts_for_comes_first_and_then_the_most_powerful():
    preload = door("LD_PRELOAD", kind="variable", acts="every_program", path=None, file=None, owner=None)
    torch = door("x", kind="entry_point", acts="with_torch")
    for each in permutations((preload, torch, STRANGE)):
        assert [one.name for one in report(*each).doors] == ["strange.pth", "LD_PRELOAD", "x"]


def test_what_is_accounted_for():
    assert is_unaccounted(STRANGE)
    assert is_unaccounted(door(owner=Owner(state="differs", distribution="foo-1")))
    for honest in (
        door(),
        door(owner=Owner(state="listed", distribution="python3")),
        door(owner=Owner(state="unowned"), expected="it is known"),
        door(owner=Owner(state="unowned"), acts="never"),
        door(owner=None),
    ):
        assert not is_unaccounted(honest)


def test_who_may_write_besides_the_account_and_root():
    mine, roots = Writer(who="owner", id=1000, path="/env"), Writer(who="owner", id=0, path="/")
    private = Writer(who="group", id=1000, path="/env")
    assert others_who_may_write(door(file=facts(writers=(mine, roots, private))), 1000) == ()
    others = (
        Writer(who="group", id=50, path="/env"),
        Writer(who="others", id=None, path="/env"),
        Writer(who="owner", id=7, path="/env/lib"),
    )
    assert others_who_may_write(door(file=facts(writers=(mine, *others))), 1000) == others
    assert others_who_may_write(door(file=None), 1000) == ()


def test_a_seal_of_doors_does_not_depend_on_the_place_or_the_order():
    other = door("b.pth", value="/env/src")
    here = report(door(), other).sealed()
    there = report(
        door("b.pth", path="/else/lib/b.pth", value="/else/src"), door(path="/else/lib/foo.pth"), prefix="/else"
    ).sealed()
    assert here == there
    assert [each.where for each in here] == ["{prefix}/lib/b.pth", "{prefix}/lib/foo.pth"]
    assert here[0].value == "{prefix}/src"
    assert compare_doors(here, there) == ()
    assert msgspec.json.decode(msgspec.json.encode(here), type=tuple[SealedDoor, ...]) == here


def test_a_prefix_is_a_folder_and_not_a_beginning():
    (sealed,) = report(door(path="/environment/foo.pth")).sealed()
    assert sealed.where == "/environment/foo.pth"


def test_what_saksi_adds_is_not_sealed():
    assert report(door(kind="saksi", acts="saksi_run")).sealed() == ()


def test_of_several_at_one_place_the_most_powerful_is_sealed():
    weak, strong = door(kind="loaded_module", acts="when_called"), door(kind="loaded_module", acts="with_torch")
    (sealed,) = report(weak, strong).sealed()
    assert sealed.acts == "with_torch"


def differences(before, after):
    return compare_doors(report(*before).sealed(), report(*after).sealed())


def test_differences_in_words():
    path = "{prefix}/lib/foo.pth"
    assert differences([], [door()]) == (f"a new .pth file foo.pth ({path}) acts at every start",)
    assert differences([door()], []) == (f".pth file foo.pth ({path}) is gone; it acted at every start",)
    assert differences([door()], [door(file=facts(digest=DIGESTS[1]))]) == (
        f".pth file foo.pth ({path}) has other content; it acts at every start",
    )
    assert differences([door(acts="never")], [door()]) == (
        f".pth file foo.pth ({path}) now acts at every start; before, it did not act",
    )
    assert differences([door()], [door(file=facts(digest=None, reason="Permission denied"))]) == (
        f".pth file foo.pth ({path}) could not be compared: Permission denied",
    )
    assert differences([door(file=facts(digest=None, reason="Permission denied"))], [door()]) == (
        f".pth file foo.pth ({path}) could not be compared: before, Permission denied",
    )


def test_a_variable_with_another_value():
    one, other = (
        door("PYTHONPATH", kind="variable", acts="search_path", path=None, file=None, owner=None, value=each)
        for each in ("/a:/b", "/b:/a")
    )
    assert differences([one], [other]) == ("variable PYTHONPATH has another value: /b:/a, was /a:/b",)


def test_several_changes_at_once_each_have_a_sentence():
    said = differences([door("a.pth"), door("b.pth")], [door("b.pth", file=facts(digest=DIGESTS[2])), door("c.pth")])
    assert [each.split(" (")[0] for each in said] == [".pth file b.pth", "a new .pth file c.pth", ".pth file a.pth"]


SEALED = st.builds(
    SealedDoor,
    kind=st.sampled_from(["pth", "variable"]),
    name=st.sampled_from("ab"),
    where=st.sampled_from(["", "/x"]),
    acts=st.sampled_from(["every_start", "never"]),
    digest=st.sampled_from([None, *DIGESTS[:2]]),
    value=st.sampled_from([None, "v", "w"]),
    unread=st.sampled_from(["", "no"]),
)


@given(st.lists(SEALED, max_size=5), st.lists(SEALED, max_size=5))
def test_no_difference_is_passed_over(before, after):
    said = compare_doors(tuple(before), tuple(after))
    assert (said == ()) == (set(before) == set(after))
    assert compare_doors(tuple(reversed(before)), tuple(reversed(after))) == said


def test_every_kind_and_moment_has_its_words():
    assert list(WHEN) == list(typing.get_args(Acts))
    for kind in typing.get_args(Kind):
        assert title(SealedDoor(kind=kind, name="n", where="", acts="never")).endswith(" n")
