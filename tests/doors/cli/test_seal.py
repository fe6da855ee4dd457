"""`saksi seal` and the keys of approvers, on a project of two files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from doors.cli.cli_home import HOSTILE, SealedRun, golden
from doors.cli.test_commands import checked
from doors.cli.test_screens import NARROW, WIDE
from edges.environment.repositories import git, make_repository
from judgement.seals import CREATOR, JOSE, MARIA, plain_seal, plain_seal_file, signed_file
from saksi.doors.cli.drawing import render
from saksi.doors.cli.schemas import schema_text
from saksi.doors.cli.seal_documents import seal_diff_report, seal_report
from saksi.doors.cli.seal_screen import draw_seal, draw_seal_diff
from saksi.edges.seal_files import read_seal_file
from saksi.judgement.approvals import Approvers, signatures_of
from saksi.judgement.changed_lines import Place
from saksi.judgement.deviations import deviations
from saksi.judgement.seal import Distribution
from saksi.judgement.seal_file import format_seal_file
from saksi.words.digest import sha256
from simulated_run import RUN, train

COMMAND = ("--", sys.executable, "train.py", "--lr", "0.1")
replace = msgspec.structs.replace


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_repository(tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def approver(home, project, tmp_path):
    """The key file of an approver who is enrolled here."""
    path = tmp_path / "maria.key"
    assert home.call("keys", "create", str(path))[0] == 0
    assert home.call("keys", "trust", f"{path}.vkey", "--approver")[0] == 0
    return path


def create(home, *words):
    code, out, err = home.call("seal", "create", "--no-environment", *words)
    assert (code, err) == (0, "")
    return out


def test_a_seal_file_is_made_shown_and_approved(home, project, approver):
    out = create(home, "--name", "baseline", "--project", "lab", *COMMAND)
    assert out.startswith("baseline.seal: what should run, sha256:")
    signed = read_seal_file(project / "baseline.seal")
    assert (signed.file.name, signed.file.project) == ("baseline", "lab")
    assert signed.file.command.argv == (sys.executable, "train.py", "--lr", "0.1")
    assert signed.file.script.path == "train.py"
    assert signed.file.git.dirty is False
    document = checked(home.call("seal", "show", "baseline.seal", "--json")[1], "saksi.seal/v1")
    assert (document["approved"], document["digest"]) == (False, str(signed.digest))
    assert [each["state"] for each in document["signatures"]] == ["known"]
    code, out, err = home.call("seal", "approve", "baseline.seal", "--key", str(approver))
    assert (code, err) == (0, "")
    assert out.startswith("baseline.seal: signed by maria+")
    document = checked(home.call("seal", "show", "baseline.seal", "--json")[1], "saksi.seal/v1")
    assert document["approved"]
    assert [each["state"] for each in document["signatures"]] == ["known", "approver"]
    assert "Approved by maria+" in home.call("seal", "show", "baseline.seal")[1]
    content = (project / "baseline.seal").read_bytes()
    code, out, _ = home.call("seal", "approve", "baseline.seal", "--key", str(approver))
    assert (code, "nothing was changed" in out) == (0, True)
    assert (project / "baseline.seal").read_bytes() == content


def test_the_name_comes_from_the_option_the_configuration_or_is_run(home, project):
    create(home, *COMMAND)
    assert (project / "run.seal").exists()
    create(home, "-o", "other.seal", *COMMAND)
    assert (project / "other.seal").exists()
    (project / "saksi.toml").write_text('name = "configured"\nlevel = "full"\n')
    create(home, *COMMAND)
    file = read_seal_file(project / "configured.seal").file
    assert (file.level, [each.path for each in file.files]) == ("full", [str(project / "saksi.toml")])


def test_what_the_project_plans_is_sealed_and_shown(home, project):
    (project / "saksi.toml").write_text("""[plan]
