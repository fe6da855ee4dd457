"""`entry_points.txt`, against what `importlib.metadata` makes of it."""

from __future__ import annotations

from importlib.metadata import EntryPoints
from random import Random

from fuzz.seeded import SEED, nearly
from saksi.judgement.environment.entry_points import GROUPS, EntryPoint, is_switched_off, parse_entry_points

TEXT = b"""# of a plug-in
[console_scripts]
tool = pkg.cli:main

[torch.backends]
npu = torch_npu:_autoload
other=pkg . mod : f [extra]
[pytest11]
a = b.c
"""


def test_entry_points_in_order():
    found, refused = parse_entry_points(TEXT)
    assert refused == 0
    assert [(each.group, each.name, each.module) for each in found] == [
        ("console_scripts", "tool", "pkg.cli"),
        ("torch.backends", "npu", "torch_npu"),
        ("torch.backends", "other", ""),
        ("pytest11", "a", "b.c"),
    ]


def test_what_is_none_is_counted():
    assert parse_entry_points(b"a = b\n[g]\nno equals\n= c\n") == ((), 3)
    assert EntryPoint(group="g", name="n", value="(!)").module == ""


def test_all_that_python_finds_is_found():
    random = Random(SEED)
    compared = 0
    for content in nearly(random, [TEXT], inputs=2000):
        ours = {(each.group, each.name, each.value) for each in parse_entry_points(content)[0]}
        try:
            theirs = {(each.group, each.name, each.value) for each in EntryPoints._from_text(content.decode())}
        except (ValueError, AttributeError, TypeError):
            continue  # Python reads nothing of it either
        compared += 1
        assert {each for each in theirs if each[0] is not None and all(each)} <= ours, content
    assert compared > 200


def test_groups_and_their_switches():
    switches = {name: group.switch for name, group in GROUPS.items() if group.switch is not None}
    assert switches == {
        "torch.backends": "TORCH_DEVICE_BACKEND_AUTOLOAD",
        "pytest11": "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    }
    autoload, plugins = switches.values()
    assert [is_switched_off(autoload, each) for each in (None, "1", "0", "", "true")] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert [is_switched_off(plugins, each) for each in (None, "", "0", "1")] == [False, False, True, True]
