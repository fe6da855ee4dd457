from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from judgement.seals import KEY, plain_seal, seals
from saksi.judgement.deviations import PLACED, deviations, steers
from saksi.judgement.redaction import RECORDED, hmac_of
from saksi.judgement.seal import MAX_UNTRACKED, Distribution, SealedFile
from saksi.judgement.seal_file import seal_file_of
from saksi.words.digest import sha256

replace = msgspec.structs.replace
SEAL = plain_seal()
FILE = seal_file_of(SEAL)
NEWER = (*SEAL.distributions[:1], Distribution(name="torch", version="2.6.0"))


CODE = tuple(
    SealedFile(path=f"m{number:04}.py", digest=str(sha256(b"x")), size=1, reason=None)
    for number in range(MAX_UNTRACKED)
)


def weights(after, before=FILE, **how):
    return {each.field: each.weight for each in deviations(before, after, **how)}


def variables(**more):
    return dict(sorted({**SEAL.environment, **more}.items()))


def sealed(path, content=b"x", **changed):
    fields = {"path": path, "digest": str(sha256(content)), "size": len(content), "reason": None}
    return SealedFile(**fields | changed)


@given(seals)
def test_an_honest_relaunch_differs_in_nothing_but_what_nobody_looked_at(seal):
    other = replace(seal, run="f" * 16, attempt=7, name="again", created_ns=1, launch_key=msgspec.UNSET)
    found = deviations(seal_file_of(seal), other)
    assert all(each.weight == "unknown" and not each.news for each in found)


def test_another_node_login_and_scheduler_are_told_and_not_held_against_a_launch():
    hardware = replace(SEAL.hardware, host="node2", cpu="B", cores=2, memory_bytes=5, gpus=())
    environment = variables(
        HOME=hmac_of(KEY, "environment", "HOME", "/home/b"),
        PATH="/elsewhere",
        SHLVL="7",
        SLURM_JOB_ID="4711",
        CUDA_VISIBLE_DEVICES="3",
    )
    other = replace(
        SEAL, hardware=hardware, kernel="7", environment=environment, working_directory="/scratch", project="p"
    )
    found = deviations(FILE, other)
    assert {each.weight for each in found} == {"told"}
    (several,) = [each for each in found if each.field == "environment"]
    assert several.sentence == (
        "4 variables differ that steer no library known here: CUDA_VISIBLE_DEVICES, HOME, PATH and 1 more."
    )
    assert "environment.SHLVL" in weights(other, each_variable=True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"script": sealed("train.py", b"other")}, "script"),
        ({"script": sealed("other.py", b"train")}, "script"),
        ({"script": None}, "script"),
        ({"command": replace(SEAL.command, argv=("python", "train.py", "--lr", "0.2"))}, "command.argv"),
        ({"seeds": {"PYTHONHASHSEED": "1"}}, "seeds.PYTHONHASHSEED"),
        ({"files": (sealed("config.toml", b"other!"),)}, "files.config.toml"),
        ({"distributions": NEWER}, "distributions.torch"),
        ({"environment": variables(OMP_NUM_THREADS="4")}, "environment.OMP_NUM_THREADS"),
        ({"environment": variables(PYTHONPATH="/tmp")}, "environment.PYTHONPATH"),
        ({"environment": variables(LD_PRELOAD="/tmp/x.so")}, "environment.LD_PRELOAD"),
        ({"environment": variables(SAKSI_DISABLE="1")}, "environment.SAKSI_DISABLE"),
        ({"interpreter": replace(SEAL.interpreter, digest=str(sha256(b"y")))}, "interpreter.digest"),
        ({"interpreter": replace(SEAL.interpreter, flags=())}, "interpreter.flags"),
        ({"git": replace(SEAL.git, commit="c" * 40, tree="d" * 40)}, "git.commit"),
        ({"git": replace(SEAL.git, dirty=False, dirty_digest=None, changed=(), changed_total=0)}, "git.dirtyDigest"),
        ({"git": replace(SEAL.git, untracked=(sealed("random.py"),))}, "git.untracked"),
        ({"git": replace(SEAL.git, untracked=(sealed("model.pyc"),))}, "git.untracked"),
        ({"git": replace(SEAL.git, untracked=(sealed("venv/lib/site-packages/x.pth"),))}, "git.untracked"),
    ],
)  # fmt: skip
def test_what_decides_what_runs_matters(change, field):
    assert weights(replace(SEAL, **change)).get(field) == "matters"


