"""Every command against runs on a disk: what it prints, how it ends, and that reading makes nothing."""

import json
import os
import shutil
import subprocess
import sys

import jsonschema
import pytest

from doors.cli.cli_home import HOSTILE, OTHER, SealedRun, golden
from judgement.continuation.seam import Pair, state
from saksi.doors.cli.schemas import schema_text
from saksi.words.digest import sha256
from simulated_run import INSTALLATION, RUN, STRANGER, train


def honest(run: str = RUN, **seal) -> SealedRun:
    simulated = SealedRun(run, **seal)
    train(simulated)
    simulated.exit()
    return simulated


def checked(text: str, schema: str):
    """The one line of JSON, valid under its schema."""
    assert text.count("\n") == 1
    document = json.loads(text)
    assert document["schema"] == schema
    jsonschema.validate(document, json.loads(schema_text(schema)), jsonschema.Draft202012Validator)
    return document


def snapshot(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.fixture
def kept(home):
    home.trust()
    home.keep(honest())
    return home


# -- reading runs


def test_runs_lists_the_readable_and_the_unreadable(kept):
    folder = kept.keep(honest(OTHER, name="again"))
    (folder / "head").write_bytes(b"nothing")
    code, out, err = kept.call("runs", "--json")
    lines = {each["run"]: each for each in checked(out, "saksi.runs/v1")["runs"]}
    assert (code, err) == (0, "")
    assert lines[RUN]["steps_witnessed"] == 6
    assert (lines[OTHER]["state"], lines[OTHER]["verdict"]) == ("unreadable", "unknown")
    assert kept.call("runs")[0] == 0


def test_runs_without_a_home_says_what_to_do_and_makes_none(home):
    code, out, _ = home.call("runs")
    assert (code, out.splitlines()[1]) == (0, "Next: saksi run -- python train.py")
    assert not home.root.exists()


@pytest.mark.parametrize("name", [RUN, RUN[:4], "baseline", "last"])
def test_show_finds_a_run_by_every_name(kept, name):
    code, out, err = kept.call("show", name)
    assert (code, err) == (0, "")
    assert out == golden("command-show", out)


def test_show_as_json(kept):
    code, out, _ = kept.call("show", "last", "--json")
    document = checked(out, "saksi.show/v1")
    assert code == 0
    assert document["sentence"].startswith("Nothing found in 6 of 6 steps. Not yet proof")
    assert document["command"] == ["python", "train.py", "--lr", "0.1"]


def resumed() -> SealedRun:
    simulated = honest()
    simulated.resume()
    train(simulated, steps=3)
    simulated.exit()
    return simulated


@pytest.mark.parametrize("name", [RUN, RUN[:4], "baseline", "last"])
def test_one_attempt_is_shown_by_every_name_of_its_run(home, name):
    home.keep(resumed())
    code, out, _ = home.call("show", f"{name}@1", "--json")
    document = checked(out, "saksi.show/v1")
    assert (code, document["attempt"]) == (0, 1)
    assert [each["number"] for each in document["attempts"]] == [1]
    assert document["series"][0]["count"] == 3


def test_an_attempt_that_is_not_there_is_a_usage_error(home):
    home.keep(resumed())
    for text in ("last@2", "last@12345678901234567890", "last@", "@1"):
        code, out, err = home.call("show", text)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
    assert "it has attempts 0 to 1" in home.call("show", "last@2")[2]


def test_a_run_of_that_very_name_goes_before_an_attempt(home):
    home.keep(resumed())
    home.keep(honest(OTHER, name="baseline@1"))
    assert json.loads(home.call("show", "baseline@1", "--json")[1])["run"] == OTHER


def test_what_another_run_saved_explains_a_load(home):
    source, target = honest(OTHER), SealedRun()
    digest = f"sha256:{'a' * 64}"
    source.file(path="/out/ckpt.pt", digest=digest, step=5)
    home.keep(source)
    connection = target.attach()
    target.file(path="/elsewhere/ckpt.pt", digest=digest, action="loaded", step=-1)
    target.file(path="/weights.pt", digest=f"sha256:{'c' * 64}", action="loaded", step=-1)
    connection.update()
    connection.goodbye()
    target.exit()
    home.keep(target)
    known, unknown = json.loads(home.call("show", RUN, "--json")[1])["attempts"][0]["loaded"]
    assert (known["origin"], known["origin_run"], known["origin_step"]) == ("saved", OTHER, 5)
    assert unknown["origin"] == "unknown"
    shown = home.call("show", RUN)[1]
    assert f"continues step 5 of run {OTHER}" in " ".join(shown.split())
    assert "unknown origin" in " ".join(shown.split())


def test_a_damaged_run_hides_no_origin(home):
    source, target = honest(OTHER), SealedRun()
    digest = f"sha256:{'a' * 64}"
    source.file(path="/out/ckpt.pt", digest=digest, step=5)
    (home.keep(source) / "head").write_bytes(b"nothing")
    connection = target.attach()
    target.file(path="/out/ckpt.pt", digest=digest, action="loaded", step=-1)
    connection.update()
    connection.goodbye()
    target.exit()
    home.keep(target)
    code, out, _ = home.call("show", RUN, "--json")
    assert code == 0
    (load,) = json.loads(out)["attempts"][0]["loaded"]
    assert load["origin"] == "unknown"


@pytest.mark.parametrize(("forgotten", "after", "code"), [({}, 2, 0), ({"0/0/0/exp_avg": "fresh"}, 2, 1), ({}, 0, 3)])
def test_two_attempts_are_compared_at_the_seam(home, forgotten, after, code):
    pair = Pair(after=after)
    pair.resumed(root=state(**forgotten))
    home.keep(pair.run)
    ended, out, _ = home.call("diff", "last@0", f"{RUN}@1", "--json")
    document = checked(out, "saksi.diff/v1")
    assert ended == code
    assert (document["a"], document["b"]) == (f"{RUN}@0", f"{RUN}@1")
    assert document["continuation"]["continues"] is {0: True, 1: False, 3: None}[code]
    assert home.call("diff", "last@0", "last@1")[0] == code


def test_attempts_that_share_no_model_checkpoint_are_compared_from_the_first_step(home):
    home.keep(resumed())
    code, out, _ = home.call("diff", "last@0", "last@1", "--json")
    document = checked(out, "saksi.diff/v1")
    assert (code, document["continuation"], document["compared"]) == (1, None, 3)
    assert (document["lengths"][0]["a"], document["lengths"][0]["b"]) == (6, 3)


def test_an_attempt_is_the_same_as_itself(home):
    home.keep(resumed())
    assert home.call("diff", "last@1", "last@1")[0] == 0
    code, out, err = home.call("diff", "last@0", "last@7")
    assert (code, out) == (2, "")
    assert "it has attempts 0 to 1" in err


def test_follow_of_a_closed_run_shows_it_once(kept):
    assert kept.call("show", "last", "--follow")[1] == kept.call("show", "last")[1]


def test_show_of_a_truncated_log_says_so(kept):
    journal = kept.root / "runs" / RUN / "journal"
    journal.write_bytes(journal.read_bytes()[:-40])
    code, out, _ = kept.call("show", "last")
    assert code == 0
    assert "The log is not whole" in out.replace("\n", " ")


def test_findings_end_by_severity(kept):
    code, out, _ = kept.call("findings", "last", "--json")
    assert (code, checked(out, "saksi.findings/v1")["verdict"]) == (3, "unknown")
    bad = SealedRun(OTHER, name="bad")
    train(bad)
    bad.exit(code=1)
    kept.keep(bad)
    code, out, _ = kept.call("findings", "bad", "--json")
    codes = {each["code"]: each["severity"] for each in checked(out, "saksi.findings/v1")["items"]}
    assert "availability.failed" in codes
    assert kept.call("findings", "bad", "--fail-on", "info")[0] == 1
    assert kept.call("findings", "bad", "--fail-on", "critical")[0] == 3
    shown = json.loads(kept.call("findings", "bad", "--json", "--severity", "critical")[1])["items"]
    assert all(each["severity"] == "critical" for each in shown)


def test_diff_says_how_far_apart_the_records_are(kept):
    other = SealedRun(OTHER, name="further")
    train(other, altered={3: {"loss": 10.0}, 4: {"rng": {"torch": "a" * 64}}})
    other.exit()
    kept.keep(other)
    code, out, _ = kept.call("diff", RUN, OTHER, "--json")
    distance = checked(out, "saksi.diff/v1")["distance"]
    assert (code, distance["loss"]["at"]["update"], distance["loss"]["apart"]) == (1, 3, 0.9)
    first = {each["kind"]: (each["first"] or {}).get("update") for each in distance["kinds"]}
    assert first == {"program": None, "hyper_parameters": None, "data": None, "randomness": 4, "code": None}
    assert "random numbers: equal in" in kept.call("diff", RUN, OTHER)[1]


def test_findings_of_a_truncated_log_warn_on_the_other_stream(kept):
    journal = kept.root / "runs" / RUN / "journal"
    journal.write_bytes(journal.read_bytes()[:-40])
    code, out, err = kept.call("findings", "last", "--json")
    checked(out, "saksi.findings/v1")
    assert code != 0
    assert "is not whole" in err


def test_diff_ends_by_what_it_finds(kept):
    same = honest(OTHER, name="again")
    kept.keep(same)
    code, out, _ = kept.call("diff", RUN, OTHER, "--json")
    found = checked(out, "saksi.diff/v1")
    assert (code, found["same"], found["distance"]) == (0, True, None)
    kept.keep(honest("1" * 16, name="other", seeds={"PYTHONHASHSEED": "7"}))
    assert kept.call("diff", RUN, "other")[0] == 1
    unsealed = honest("2" * 16, name="unsealed")
    for digest in [each for each, content in unsealed.blobs.items() if b"payload" in content]:
        del unsealed.blobs[digest]
    kept.keep(unsealed)
    assert kept.call("diff", RUN, "2222")[0] == 3


# -- verifying


def test_a_bundle_is_verified_where_there_is_no_home(kept, tmp_path, monkeypatch):
    bundle, trust = tmp_path / "run.saksi", tmp_path / "lab.vkey"
    trust.write_text(f"{INSTALLATION.vkey}\n")
    code, out, _ = kept.call("bundle", "last", "-o", str(bundle))
    assert (code, out.startswith(f"{bundle}: run {RUN}")) == (0, True)
    elsewhere = tmp_path / "nowhere"
    monkeypatch.setenv("SAKSI_HOME", str(elsewhere))
    code, out, _ = kept.call("verify", str(bundle), "--trust", str(trust), "--json")
    assert (code, checked(out, "saksi.verify/v1")["targets"][0]["verdict"]) == (0, "accepted")
    assert kept.call("verify", str(bundle))[0] == 3
    trust.write_text(f"{STRANGER.vkey}\n")
    assert kept.call("verify", str(bundle), "--trust", str(trust))[0] == 3
    monkeypatch.delenv("SAKSI_HOME")
    monkeypatch.delenv("HOME")
    trust.write_text(f"{INSTALLATION.vkey}\n")
    assert kept.call("verify", str(bundle), "--trust", str(trust))[0] == 0
    assert not elsewhere.exists()


def test_a_changed_bundle_is_refused(kept, tmp_path):
    bundle = tmp_path / "run.saksi"
    kept.call("bundle", "last", "-o", str(bundle))
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(content)
    code, out, err = kept.call("verify", str(bundle))
    assert (code, err) == (1, "")
    assert "refused" in out


def test_a_bundle_is_never_written_over_something(kept, tmp_path):
    bundle = tmp_path / "there"
    bundle.write_bytes(b"mine")
    code, _, err = kept.call("bundle", "last", "-o", str(bundle))
    assert (code, err.count("\n"), bundle.read_bytes()) == (2, 1, b"mine")


def test_a_run_is_verified_against_anchors(kept, tmp_path):
    simulated = honest()
    folder = tmp_path / "anchors" / RUN
    folder.mkdir(parents=True)
    (folder / "000000000004.note").write_bytes(simulated.head(4))
    code, out, _ = kept.call("verify", "last", "--anchor", str(tmp_path / "anchors"))
    assert (code, "1 anchor agrees" in out) == (0, True)
    assert kept.call("verify", "last", "--anchor", str(tmp_path / "gone"))[0] == 2
    (folder / "000000000005.note").write_bytes(honest(RUN, name="other").head(5))
    assert kept.call("verify", "last", "--anchor", str(tmp_path / "anchors"))[0] == 1


def test_the_worst_target_decides(kept, tmp_path):
    unknown = tmp_path / "unknown"
    unknown.write_bytes(b"?")
    assert kept.call("verify", "last", str(unknown))[0] == 3
    broken = tmp_path / "broken.saksi"
    broken.write_bytes(b"?")
    assert kept.call("verify", str(broken), "last", str(unknown))[0] == 1


@pytest.mark.parametrize(
    ("content", "records", "answer"),
    [
        (b"abc", [{"content": b"abc"}], (0, "after step 5, rank 0, and unchanged since")),
        (b"abc", [{"content": b"abc"}, {"content": b"later", "step": 9}], (0, "of step 9")),
        (b"xyz", [{"content": b"abc"}], (1, "with other content")),
        (b"xyz", [{"content": b"abc", "path": "/elsewhere"}], (3, "No run is recorded")),
        (b"abc", [{"content": b"abc", "action": "loaded"}], (3, "no run is recorded to have made it")),
        (b"abc", [{"content": None, "claimed": b"abc"}], (0, "the job's claim")),
        (b"abc", [{"content": b"abc", "claimed": b"other"}], (3, "not surely unchanged")),
        (b"abc", [], (3, "No run is recorded")),
    ],
)
def test_a_file_is_looked_up_in_the_records(home, tmp_path, content, records, answer):
    code, words = answer
    home.trust()
    file = tmp_path / "model.pt"
    file.write_bytes(content)
    simulated = SealedRun()
    for each in records:
        claimed = each.get("claimed")
        simulated.file(
            path=each.get("path", str(file)),
            digest=None if each["content"] is None else str(sha256(each["content"])),
            claimed=None if claimed is None else str(sha256(claimed)),
            step=each.get("step", 5),
            action=each.get("action", "saved"),
        )
    simulated.exit()
    home.keep(simulated)
    ended, out, _ = home.call("verify", str(file), "--json")
    line = checked(out, "saksi.verify/v1")["targets"][0]
    assert (ended, words in line["sentence"]) == (code, True), line
    assert line["kind"] == "file"


def test_a_file_record_counts_only_in_a_log_that_verifies(home, tmp_path):
    home.trust().write_text(f"{STRANGER.vkey}\n")
    file = tmp_path / "model.pt"
    file.write_bytes(b"abc")
    simulated = SealedRun()
    simulated.file(path=str(file), digest=str(sha256(b"abc")))
    home.keep(simulated)
    code, out, _ = home.call("verify", str(file))
    assert code == 3
    assert "does not count" in out


def test_a_file_never_stands_in_for_a_run(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "last").write_bytes(b"?")
    assert json.loads(kept.call("verify", "last", "--json")[1])["targets"][0]["kind"] == "run"
    assert json.loads(kept.call("verify", "./last", "--json")[1])["targets"][0]["kind"] == "file"


# -- keys and folders


def test_keys_are_made_listed_rotated_and_given_out(home, tmp_path):
    assert home.call("keys", "list")[0] == 3
    assert not home.root.exists()
    first = home.call("keys", "init")[1].strip()
    assert home.call("keys", "init")[1].strip() == first
    second = home.call("keys", "rotate")[1].strip()
    document = checked(home.call("keys", "list", "--json")[1], "saksi.keys/v1")
    assert [(each["vkey"], each["current"]) for each in document["keys"]] == [(second, True), (first, False)]
    assert "trusted" in home.call("keys", "list")[1]
    exported = tmp_path / "lab.vkey"
    assert home.call("keys", "export", "-o", str(exported))[0] == 0
    assert exported.read_text().strip() == home.call("keys", "export")[1].strip() == second
    assert home.call("keys", "export", "-o", str(exported))[0] == 2
    assert home.call("keys", "export", "-o", str(tmp_path))[0] == 2


def test_fsck_tells_and_repairs(kept):
    code, out, _ = kept.call("fsck", "--json")
    line = checked(out, "saksi.fsck/v1")["runs"][0]
    assert (code, line["sound"]) == (1, False)  # no tile was written for this run
    code, out, _ = kept.call("fsck", "last", "--repair")
    assert (code, "made again" in out) == (0, True)
    assert kept.call("fsck")[0] == 0
    blob = next((kept.root / "runs" / RUN / "blobs").rglob("*/*/*"))
    blob.chmod(0o600)
    blob.write_bytes(b"other")
    code, out, _ = kept.call("fsck", "last", "--repair")
    assert (code, "its bytes have the digest" in out) == (1, True)


def test_fsck_without_keys_judges_nothing(kept):
    shutil.rmtree(kept.root / "keys")
    code, out, _ = kept.call("fsck", "--json")
    assert (code, checked(out, "saksi.fsck/v1")["runs"][0]["sound"]) == (3, None)
    assert kept.call("fsck")[0] == 3


def test_fsck_without_runs(home):
    assert home.call("fsck") == (0, "There is no run to check.\n", "")


def test_reading_makes_and_changes_nothing(kept, tmp_path):
    kept.keep(honest(OTHER, name="again"))
    file = tmp_path / "model.pt"
    file.write_bytes(b"abc")
    before = snapshot(kept.root)
    for words in (
        ["runs"],
        ["show", "last"],
        ["findings", "again"],
        ["diff", RUN, OTHER],
        ["verify", RUN, str(file)],
        ["bundle", RUN, "-o", str(tmp_path / "out.saksi")],
    ):
        kept.call(*words)
    assert snapshot(kept.root) == before


# -- bad input


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show"], 2, "argument"),
        (["show", "nothing"], 2, "no run"),
        (["show", "last"], 2, "there is no run yet"),
        (["show", "last", "--nope"], 2, "--nope"),
        (["nope"], 2, "nope"),
        (["keys"], 2, "command"),
        (["keys", "nope"], 2, "nope"),
        (["bundle", "last"], 2, "output"),
        (["findings", "last", "--fail-on", "loud"], 2, "not a severity"),
        (["verify"], 2, "argument"),
        (["verify", "/nowhere/at/all"], 2, "neither a run nor a file"),
        (["verify", "/"], 2, "is a folder"),
        (["verify", "x", "--trust", "/nowhere"], 2, "/nowhere"),
        (["fsck", HOSTILE], 2, "no run"),
        (["verify", HOSTILE], 2, "neither a run nor a file"),
        ([HOSTILE], 2, "command"),
        (["show", "--" + HOSTILE], 2, "option"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(home, words, code, says):
    ended, out, err = home.call(*words)
    assert (ended, out) == (code, "")
    assert err.startswith("saksi: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    assert says in err.lower()


def test_an_ambiguous_prefix_names_the_runs(kept):
    kept.keep(honest(RUN[:8] + "00000000", name="twin"))
    code, _, err = kept.call("show", RUN[:4])
    assert (code, "can mean" in err, "twin" in err) == (2, True, True)


def test_an_unexpected_error_is_one_line(home, monkeypatch):
    def broken() -> None:
        raise RuntimeError(f"odd {HOSTILE}\nsecond line")

    monkeypatch.setattr("saksi.doors.cli.runs.catalogue", broken)
    code, out, err = home.call("runs")
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert err.startswith("saksi: internal error: RuntimeError: odd a\\x1b")
    assert "please report" in err
    monkeypatch.setenv("SAKSI_DEBUG", "1")
    assert "Traceback" in home.call("runs")[2]


def test_a_locale_without_our_characters(kept):
    kept.keep(honest(OTHER, name="größer 模型"))
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "COLUMNS": "60"}
    for words in (["show", "ffee"], ["runs"], ["findings", "ffee"], ["show", "größer 模型"]):
        done = subprocess.run(
            [sys.executable, "-m", "saksi.doors.main", *words], env=environment, capture_output=True, check=False
        )
        assert done.stderr == b""
        assert done.returncode in (0, 3)
        assert done.stdout.isascii()
        assert max(map(len, done.stdout.splitlines())) <= 60


def test_a_reader_that_goes_away_is_no_failure(kept):
    command = f"{sys.executable} -m saksi.doors.main show last --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_json_needs_no_rich(kept):
    code = (
        "import sys; from saksi.doors.main import main; c = main(['show', 'last', '--json']); "
        "sys.exit(c or ('rich.console' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
