import msgspec
import pytest

from doors.cli.cli_home import OTHER, CliHome, SealedRun
from saksi.edges.home import Home
from saksi.edges.launch_keys import keep_run_of_key, run_of_key
from saksi.judgement.launch_key import LaunchKey
from simulated_run import RUN

SLURM = LaunchKey(kind="slurm", label="4711", restarts=1, joined=False)


def nothing() -> dict:
    raise AssertionError("no run is asked")


def test_a_key_leads_to_the_run_it_led_to_last(tmp_path):
    home = Home(tmp_path)
    keep_run_of_key(home, SLURM, "c", RUN)
    keep_run_of_key(home, SLURM, "c", OTHER)
    assert run_of_key(home, SLURM, "c", nothing) == OTHER
    assert run_of_key(home, SLURM, "another command", nothing) is None
    assert run_of_key(home, msgspec.structs.replace(SLURM, label="4712"), "c", nothing) is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"kind":"slurm","label":"4711","run":"../.."}'])
def test_a_file_that_is_damaged_leads_nowhere(tmp_path, content):
    home = Home(tmp_path)
    keep_run_of_key(home, SLURM, "c", RUN)
    (path,) = (tmp_path / "launch-keys").iterdir()
    path.write_bytes(content)
    assert run_of_key(home, SLURM, "c", nothing) is None


def test_where_the_folder_is_missing_it_is_made_again_from_the_seals(tmp_path):
    older, newer = SealedRun(launch_key=SLURM), SealedRun(OTHER, launch_key=SLURM, created_ns=2**61)
    without = SealedRun("0" * 16)
    kept = CliHome(tmp_path, None)
    runs = {each.run: kept.keep(each) for each in (newer, older, without)}
    runs["1" * 16] = tmp_path / "no such run"
    home = Home(tmp_path)
    command = older.sealed.command.hmac
    assert run_of_key(home, SLURM, command, lambda: runs) == OTHER
    assert run_of_key(home, SLURM, command, nothing) == OTHER
