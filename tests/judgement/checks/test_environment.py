"""What the agent saw of the environment's files, judged."""

from __future__ import annotations

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.approvals import Approvers, assurance_of
from saksi.judgement.seal_file import EnvironmentTree
from saksi.judgement.verdict import judge, verdict_sentence
from saksi.words.digest import sha256
from saksi.words.file_changes import FileChange
from saksi.words.records import EnvironmentRecord
from simulated_run import train

SEALED, OTHER, MANIFEST = (str(sha256(each)) for each in (b"tree", b"other", b"manifest"))
KEYS = Approvers(approvers=(MARIA.key,), known=(CREATOR.key,))


def edited(path="torch/optim/adamw.py", what="changed", label="purelib"):
    before, after = str(sha256(b"1")), str(sha256(b"2"))
    if what in {"rewritten", "relinked"}:
        after = before
    return FileChange(
        label=label, path=path, what=what, before=None if what == "added" else before,
        after=None if what == "removed" else after,
    )  # fmt: skip


class Run(SealedRun):
    def look(self, moment, tree=SEALED, *changed, reason=None, more=0):
        totals = {}
        for each in changed:
            totals[each.what] = totals.get(each.what, 0) + 1
        if more:
            totals["changed"] = totals.get("changed", 0) + more
        record = EnvironmentRecord(
            moment=moment, tree=tree, reason=reason, files=3, changed=list(changed), totals=totals,
            whole=moment == "end", looks=1, took_ns=1, **self.stamp(),
        )  # fmt: skip
        self.add(record)
        return self


def launched(*, manifest=msgspec.UNSET, sealed=True):
    run = Run()
    tree = EnvironmentTree(digest=SEALED, files=3, manifest=manifest) if sealed else msgspec.UNSET
    run.approve(signed_file(plain_seal_file(environment_tree=tree), CREATOR, MARIA).content)
    return run


def judged(run):
    return judge(run.items(), run=run.run, assurance=assurance_of(run.entries, run.blob, KEYS))


def found(run):
    items = judged(run).report.items
    return [(each.code, each.severity, each.subject) for each in items if each.check == "environment"]


def through(run, *, end=True):
    train(run)
    if end:
        run.look("end")
    run.exit()
    return run


def test_files_as_sealed_from_start_to_end_have_no_finding_and_are_verified_if_a_manifest_was():
    for manifest, verified in ((MANIFEST, True), (msgspec.UNSET, False)):
        judgement = judged(through(launched(manifest=manifest).look("start")))
        assert judgement.report.items == ()
        assert judgement.assurance.environment_verified is verified
        assert judgement.report.verdict == ("clean" if verified else "unknown")
        assert ("environment not verified" in verdict_sentence(judgement).text) is not verified


def test_a_library_that_was_edited_since_it_was_sealed_is_named_before_the_first_step():
    run = launched(manifest=MANIFEST).look("start", OTHER, edited())
    train(run)
    run.look("end", OTHER).exit()
    (item,) = judged(run).report.items
    assert (item.code, item.severity, item.subject) == (
        "environment.differs", "warning", "purelib torch/optim/adamw.py",
    )  # fmt: skip
    assert (item.first_step, item.last_step, item.alleges) == (None, None, "unknown")
    assert "has other content since the seal file was made" in item.message
    assert judged(run).report.verdict == "affected"
    assert not judged(run).assurance.environment_verified


def test_where_the_sealed_listing_is_not_at_hand_it_is_said_that_something_differs():
    run = launched().look("start", OTHER)
    train(run)
    run.look("end", OTHER).exit()
    assert found(run) == [("environment.differs", "warning", "environment of attempt 0")]


@pytest.mark.parametrize(
    ("what", "tree", "severity"),
    [("changed", OTHER, "warning"), ("rewritten", SEALED, "warning"), ("relinked", SEALED, "info")],
)
def test_a_file_that_changed_while_it_ran_is_named_with_the_step(what, tree, severity):
    run = launched(manifest=MANIFEST).look("start")
    train(run, steps=4)
    run.look("pass", tree, edited(what=what)).look("end", tree).exit()
    (item,) = judged(run).report.items
    assert (item.code, item.severity, item.last_step) == ("environment.changed", severity, 3)
    assert "noticed by step 3" in item.message
    assert not judged(run).assurance.environment_verified  # an edit that was taken back could hide behind a new link