optimizer = "AdamW"
steps = 60
lr = [[10, 2e-3], [60, 2e-4]]
between = "cosine"
warm_up = 10
max_norm = 1.0
hyper_parameters = { betas = [0.9, 0.95] }
""")
    create(home, *COMMAND)
    plan = read_seal_file(project / "run.seal").file.plan
    assert (plan.optimizer, plan.lr, plan.hyper_parameters) == (
        "AdamW", ((10, 2e-3), (60, 2e-4)), {"betas": (0.9, 0.95)},
    )  # fmt: skip
    shown = " ".join(home.call("seal", "show", "run.seal")[1].split())
    assert (
        "Plan AdamW, 60 steps, lr 0.002 to 0.0002 at step 60, cosine after 10 steps of warm-up, clipped at 1" in shown
    )
    checked(home.call("seal", "show", "run.seal", "--json")[1], "saksi.seal/v1")
    (project / "saksi.toml").write_text("[plan]\nlr = 0.1\n")
    create(home, "-o", "other.seal", *COMMAND)
    code, out, _ = home.call("seal", "diff", "run.seal", "other.seal")
    assert (code, "The plan is another one, in optimizer, steps, lr" in " ".join(out.split())) == (1, True)
    (project / "saksi.toml").write_text("[plan]\nlr = -1\n")
    code, _, err = home.call("seal", "create", "--no-environment", "-o", "third.seal", *COMMAND)
    assert (code, err.count("\n"), "saksi.toml: plan: a learning rate that is negative" in err) == (2, 1, True)


def test_what_the_project_expects_is_sealed_shown_and_compared(home, project, approver):
    (project / "saksi.toml").write_text("""[[expect]]
code = "state.changed_between_steps"
subject = "parameters of optimizer 0"
every = 100
offset = 200
why = "The smallest weights are pruned."

