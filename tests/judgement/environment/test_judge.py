"""The judgement on values alone: leaving something out never makes a verdict better."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.environment.manifests import against
from saksi.judgement.environment.bytecode import Bytecode, Proof
from saksi.judgement.environment.installed import InstalledDistribution, Places, claims_of
from saksi.judgement.environment.judge import ObservedEnvironment, judge_environment
from saksi.judgement.environment.known_records import (
    KNOWN_ROWS,
    KNOWN_SYSTEM_ROWS,
    KNOWN_UNLISTED,
    holds,
    known_unlisted,
)
from saksi.judgement.environment.record_file import RecordRow
from saksi.judgement.environment.report import DIFFERENCE_KINDS, PythonLine
from saksi.judgement.environment.tree import Root, Tree, TreeFile
from saksi.words.digest import sha256

ORDER = {"verified": 0, "self-consistent": 0, "not_checkable": 1, "differs": 2}
PYC = "m/__pycache__/a.cpython-311.pyc"


def file(path, content="x", **more):
    return TreeFile(path=path, digest=str(sha256(content.encode())), size=len(content), **more)


def row(path, content="x"):
    return RecordRow(path, "sha256", str(sha256(content.encode())), len(content))


FILES = (file(PYC), file("m/a.py", "a"), file("m/b.py", "b"))
WHEEL = InstalledDistribution(
    name="m", version="1", kind="wheel", label="purelib", place="m-1.dist-info",
    rows=(row("m/a.py", "a"), row("m/b.py", "b")),
)  # fmt: skip
CODE = Bytecode(label="purelib", path=PYC, source="m/a.py", level=0, state="executed")


def observed(**changes):
    base = ObservedEnvironment(
        python=PythonLine(path="/p", real_path="/p", version="3.11.7", implementation="cpython", prefix="/v"),
        tree=Tree(roots=(Root(label="purelib", files=FILES),)),
        folders={"purelib": "/v/lib/site-packages"},
        distributions=(WHEEL,),
        bytecode=(CODE,),
        proofs={("purelib", PYC): Proof(bytecode=CODE, outcome="equal")},
        scripts_whole=True,
    )
    return msgspec.structs.replace(base, **changes)


def test_an_environment_as_it_should_be():
    report = judge_environment(observed())
    assert (report.verdict, report.differences, report.not_checkable) == ("self-consistent", (), ())
    assert (report.roots[0].matched, report.bytecode.equal) == (2, 1)


@pytest.mark.parametrize("changes", [
    {"proofs": None}, {"proofs": {}}, {"tree": Tree(roots=())}, {"distributions": ()},
    {"unknown": ("something",)},
    {"tree": Tree(roots=(Root(label="purelib", files=FILES, reason="too many"),))},
    {"tree": Tree(roots=(Root(label="purelib", files=FILES[:2]),))},
    {"tree": Tree(roots=(Root(label="purelib", files=(*FILES[:2], TreeFile(path="m/b.py", digest=None, size=1))),))},
    {"proofs": {("purelib", PYC): Proof(bytecode=CODE, outcome="failed", detail="it crashed")}},
    {"distributions": (msgspec.structs.replace(WHEEL, kind="unlisted", rows=(), reason="its RECORD is missing"),)},
])  # fmt: skip
def test_what_is_left_out_is_never_clean(changes):
    report = judge_environment(observed(**changes))
    assert report.verdict in {"differs", "not_checkable"}
    assert report.not_checkable or report.differences


@given(st.sets(st.sampled_from(["proof", "rows", "list", "bytecode-digest"]), min_size=1))
def test_leaving_out_more_never_makes_it_better(left_out):
    start = judge_environment(observed(distributions=(msgspec.structs.replace(WHEEL, rows=WHEEL.rows[:1]),)))
    rows = () if "rows" in left_out else WHEEL.rows[:1]
    wheel = msgspec.structs.replace(WHEEL, rows=rows, kind="unlisted" if "list" in left_out else "wheel")
    files = tuple(each for each in FILES if each.path != PYC or "bytecode-digest" not in left_out)
    report = judge_environment(
        observed(
            distributions=(wheel,),
            proofs={} if "proof" in left_out else observed().proofs,
            tree=Tree(roots=(Root(label="purelib", files=files),)),
        )
    )
    assert ORDER[report.verdict] >= 1
    assert ORDER[start.verdict] == 2


def test_a_manifest_alone_makes_it_verified_and_an_empty_one_does_not():
    expected = {("purelib", each.path): each.digest for each in FILES[1:]}
    there, nothing = observed(), observed(tree=Tree(roots=()), bytecode=())
    assert judge_environment(there, against(there, expected)).verdict == "verified"
    assert judge_environment(there, against(there, {})).verdict == "differs"
    assert judge_environment(nothing, against(nothing, {})).verdict == "not_checkable"
    more = judge_environment(there, against(there, {**expected, ("platlib", "n.py"): str(sha256(b""))}))
    assert [(each.kind, each.label) for each in more.differences] == [("missing", "purelib")]
    absent = judge_environment(there, against(there, {**expected, ("user-site", "n.py"): str(sha256(b""))}))
    assert (absent.verdict, absent.differences) == ("not_checkable", ())
    assert "user-site" in {each.label for each in absent.not_checkable}


def test_bytecode_without_a_source_is_as_the_manifest_has_it_or_differs():
    lone = Bytecode(label="purelib", path="m/c.pyc", source=None, level=0, state="sourceless")
    there = observed(
        tree=Tree(roots=(Root(label="purelib", files=(*FILES, file("m/c.pyc", "c"))),)), bytecode=(lone,), proofs={}
    )
    expected = {("purelib", each.path): each.digest for each in (*FILES[1:], file("m/c.pyc", "c"))}
    report = judge_environment(there, against(there, expected))
    assert (report.verdict, report.bytecode.listed) == ("verified", 1)
    del expected["purelib", "m/c.pyc"]
    report = judge_environment(there, against(there, expected))
    assert [each.kind for each in report.differences] == ["bytecode_without_source", "unowned"]


@pytest.mark.parametrize(("outcome", "kind"), [
    ("differs", "bytecode_differs"), ("unreadable", "bytecode_differs"), ("stale", None), ("normalised", None),
])  # fmt: skip
def test_every_outcome_of_a_comparison(outcome, kind):
    proof = Proof(bytecode=CODE, outcome=outcome, object="f", detail="its constants")
    report = judge_environment(observed(proofs={("purelib", PYC): proof}))
    assert [each.kind for each in report.differences] == ([] if kind is None else [kind])


def test_rows_with_no_digest_that_can_be_compared():
    rows = (RecordRow("m/a.py", "sha512", None, 1), RecordRow("m/b.py", None, None, None))
    report = judge_environment(observed(distributions=(msgspec.structs.replace(WHEEL, rows=rows),)))
    assert report.verdict == "not_checkable"
    assert {each.reason for each in report.not_checkable} == {
        "listed with sha512, which is not computed", "listed without a digest",
    }  # fmt: skip


def test_the_interpreter_in_the_folder_of_scripts_is_nobodys():
    scripts = (file("activate"), file("evil", "e"), file("python", "elf"), file("python3", "other"))
    tree = Tree(
        roots=(Root(label="executable", files=(file("python3.11", "elf"),)), Root(label="scripts", files=scripts))
    )
    report = judge_environment(observed(tree=tree, bytecode=(), distributions=()))
    assert [(each.kind, each.path) for each in report.differences] == [("unowned", "evil"), ("unowned", "python3")]


def test_the_systems_packages_are_not_judged_by_lists_that_were_made_before_they_were_changed():
    files = (file("_x.so", "stripped"), file("free.py"), file("m.py", "edited"))
    rows = (row("../scripts/m", "s"), row("_x.so", "whole"), row("m.py", "as it was"))
    report = judge_environment(
        observed(
            tree=Tree(roots=(Root(label="base-site:0", files=files),)),
            folders={"base-site:0": "/usr/lib/python3/dist-packages"},
            distributions=(msgspec.structs.replace(WHEEL, label="base-site:0", rows=rows),),
            bytecode=(),
        )
    )
    assert [(each.kind, each.path) for each in report.differences] == [("content_differs", "m.py")]
    assert {each.path for each in report.not_checkable} == {"_x.so", "free.py"}


def test_files_of_one_folder_have_the_name_of_the_innermost_root():
    places = Places({"stdlib": "/v/lib/python3.11", "purelib": "/v/lib/python3.11/site-packages", "scripts": "/v/bin"})
    assert places.find("purelib", "../os.py") == ("stdlib", "os.py")
    assert places.find("purelib", "../../../bin/x") == ("scripts", "x")
    assert places.find("purelib", "../../../share/x") == ("purelib", "../../../share/x")
    assert places.find("stdlib", "site-packages/m.py") == ("purelib", "m.py")
    assert places.find("path:9", "m.py") == ("path:9", "m.py")
    rows = (row("../../../bin/x"), row("m.py"))
    claims = claims_of((msgspec.structs.replace(WHEEL, rows=rows),), places)
    assert claims.keys() == {"purelib", "scripts"}


@pytest.mark.parametrize("shape", [*KNOWN_ROWS, *KNOWN_SYSTEM_ROWS, *KNOWN_UNLISTED], ids=lambda each: each.name)
def test_every_known_shape_has_its_reason_and_is_narrow(shape):
    assert len(shape.reason) > 40
    assert shape.path.fullmatch("torch/optim/sgd.py") is None
    assert shape.without_digest or shape.path.fullmatch("sitecustomize.py") is None
    assert shape.without_digest or shape.path.fullmatch("x.pth") is None
    assert shape.path.fullmatch("m-1.dist-info/entry_points.txt") is None


def test_a_script_may_be_listed_without_a_digest_and_must_equal_one_that_is_there():
    scripts = Tree(roots=(Root(label="scripts", files=(file("pip", "made"),)),))
    for listed, verdict in ((RecordRow("pip", None, None, None), "self-consistent"), (row("pip", "other"), "differs")):
        wheel = msgspec.structs.replace(WHEEL, label="scripts", rows=(listed,))
        report = judge_environment(observed(tree=scripts, bytecode=(), distributions=(wheel,)))
        assert report.verdict == verdict
        assert ("scripts that an installer made" in " ".join(report.trusted)) is (verdict == "self-consistent")


def test_what_is_known_in_one_root_is_not_in_another():
    assert known_unlisted("scripts", "activate") is not None
    assert known_unlisted("purelib", "activate") is None


PLEN = "import sys; sys.__plen = len(sys.path)\n"
FORWARD = (
    "import sys; new=sys.path[sys.__plen:]; del sys.path[sys.__plen:]; p=getattr(sys,'__egginsert',0); "
    "sys.path[p:p]=new; sys.__egginsert = p+len(new)\n"
)


@pytest.mark.parametrize(
    ("name", "content", "verdict"),
    [
        ("easy-install.pth", "/home/u/\u00c5/one\n./two\n# three\n", "self-consistent"),
        ("easy-install.pth", f"{PLEN}/home/u/one\n{FORWARD}", "self-consistent"),
        ("easy-install.pth", "/home/u/one\nimport os; os.environ['LR'] = '1'\n", "differs"),
        ("easy-install.pth", f"{PLEN}import evil\n{FORWARD}", "differs"),
        ("easy-install.pth", f"{PLEN.strip()}; import evil\n", "differs"),
        ("easy-install.pth", "/home/u/one\u2028import evil\n", "differs"),  # a line's end from 3.13 on
        ("easy-install.pth", "/home/u/one\n  import evil\n", "differs"),  # executed from 3.15 on
        ("easy-install.pth", "\ufeffimport evil\n", "differs"),
        ("easy-install.pth", "/home/u/one\rimport\tevil\n", "differs"),
        ("setuptools.pth", "import evil\n", "differs"),
        ("_virtualenv.pth", "import _virtualenv", "self-consistent"),
        ("_virtualenv.pth", "import _virtualenv\n", "self-consistent"),
        ("_virtualenv.pth", "import _virtualenv, evil", "differs"),
        ("_virtualenv.py", "evil = 1", "not_checkable"),
        ("distutils-precedence.pth", "import evil\n", "differs"),
        ("m.egg-link", "/home/u/one\n.\n", "self-consistent"),
    ],
)
def test_a_file_that_every_start_executes_is_known_by_its_content_and_not_by_its_name(name, content, verdict):
    there = file(name, content)
    tree = Tree(roots=(Root(label="purelib", files=tuple(sorted((*FILES, there), key=lambda each: each.path))),))
    report = judge_environment(observed(tree=tree, contents={("purelib", name): content.encode()}))
    assert report.verdict == verdict
    assert [each.path for each in report.differences] == ([name] if verdict == "differs" else [])
    assert [each.path for each in report.not_checkable] == ([name] if verdict == "not_checkable" else [])


def test_a_file_of_paths_whose_content_was_not_read_is_not_known():
    tree = Tree(roots=(Root(label="purelib", files=(file("easy-install.pth", "/one\n"), *FILES)),))
    assert judge_environment(observed(tree=tree)).verdict == "differs"


@pytest.mark.parametrize("shape", [each for each in KNOWN_UNLISTED if each.digests], ids=lambda each: each.name)
def test_each_content_that_is_known_by_its_digest_holds_and_no_other(shape):
    assert all(holds(shape, each, None) for each in shape.digests)
    assert not holds(shape, str(sha256(b"evil")), b"evil")
    assert not holds(shape, None, None)


def test_kinds_of_differences_are_a_frozen_list():
    assert sorted(DIFFERENCE_KINDS) == [
        "bytecode_differs", "bytecode_unchecked", "bytecode_without_source", "content_differs", "missing", "unowned",
    ]  # fmt: skip
