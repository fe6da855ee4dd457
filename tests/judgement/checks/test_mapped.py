"""What a process has mapped and what it began with, judged."""

from __future__ import annotations

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.mapped import MAPPED
from saksi.judgement.items import Item, item_of
from saksi.judgement.seal_file import EnvironmentTree
from saksi.judgement.verdict import judge
from saksi.words.codec import decode_record
from saksi.words.digest import sha256
from saksi.words.records import (
    AgentFacts,
    AttemptKeyRecord,
    ImportsRecord,
    MappedObject,
    MappedRecord,
    Peer,
    ShadowedImport,
)
from simulated_run import train

ONE, TWO = (str(sha256(each)) for each in (b"1", b"2"))
LAUNCH = {"LD_LIBRARY_PATH": "/cm/lib", "PATH": "/usr/bin", "PYTHONPATH": "/own"}
ADDED = {"PYTHONPATH": "/saksi:/own"}
BEGAN = {"LD_LIBRARY_PATH": "/cm/lib", "PYTHONPATH": "/saksi:/own"}


def mapped(path="/x/lib.so", origin="elsewhere", **changes):
    known = {
        "device": "fe:00", "inode": 7, "deleted": False, "named_by": None, "digest": ONE, "sealed": None,
        "reason": None,
    }  # fmt: skip
    return MappedObject(path=path, origin=origin, **known | changes)


class Run(SealedRun):
    def look(self, *objects, variables=None, **changes):
        known = {
            "connection": 0, "pid": 4000, "rank": 0, "step": 3, "moment": "drawn", "tree": False, "total": len(objects),
            "anonymous": 0, "omitted": 0, "looks": 1, "took_ns": 1, "reason": None,
        }  # fmt: skip
        self.add(MappedRecord(objects=list(objects), variables=variables, **known | changes, **self.stamp()))
        return self

    def imported(self, **changes):
        known = {
            "name": "random", "path": "/own/random.py", "origin": "tree", "sealed": None, "digest": ONE,
            "other": "/usr/lib/python3.11/random.py", "other_origin": "library",
        }  # fmt: skip
        shadowed = [ShadowedImport(**known | changes)]
        self.add(ImportsRecord(connection=0, pid=4000, rank=0, total=3, shadowed=shadowed, reason=None, **self.stamp()))
        return self


def launched(*, sealed=False):
    run = Run(environment=LAUNCH, environment_changed_by_saksi=ADDED)
    if sealed:
        tree = EnvironmentTree(digest=ONE, files=3)
        run.approve(signed_file(plain_seal_file(environment_tree=tree), CREATOR, MARIA).content)
    return run


def found(run):
    train(run)
    run.exit()
    items = judge(run.items(), run=run.run).report.items
    return [each for each in items if each.check == "mapped"]


def said(run):
    return [(each.code.removeprefix("environment."), each.severity, each.subject) for each in found(run)]


def test_what_a_package_the_system_and_the_driver_bring_is_no_finding():
    usual = [
        mapped(f"/{origin}", origin, **more)
        for origin, more in (
            ("package", {}), ("library", {}), ("prefix", {}), ("device", {}),
            ("system", {"digest": None, "reason": "closed"}),
        )
    ]  # fmt: skip
    assert found(launched().look(*usual, variables=BEGAN)) == []


def test_sealed_files_that_hold_what_was_sealed_are_no_finding_and_others_are_named():
    run = launched(sealed=True)
    run.look(mapped("/site/a.so", "sealed", sealed=ONE), mapped("/site/b.so", "sealed", sealed=TWO), tree=True)
    (item,) = found(run)
    assert (item.code, item.severity, item.subject) == ("environment.object_differs", "warning", "/site/b.so")
    assert (item.first_step, item.last_step, item.ranks, item.alleges) == (3, 3, (0,), "unknown")


@pytest.mark.parametrize(
    ("each", "severity"),
    [
        (mapped(origin="tree"), "info"),
        (mapped(origin="search_path"), "info"),
        (mapped(origin="elsewhere"), "info"),
        (mapped(origin="package", named_by="LD_PRELOAD"), "info"),
        (mapped(origin="tree", named_by="LD_PRELOAD"), "warning"),
        (mapped(origin="cache", named_by="LD_AUDIT"), "warning"),
        (mapped(origin="search_path", named_by="NCCL_NET_PLUGIN"), "warning"),
        (mapped(origin="elsewhere", deleted=True, digest=None), "warning"),
        (mapped(origin="tree", deleted=True, digest=None), "warning"),
        (mapped("/memfd:payload", "memory", deleted=True, digest=None), "warning"),
        (mapped("/memfd:libffi", "memory", deleted=True, digest=None), "info"),
        (mapped("/tmp/ffiA1b2C3", deleted=True, digest=None), "info"),
    ],
)  # fmt: skip
def test_an_object_from_outside_is_told_and_counts_where_nobody_asked_for_it_or_nothing_is_left_to_look_at(each, severity):  # fmt: skip  # noqa: E501
    assert said(launched().look(each)) == [("object_foreign", severity, each.path)]