def test_a_tree_that_is_another_without_a_word_is_a_change():
    run = launched().look("start")
    train(run)
    run.look("end", OTHER).exit()
    assert found(run) == [("environment.changed", "warning", "environment of attempt 0")]


def test_the_output_of_a_run_beside_its_code_alleges_nothing():
    new = [edited(f"out/{each}.py", "added", "path:0") for each in range(20)]
    run = launched().look("start", OTHER, *new)
    train(run)
    run.look("end", OTHER, edited("data.json", "added")).exit()
    assert {severity for _, severity, _ in found(run)} == {"info"}
    assert judged(run).report.verdict == "unknown"


def test_code_that_appears_in_a_checkout_while_the_command_runs_is_a_warning_and_other_output_is_not():
    run = launched().look("start")
    train(run)
    run.look("pass", OTHER, edited("random.py", "added", "path:0"), edited("out/log.txt", "added", "editable:mine"))
    run.look("end", OTHER).exit()
    assert found(run) == [
        ("environment.changed", "warning", "path:0 random.py"),
        ("environment.changed", "info", "editable:mine out/log.txt"),
    ]


def test_new_code_that_an_agent_finds_that_was_started_again_may_have_been_there_all_along():
    run = launched().look("start", OTHER, edited("local.py", "added", "path:0"))
    train(run)
    run.look("start", OTHER, edited("local.py", "added", "path:0")).look("end", OTHER).exit()
    assert {severity for _, severity, _ in found(run)} == {"info"}


def test_a_folder_that_was_written_to_is_named_without_a_digest():
    run = launched().look("start")
    train(run)
    folder = FileChange(label="purelib", path="torch/", what="rewritten", before=None, after=None)
    run.look("end", SEALED, folder).exit()
    (item,) = judged(run).report.items
    assert (item.code, item.severity, item.subject) == ("environment.changed", "warning", "purelib torch/")
    assert "has the same names in it again while the command ran" in item.message
    assert "nothing" not in item.message


def test_many_changes_name_some_and_count_the_rest():
    run = launched().look("start", OTHER, *(edited(f"m{each}.py") for each in range(20)), more=80)
    train(run)
    run.look("end", OTHER).exit()
    assert len(found(run)) == 9
    assert any(each.message.startswith("92 more files") for each in judged(run).report.items)


@pytest.mark.parametrize("looks", [(), ("start",), ("start", "end")])
def test_what_was_not_looked_at_to_the_end_is_not_checkable(looks):
    run = launched(manifest=MANIFEST)
    for moment in looks:
        run.look(moment, None if moment == "end" else SEALED, reason="no time" if moment == "end" else None)
    through(run, end=False)
    assert found(run) == [("environment.not_checkable", "info", "environment of attempt 0")]
    assert not judged(run).assurance.environment_verified
    assert judged(run).report.verdict == "unknown"


def test_a_launch_whose_seal_file_names_no_tree_is_not_judged():
    assert found(through(launched(sealed=False), end=False)) == []


def test_an_attempt_that_never_started_executed_nothing_and_leaves_the_others_verified():
    run = launched(manifest=MANIFEST).look("start", OTHER, edited())
    run.never_started()
    assert not judged(run).assurance.environment_verified
    run.resume()
    tree = EnvironmentTree(digest=SEALED, files=3, manifest=MANIFEST)
    run.approve(signed_file(plain_seal_file(environment_tree=tree), CREATOR, MARIA).content)
    assert judged(through(run.look("start"))).assurance.environment_verified


def test_one_that_is_said_not_to_have_started_and_attached_counts_all_the_same():
    run = through(launched(manifest=MANIFEST).look("start"))
    run.resume()
    run.approve(signed_file(plain_seal_file(), CREATOR, MARIA).content)
    train(run)
    run.never_started()
    assert not judged(run).assurance.environment_verified


def test_an_attempt_without_seal_approval_or_look_leaves_the_run_without_assurance():
    run = through(launched(manifest=MANIFEST).look("start"))
    assert judged(run).assurance.seal_approved
    assert judged(run).assurance.environment_verified
    run.resume(seal=False)
    train(run)
    run.exit()
    assurance = judged(run).assurance
    assert (assurance.seal_approved, assurance.environment_verified) == (False, False)
    assert [(each.code, each.subject) for each in assurance.findings] == [("seal.not_approved", "attempt 1")]