@pytest.mark.parametrize(
    ("change", "field", "weight"),
    [
        ({"git": replace(SEAL.git, commit="c" * 40)}, "git.commit", "told"),  # the same tree under another commit
        ({"git": replace(SEAL.git, branch="other")}, "git.branch", "told"),
        ({"git": replace(SEAL.git, untracked=(sealed("ckpt.pt"),))}, "git.untracked", "told"),
        ({"git": replace(SEAL.git, untracked=(*SEAL.git.untracked, sealed("run.seal")))}, "git.untracked", None),
        (
            {"git": replace(SEAL.git, untracked=(*SEAL.git.untracked, sealed("__pycache__/a.pyc")))},
            "git.untracked",
            "told",
        ),
        ({"level": "full"}, "level", "told"),
        ({"git": None, "unobserved": {"git": "took too long"}}, "git", "unknown"),
        ({"interpreter": None, "distributions": (), "unobserved": {"interpreter": "no"}}, "interpreter", "unknown"),
        ({"script": None, "unobserved": {"script": "no"}}, "script", "unknown"),
        ({"script": replace(SEAL.script, digest=None, reason="too large")}, "script", "unknown"),
        ({"files": (replace(SEAL.files[0], digest=None, reason="no"),)}, "files.config.toml", "unknown"),
        ({"git": replace(SEAL.git, dirty=None, dirty_digest=None)}, "git.dirtyDigest", "unknown"),
        ({"git": replace(SEAL.git, untracked_total=None)}, "git.untracked", "unknown"),
        ({"git": replace(SEAL.git, untracked=CODE, untracked_total=MAX_UNTRACKED)}, "git.untracked", "matters"),
    ],
)
def test_what_weighs_less(change, field, weight):
    assert weights(replace(SEAL, **change)).get(field) == weight


def test_a_run_that_is_launched_again_is_not_held_to_what_it_wrote_beside_its_script():
    written = [sealed(f"out/{number:04}.json") for number in range(MAX_UNTRACKED)]
    for output, total in (([sealed("model.pth")], 1), ([sealed("best.zip"), sealed("log.txt")], 2), (written, 9_000)):
        git = replace(SEAL.git, untracked=tuple(output), untracked_total=total)
        assert weights(replace(SEAL, git=git)) == {"git.untracked": "told"}


def test_of_more_code_than_is_listed_nothing_is_known():
    sealed_git = replace(SEAL.git, untracked=CODE, untracked_total=MAX_UNTRACKED)
    more = replace(sealed_git, untracked_total=MAX_UNTRACKED + 1)
    before = seal_file_of(replace(SEAL, git=sealed_git))
    assert weights(replace(SEAL, git=more), before) == {"git.untracked": "unknown"}
    both = deviations(seal_file_of(replace(SEAL, git=more)), replace(SEAL, git=more))
    assert [(each.field, each.weight, each.news) for each in both] == [("git.untracked", "unknown", False)]


def test_an_archive_that_was_sealed_and_is_another_matters():
    git = replace(SEAL.git, untracked=(sealed("lib.zip"),))
    other = replace(SEAL.git, untracked=(sealed("lib.zip", b"y"),))
    assert weights(replace(SEAL, git=other), seal_file_of(replace(SEAL, git=git))) == {"git.untracked": "matters"}