@pytest.mark.parametrize(
    ("each", "severity"),
    [(mapped(origin="package"), "warning"), (mapped(origin="elsewhere"), "warning"), (mapped(origin="tree"), "info")],
)
def test_under_a_seal_what_was_not_sealed_counts_but_for_the_users_own(each, severity):
    assert said(launched(sealed=True).look(each, tree=True)) == [("object_foreign", severity, each.path)]


def test_hundreds_of_compiled_kernels_are_one_finding_for_their_cache():
    folder = "/tmp/torchinductor_u"
    kernels = [mapped(f"{folder}/a{number}/k.so", "cache") for number in range(300)]
    own = [mapped(f"/own/kernels/{number}.so", "cache") for number in range(3)]
    assert said(launched().look(*kernels, *own)) == [
        ("object_foreign", "info", "/own/kernels"), ("object_foreign", "info", folder),
    ]  # fmt: skip


def test_a_library_that_is_replaced_while_it_runs_is_named_with_the_step():
    run = launched().look(mapped(origin="package"), moment="begin")
    run.look(mapped(origin="package", inode=8, digest=TWO), step=9)
    (item,) = found(run)
    assert (item.code, item.severity, item.first_step) == ("environment.object_changed", "warning", 9)
    assert ONE[:19] in item.message
    assert TWO[:19] in item.message


@pytest.mark.parametrize(("origin", "severity"), [("sealed", "warning"), ("package", "warning"), ("system", "info")])
def test_a_library_whose_name_is_gone_while_it_runs_was_replaced(origin, severity):
    gone = mapped(origin=origin, deleted=True, digest=None, sealed=ONE if origin == "sealed" else None)
    assert said(launched().look(gone)) == [("object_changed", severity, "/x/lib.so")]


def test_a_library_of_ones_own_that_is_built_anew_while_it_runs_was_replaced_after_it_was_seen():
    run = launched().look(mapped(origin="tree"), moment="begin")
    run.look(mapped(origin="tree", deleted=True, digest=None), step=5)
    assert said(run) == [("object_foreign", "info", "/x/lib.so"), ("object_changed", "warning", "/x/lib.so")][::-1]


def test_a_sealed_file_that_could_not_be_read_at_first_is_compared_when_it_was():
    run = launched(sealed=True).look(mapped(origin="sealed", sealed=ONE, digest=None), tree=True)
    run.look(mapped(origin="sealed", sealed=ONE, digest=TWO), tree=True)
    assert ("object_differs", "warning", "/x/lib.so") in said(run)


def test_the_same_content_at_the_same_path_is_no_change():
    assert found(launched().look(mapped(origin="package")).look(mapped(origin="package", inode=8))) == []


@pytest.mark.parametrize(
    "look",
    [
        {"reason": "permission"}, {"omitted": 3}, {"objects": [mapped(origin="unknown", digest=None)]},
        {"objects": [mapped(origin="sealed", sealed=ONE, digest=None)], "tree": True},
    ],
)  # fmt: skip
def test_what_could_not_be_looked_at_is_said_once_and_is_about_coverage(look):
    run = launched()
    look = dict(look)
    objects = look.pop("objects", [])
    run.look(*objects, **look).look(*objects, **look, pid=4001, rank=1)
    (item,) = found(run)
    assert (item.code, item.severity, item.ranks) == ("environment.not_checkable", "info", (0, 1))


@pytest.mark.parametrize(("lacks", "told"), [({"environ", "exe", "maps"}, 0), ({"exe"}, 1)])
def test_what_the_agents_own_facts_say_it_may_not_see_is_no_finding_as_well(lacks, told):
    key = AttemptKeyRecord(envelope="{}", agent=service(lacks), **launched().stamp())
    look = launched().look(reason="permission").items()[-1]
    judging = Judging([MAPPED])
    judging.take(Item(index=1, record=key))
    judging.take(msgspec.structs.replace(look, index=2))
    assert len(judging.findings(ended=True)) == told


def service(lacks):
    """A service that may not look at these things in the job's processes."""
    peer = Peer(pid=7, uid=1, gid=1)
    return AgentFacts(
        form="service", level=2, uid=2, account=1, launcher=peer, launcher_started_ticks=1, launcher_executable=None,
        not_checkable=dict.fromkeys(sorted(lacks), "permission"),
    )  # fmt: skip


def test_under_a_seal_whose_files_are_not_at_hand_nothing_is_compared_and_that_is_said():
    assert said(launched(sealed=True).look(mapped(origin="package"))) == [
        ("not_checkable", "info", "mapped objects")
    ]  # fmt: skip


def test_variables_as_at_the_launch_with_what_saksi_adds_are_no_finding():
    assert found(launched().look(variables=BEGAN)) == []


