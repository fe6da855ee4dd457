import msgspec
import pytest

from judgement.seals import plain_seal
from saksi.judgement.launch_key import MAX_LABEL, LaunchKey, identity, in_words, is_further, launch_key
from saksi.judgement.seal import make_statement, parse_seal
from saksi.judgement.seal_differences import differences
from saksi.words.errors import MalformedInput, UsageError


def key(**environment: str) -> LaunchKey | None:
    return launch_key(environment, host="node1")


def known(**environment: str) -> LaunchKey:
    found = key(**environment)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("environment", "kind", "label", "further"),
    [
        ({"SLURM_JOB_ID": "4711"}, "slurm", "4711", False),
        ({"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "0"}, "slurm", "4711", False),
        ({"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "2", "SLURM_PROCID": "0"}, "slurm", "4711", True),
        ({"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "1", "SLURM_PROCID": "3"}, "slurm", "4711, process 3", True),
        (
            {
                "SLURM_JOB_ID": "4713",
                "SLURM_ARRAY_JOB_ID": "4711",
                "SLURM_ARRAY_TASK_ID": "2",
                "SLURM_RESTART_COUNT": "1",
            },
            "slurm",
            "4711_2",
            True,
        ),
        ({"TORCHELASTIC_RUN_ID": "abc"}, "torchelastic", "abc on node1", True),
        (
            {"TORCHELASTIC_RUN_ID": "abc", "TORCHELASTIC_RESTART_COUNT": "0", "LOCAL_RANK": "1"},
            "torchelastic",
            "abc on node1, local rank 1",
            False,
        ),
        ({"TORCHELASTIC_RUN_ID": "none", "SLURM_JOB_ID": "4711"}, "slurm", "4711", False),
        ({"SAKSI_RUN_KEY": "night 7", "SLURM_JOB_ID": "4711"}, "named", "night 7", True),
    ],
)
def test_a_launch_has_the_key_of_its_surroundings(environment, kind, label, further):
    found = known(**environment)
    assert (found.kind, found.label, is_further(found), found.joined) == (kind, label, further, False)


@pytest.mark.parametrize("environment", [{}, {"TORCHELASTIC_RUN_ID": "none"}, {"SLURM_JOB_ID": ""}])
def test_most_launches_have_none(environment):
    assert key(**environment) is None


@pytest.mark.parametrize("text", ["", "a\nb", "x" * (MAX_LABEL + 1)])
def test_a_key_that_is_none_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match=r"cannot be a key.*or unset it"):
        key(SAKSI_RUN_KEY=text)


def test_a_counter_that_is_no_number_says_nothing():
    assert not is_further(known(SLURM_JOB_ID="1", SLURM_RESTART_COUNT="many"))
    assert known(TORCHELASTIC_RUN_ID="a", TORCHELASTIC_RESTART_COUNT="\u0663").restarts is None


def test_array_tasks_processes_and_commands_are_kept_apart():
    job = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_RESTART_COUNT": "1"}
    keys = [
        identity(known(**job, SLURM_ARRAY_TASK_ID=task, SLURM_PROCID=process), command)
        for task in "12"
        for process in "01"
        for command in ("train", "evaluate")
    ]
    assert len(set(keys)) == 8


def test_restarts_of_one_job_share_a_key():
    first, again = known(SLURM_JOB_ID="4711"), known(SLURM_JOB_ID="4711", SLURM_RESTART_COUNT="1")
    assert identity(first, "c") == identity(again, "c")


def test_a_key_that_was_given_holds_for_any_command():
    given = known(SAKSI_RUN_KEY="k")
    assert identity(given, "one") == identity(given, "other")


def test_the_line_says_why():
    assert in_words(known(SLURM_JOB_ID="4711")) == "SLURM job 4711 was requeued"
    assert in_words(known(TORCHELASTIC_RUN_ID="abc")) == "torchelastic run abc on node1 was started again"
    assert in_words(known(SAKSI_RUN_KEY="k")) == "SAKSI_RUN_KEY is 'k' again"


def test_a_seal_has_a_key_or_no_member_for_it():
    plain = plain_seal()
    assert b"launchKey" not in make_statement(plain)
    keyed = msgspec.structs.replace(plain, launch_key=known(SLURM_JOB_ID="4711", SLURM_RESTART_COUNT="1"))
    payload = make_statement(keyed)
    assert parse_seal(payload) == keyed
    with pytest.raises(MalformedInput):
        parse_seal(payload.replace(b'"label":"4711"', b'"label":"4711","by":"x"'))
    assert differences(plain, keyed) == ()