[[expect]]
code = "plan.hyper_parameter_changed"
steps = "400-499"
rank = 0
why = "Decay is raised by hand."
""")
    create(home, *COMMAND)
    assert [each.offset for each in read_seal_file(project / "run.seal").file.expect] == [0, 200]
    code, out, _ = home.call("seal", "show", "run.seal")
    shown = " ".join(out.split())
    assert code == 0
    assert "Expected plan.hyper_parameter_changed, steps 400 to 499, rank 0 because: Decay is raised by hand." in shown
    assert (
        "state.changed_between_steps of parameters of optimizer 0, every 100 steps from 200 on because: The smallest"
        in shown
    )
    checked(home.call("seal", "show", "run.seal", "--json")[1], "saksi.seal/v1")
    code, _, err = home.call("seal", "approve", "run.seal", "--key", str(approver))
    assert (code, "what it expects will be held against nobody (2 expectations)" in err) == (0, True)
    text = (project / "saksi.toml").read_text()
    (project / "saksi.toml").write_text(text.replace("400-499", "400-500"))
    create(home, "-o", "other.seal", *COMMAND)
    code, out, _ = home.call("seal", "diff", "run.seal", "other.seal")
    shown = " ".join(out.split())
    assert code == 1
    assert "only before plan.hyper_parameter_changed, steps 400 to 499, rank 0 (Decay is raised by hand.)" in shown
    assert "only after plan.hyper_parameter_changed, steps 400 to 500" in shown
    (project / "saksi.toml").write_text(
        text.replace('code = "plan.hyper_parameter_changed"', 'code = "live.code_replaced"')
    )
    code, _, err = home.call("seal", "create", "--no-environment", "-o", "third.seal", *COMMAND)
    assert (code, err.count("\n"), "saksi.toml: expect[1].code: live.code_replaced is never expected" in err) == (
        2,
        1,
        True,
    )


def test_nothing_is_started_and_nothing_is_overwritten(home, project):
    script = "open('started', 'w')"
    create(home, "--", sys.executable, "-c", script)
    assert not (project / "started").exists()
    before = (project / "run.seal").read_bytes()
    code, _, err = home.call("seal", "create", "--no-environment", *COMMAND)
    assert (code, "is there already" in err) == (2, True)
    assert (project / "run.seal").read_bytes() == before
    assert not (home.root / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "run.seal is there already"),
        (("-o", "there.seal"), "there.seal is there already"),
        (("-o", "dangling.seal"), "dangling.seal is there already"),
        (("-o", "gone/a.seal"), "gone is no folder"),
        (("-o", "closed/a.seal"), "closed cannot be written to"),
        (("--name", "configured"), "configured.seal is there already"),
    ],
)
def test_where_the_file_goes_is_looked_at_before_anything_that_takes_long(home, project, monkeypatch, words, said):
    def too_late(*_, **__):
        raise AssertionError("the work was begun")

    for name in ("run.seal", "there.seal", "configured.seal"):
        (project / name).write_bytes(b"")
    (project / "dangling.seal").symlink_to("nowhere")
    (project / "closed").mkdir()
    may = os.access  # as root may do anything
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and may(path, mode))
    monkeypatch.setattr("saksi.doors.cli.seal.rehearse", too_late)
    monkeypatch.setattr("saksi.doors.cli.seal.tree_to_seal", too_late)
    code, _, err = home.call("seal", "create", "--rehearse", "5", *words, *COMMAND)
    assert (code, said in err) == (2, True)


def test_what_is_not_observed_is_said(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("pass")
    code, _, err = home.call("seal", "create", "--no-environment", *COMMAND)
    assert code == 0
    assert "approved by nobody: the code beside the script: the working directory is in no git repository" in err
    assert "not known: only the files named here are sealed" in home.call("seal", "show", "run.seal")[1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create"], 2, "COMMAND"),
        (["create", "--", "no-such-program"], 2, "not found"),
        (["create", "--name", "a/b", *COMMAND], 2, "cannot be a name"),
        (["create", "--no-environment", "-o", "/nowhere/x.seal", *COMMAND], 2, "/nowhere is no folder"),
        (["show", "absent"], 2, "absent"),
        (["show", "train.py"], 1, "train.py"),
        (["diff", "absent", "last"], 2, "neither a run nor a seal file"),
        (["diff", "train.py", "train.py"], 1, "train.py"),
        (["approve", "absent", "--key", "k"], 2, "absent"),
        (["approve", "train.py", "--key", "k"], 1, "train.py"),
        (["approve", "train.py"], 2, "--key"),
    ],
)
def test_a_mistake_is_one_line_and_its_code(home, project, words, code, said):
    got, out, err = home.call("seal", *words)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_a_key_that_is_none_or_open_to_others_is_refused(home, project, approver):
    create(home, *COMMAND)
    before = (project / "run.seal").read_bytes()
    for key, said in ((str(approver), "chmod 600"), ("nobody", "neither a file"), ("train.py", "train.py")):
        approver.chmod(0o640)
        code, _, err = home.call("seal", "approve", "run.seal", "--key", key)
        assert (code, said in err) == (2, True), err
    assert (project / "run.seal").read_bytes() == before


def test_the_installations_key_approves_once_it_is_enrolled(home, project, tmp_path):
    create(home, *COMMAND)
    label = json.loads(home.call("keys", "list", "--json")[1])["keys"][0]["label"]
    assert "nothing was changed" in home.call("seal", "approve", "run.seal", "--key", label)[1]
    assert json.loads(home.call("seal", "show", "run.seal", "--json")[1])["approved"] is False
    assert home.call("keys", "export", "-o", str(tmp_path / "own.vkey"))[0] == 0
    assert home.call("keys", "trust", str(tmp_path / "own.vkey"), "--approver")[0] == 0
    assert json.loads(home.call("seal", "show", "run.seal", "--json")[1])["approved"] is True


def test_a_file_that_was_changed_is_shown_as_such_and_not_approved(home, project, approver):
    create(home, *COMMAND)
    signed = read_seal_file(project / "run.seal")
    other = signed_file(replace(signed.file, kernel="other"), CREATOR)
    forged = replace(other.envelope, signatures=signed.envelope.signatures)
    (project / "run.seal").write_bytes(format_seal_file(forged).content)
    code, out, _ = home.call("seal", "show", "run.seal")
    assert (code, "changed after it was signed" in out) == (1, True)
    code, _, err = home.call("seal", "approve", "run.seal", "--key", str(approver))
    assert (code, "changed after" in err) == (1, True)


# -- differences


def kept(home, **seal):
    simulated = SealedRun(**seal)
    train(simulated)
    simulated.exit()
    home.trust()
    home.keep(simulated)
    return simulated


def test_a_file_and_a_run_that_agree(home, project):
    kept(home)
    (project / "a.seal").write_bytes(signed_file(plain_seal_file(), MARIA).content)
    code, out, err = home.call("seal", "diff", "a.seal", RUN)
    assert (code, err) == (0, "")
    assert "Nothing differs that matters." in out
    document = checked(home.call("seal", "diff", "a.seal", "last@0", "--json")[1], "saksi.seal-diff/v1")
    assert (document["same"], document["differences"]) == (True, [])


def test_what_differs_ends_with_1_and_what_is_not_known_with_3(home, project):
    kept(home, kernel="other", script=replace(plain_seal().script, digest=str(sha256(b"edited"))))
    (project / "a.seal").write_bytes(signed_file(plain_seal_file(), MARIA).content)
    assert home.call("seal", "diff", "a.seal", RUN)[0] == 1
    blind = plain_seal_file(git=None, unobserved={"git": "took too long"})
    (project / "b.seal").write_bytes(signed_file(blind, MARIA).content)
    code, out, _ = home.call("seal", "diff", "a.seal", "b.seal")
    assert (code, "1 part could not be compared" in out) == (3, True)


def test_an_edited_script_is_named_with_its_line(home, project):
    create(home, "-o", "old.seal", *COMMAND)
    (project / "train.py").write_text("print(1)\nprint(2)\n")
    create(home, "-o", "new.seal", *COMMAND)
    code, out, _ = home.call("seal", "diff", "old.seal", "new.seal")
    assert code == 1
    assert "The script train.py has other content.\n  train.py line 2 changed\n" in out
    document = checked(home.call("seal", "diff", "old.seal", "new.seal", "--json")[1], "saksi.seal-diff/v1")
    script = next(each for each in document["differences"] if each["field"] == "script")
    assert (script["weight"], script["places"]) == ("matters", [{"path": "train.py", "line": 2}])
    git(project, "commit", "-qam", "two")
    create(home, "-o", "committed.seal", *COMMAND)
    assert "\n  train.py line 2 changed\n" in home.call("seal", "diff", "old.seal", "committed.seal")[1]


def test_what_names_a_run_is_a_run(home, project):
    kept(home)
    (project / "last").write_bytes(signed_file(plain_seal_file(kernel="other"), MARIA).content)
    document = json.loads(home.call("seal", "diff", "last", "./last", "--json")[1])
    assert (document["a"], document["b"]) == (RUN, "./last")


# -- reading what was approved


def test_findings_show_and_verify_judge_an_approval_alike(home, project, approver):
    simulated = SealedRun()
    create(home, *COMMAND)
    assert home.call("seal", "approve", "run.seal", "--key", str(approver))[0] == 0
    file = signed_file(plain_seal_file(), MARIA)
    simulated.approve(file.content)
    train(simulated)
    simulated.exit()
    home.trust()
    home.keep(simulated)
    assert "seal not approved" in home.call("show", RUN)[1]
    report = checked(home.call("findings", RUN, "--json")[1], "saksi.findings/v1")
    assert [each["code"] for each in report["items"]] == ["seal.not_approved", "seal.signature_unknown"]
    assert "approved." not in home.call("verify", RUN)[1]
    (home.root / "keys" / "approvers" / "m.vkey").write_text(f"{MARIA.vkey}\n")
    assert "seal not approved" not in home.call("show", RUN)[1]
    assert checked(home.call("findings", RUN, "--json")[1], "saksi.findings/v1")["items"] == []
    code, out, _ = home.call("verify", RUN)
    assert (code, f"Launched under what {MARIA.key.label} approved." in out) == (0, True)


def test_a_bad_file_among_the_approvers_is_named_where_it_would_count(home, project, approver):
    kept(home)
    (home.root / "keys" / "approvers" / "bad.vkey").write_text("nonsense")
    assert home.call("show", RUN)[0] == 0  # nothing was approved, so nobody is asked
    create(home, *COMMAND)
    code, _, err = home.call("seal", "show", "run.seal")
    assert (code, "bad.vkey, line 1" in err) == (2, True)


# -- screens


def shown_seal(file, *signers):
    signed = signed_file(file, *signers)
    keys = Approvers(approvers=(MARIA.key,), known=(CREATOR.key,))
    return seal_report("baseline.seal", signed, signatures_of(signed.envelope, keys))


SCREENS = [("wide", WIDE), ("narrow", NARROW)]


@pytest.mark.parametrize(("width", "screen"), SCREENS)
def test_screen_of_an_approved_file(width, screen):
    shown = render(draw_seal(shown_seal(plain_seal_file(), CREATOR, MARIA), screen), screen)
    assert shown == golden(f"seal-approved-{width}", shown)


def test_screen_of_a_file_that_knows_little():
    bare = plain_seal_file(
        git=None, interpreter=None, script=None, distributions=(), unobserved={"git": "no", "interpreter": "no"}
    )
    shown = render(draw_seal(shown_seal(bare, JOSE), WIDE), WIDE)
    assert shown == golden("seal-bare", shown)


@pytest.mark.parametrize(("width", "screen"), SCREENS)
def test_screen_of_differences(width, screen):
    seal = plain_seal()
    after = replace(
        seal,
        script=replace(seal.script, digest=str(sha256(b"edited"))),
        distributions=(Distribution(name="numpy", version="2.0.0"), Distribution(name="torch", version="2.6.0")),
        environment=dict(
            sorted({**seal.environment, "PYTHONPATH": "/tmp/x", "FOO": "hmac-sha256:" + "0" * 64}.items())
        ),
        git=None,
        unobserved={"git": "git did not answer"},
        kernel="Linux 7",
    )
    found = deviations(plain_seal_file(), after, each_variable=True)
    places = [(Place(path="train.py", line=3),) if each.field == "script" else () for each in found]
    report = seal_diff_report("baseline.seal", RUN, found, places)
    jsonschema.validate(
        json.loads(msgspec.json.encode(report)),
        json.loads(schema_text("saksi.seal-diff/v1")),
        jsonschema.Draft202012Validator,
    )
    shown = render(draw_seal_diff(report, screen), screen)
    assert shown == golden(f"seal-diff-{width}", shown)


def test_a_hostile_file_cannot_steer_the_terminal():
    file = plain_seal_file(
        name=HOSTILE,
        command=replace(plain_seal().command, argv=(HOSTILE,)),
        working_directory=HOSTILE,
        script=replace(plain_seal().script, path=HOSTILE),
        seeds={HOSTILE: HOSTILE},
        unobserved={HOSTILE: HOSTILE},
    )
    found = deviations(file, plain_seal(), each_variable=True)
    report = seal_diff_report("a", "b", found, [(Place(path=HOSTILE, line=1),) for _ in found])
    for shown in (
        render(draw_seal(shown_seal(file, CREATOR), WIDE), WIDE),
        render(draw_seal_diff(report, WIDE), WIDE),
    ):
        assert not any(each in shown for each in "\x1b\u202e\x9b\x07")


# -- keys


def test_keys_of_approvers_are_listed(home, approver):
    assert home.call("keys", "init")[0] == 0
    document = checked(home.call("keys", "list", "--json")[1], "saksi.keys/v1")
    assert [each["label"].split("+")[0] for each in document["approvers"]] == ["maria"]
    assert "approves maria+" in home.call("keys", "list")[1]


def test_a_key_is_trusted_for_something_that_is_said(home, approver):
    code, _, err = home.call("keys", "trust", f"{approver}.vkey")
    assert (code, "--approver" in err) == (2, True)
    assert Path(f"{approver}.vkey").exists()