@pytest.mark.parametrize(
    ("changed", "severity"),
    [
        ({"LD_PRELOAD": "/home/u/libfast.so"}, "warning"),
        ({"LD_PRELOAD": "/usr/lib/libtcmalloc.so.4"}, "info"),
        ({"LD_PRELOAD": "/usr/../home/u/x.so"}, "warning"),
        ({"NCCL_TUNER_PLUGIN": "mine"}, "warning"),
        ({"PYTHONHOME": "/home/u"}, "warning"),
        ({"PYTHONPATH": "/saksi:/other"}, "info"),
        ({"LD_LIBRARY_PATH": "/x"}, "info"),
        ({"TORCHINDUCTOR_CACHE_DIR": "/tmp/x"}, "info"),
        ({"PYTHONPATH": None}, "info"),
        ({"LD_PRELOAD": "/venv/lib/libtcmalloc.so.4 /usr/lib/x.so"}, "info"),
        ({"LD_PRELOAD": "/venv/../home/u/x.so"}, "warning"),
        ({"LD_PRELOAD": "/venvs/x.so"}, "warning"),
    ],
)
def test_a_variable_that_a_process_was_started_with_and_the_launch_had_not_is_told(changed, severity):
    variables = {name: value for name, value in (BEGAN | changed).items() if value is not None}
    (name,) = changed
    assert said(launched().look(variables=variables)) == [("variable_differs", severity, name)]


@pytest.mark.parametrize("changed", [{"LD_PRELOAD": ""}, {"NCCL_NET_PLUGIN": "none"}, {"PYTHONHOME": ""}])
def test_a_variable_that_is_switched_off_is_as_one_that_is_absent(changed):
    assert found(launched().look(variables=BEGAN | changed)) == []


def test_a_variable_that_the_launch_had_and_that_is_switched_off_is_told_and_not_held_against_it():
    environment = dict(sorted((LAUNCH | {"LD_PRELOAD": "/x.so"}).items()))
    run = Run(environment=environment, environment_changed_by_saksi=ADDED)
    assert said(run.look(variables=BEGAN | {"LD_PRELOAD": ""})) == [("variable_differs", "info", "LD_PRELOAD")]


def test_imports_that_were_not_looked_up_are_about_coverage():
    run = launched()
    record = ImportsRecord(connection=0, pid=4, rank=0, total=0, shadowed=[], reason="it was closed", **run.stamp())
    run.add(record)
    (item,) = found(run)
    assert (item.code, item.severity) == ("environment.not_checkable", "info")
    assert "it was closed" in item.message


def test_a_value_that_is_not_shown_is_compared_only_with_another():
    hidden = {"CC": "hmac-sha256:" + "a" * 64}
    run = Run(environment=dict(sorted((LAUNCH | hidden).items())), environment_changed_by_saksi=ADDED)
    run.look(variables=BEGAN).look(variables=BEGAN | {"CC": "/usr/bin/cc"})
    assert found(run.look(variables=BEGAN | {"PYTHONPATH": "[20000 characters]"})) == []
    run = Run(environment=dict(sorted((LAUNCH | hidden).items())), environment_changed_by_saksi=ADDED)
    assert said(run.look(variables=BEGAN | {"CC": "hmac-sha256:" + "b" * 64})) == [("variable_differs", "info", "CC")]


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "warning"), ({"name": "torch", "other_origin": "package", "origin": "elsewhere"}, "warning"),
        ({"name": "utils", "other_origin": "package"}, "info"), ({"sealed": True}, "info"),
        ({"sealed": False}, "warning"),
    ],
)  # fmt: skip
def test_a_module_before_another_of_its_name_is_told_and_names_that_projects_share_are_not_held_against_it(
    changes, severity
):
    run = launched().imported(**changes)
    assert said(run) == [("import_shadowed", severity, changes.get("name", "random"))]


def test_while_it_is_written_a_finding_is_news_once():
    judging = Judging((MAPPED,))
    run = launched().look(mapped(origin="tree")).look(mapped(origin="tree"))
    news = [judging.take(item_of(index, decode_record(entry), run.blob)) for index, entry in enumerate(run.entries)]
    assert [len(each) for each in news if each] == [1]


def test_without_a_seal_at_hand_variables_are_not_judged():
    run = Run(environment=LAUNCH)
    run.blobs.clear()
    run.look(variables={"LD_PRELOAD": "/x.so"})
    judging = Judging((MAPPED,))
    for index, entry in enumerate(run.entries):
        judging.take(item_of(index, decode_record(entry), run.blob))
    assert judging.findings(ended=True) == ()


def test_long_values_and_paths_fit_a_finding():
    run = launched().look(mapped("/" + "x" * 4_000, origin="tree"), variables=BEGAN | {"LD_PRELOAD": "/y" * 1_000})
    for each in found(run):
        assert len(msgspec.json.encode(each)) < 4_000