def test_packages_of_an_interpreter_that_is_not_known_are_not_said_to_be_gone():
    other = replace(SEAL, interpreter=None, distributions=(), unobserved={"interpreter": "not found"})
    assert not [each for each in weights(other) if each.startswith("distributions.")]


def test_what_neither_side_knows_is_not_taken_for_the_same():
    blind = replace(SEAL, git=None, unobserved={"git": "the working directory is in no git repository"})
    (found,) = deviations(seal_file_of(blind), blind)
    assert (found.weight, found.field, found.news) == ("unknown", "git", False)
    bounded = replace(SEAL, unobserved={"git.ignored": "not every folder was looked into"})
    (found,) = deviations(seal_file_of(bounded), bounded)
    assert (found.weight, found.field, found.news) == ("unknown", "git.ignored", False)
    large = replace(SEAL, script=replace(SEAL.script, digest=None, reason="too large"))
    (found,) = deviations(seal_file_of(large), large)
    assert (found.weight, found.subject, found.news) == ("unknown", "train.py", False)


def test_a_hidden_value_of_the_command_line():
    def hidden(argv, text):
        return replace(SEAL, command=replace(SEAL.command, argv=argv, total=len(argv), hmac=hmac_of(KEY, "c", text)))

    secret = ("python", "train.py", "--token", "[redacted]")
    assert weights(hidden(secret, "a"), seal_file_of(hidden(secret, "b"))) == {"command.hmac": "told"}
    program = ("python", "-c", "[9000 characters]")
    assert weights(hidden(program, "a"), seal_file_of(hidden(program, "b"))) == {"command.hmac": "matters"}
    other = replace(hidden(secret, "a"), redaction_key="f" * 16)
    assert weights(other, seal_file_of(hidden(secret, "b"))).get("command.hmac") == "unknown"


def test_values_hidden_under_two_keys_are_unknown_only_if_they_steer():
    other_key = {"redaction_key": "f" * 16}
    assert weights(replace(SEAL, **other_key)) == {"redactionKey": "told"}
    hidden = hmac_of(KEY, "environment", "PYTHONPATH", "/long")
    long = replace(SEAL, environment=variables(PYTHONPATH=hidden))
    assert "unknown" in weights(replace(long, **other_key), seal_file_of(long)).values()
    secret = sealed(".env", digest=hmac_of(KEY, "file", "x"))
    with_secret = replace(SEAL, files=(secret,))
    other = replace(with_secret, files=(replace(secret, digest=hmac_of(KEY, "file", "y")),), **other_key)
    assert weights(other, seal_file_of(with_secret))["files..env"] == "unknown"


def test_a_seed_in_the_environment_is_told_once():
    other = replace(SEAL, seeds={"PYTHONHASHSEED": "1"}, environment=variables(PYTHONHASHSEED="1"))
    assert weights(other) == {"seeds.PYTHONHASHSEED": "matters"}


def test_every_variable_with_a_reason_is_one_that_is_recorded():
    assert all(reason for _, reason in PLACED)
    recorded = {name for name, _ in RECORDED}
    for name, _ in PLACED:
        plain = name.rstrip("*")
        assert not steers(f"{plain}X" if name.endswith("*") else plain), name
        assert name in recorded or any(plain.startswith(each[:-1]) for each in recorded if each.endswith("*")), name
    assert steers("PYTHONPATH")
    assert not steers("SOMETHING")


def test_a_program_on_the_command_line_is_compared_with_it():
    blind = {"script": None, "unobserved": {"script": "the code stands on the command line"}}
    code = replace(SEAL, command=replace(SEAL.command, argv=("/bin/python3", "-c", "x = 1"), total=3), **blind)
    assert deviations(seal_file_of(code), code) == ()
    (found,) = deviations(seal_file_of(replace(SEAL, **blind)), replace(SEAL, **blind))
    assert (found.weight, found.field) == ("unknown", "script")
