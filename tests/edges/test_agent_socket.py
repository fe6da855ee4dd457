from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from saksi.edges.agent_socket import open_doors
from saksi.words.errors import SaksiError, UsageError


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as folder:  # a socket's path is short
        yield Path(folder) / "run" / "agent.sock"


def test_everybody_may_enter_and_nobody_else_may_write(place):
    before = os.umask(0o077)
    try:
        doors = open_doors(place)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o666
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(doors.folder.stat().st_mode) == 0o755
    doors.close()
    assert list(place.parent.iterdir()) == []


def test_a_living_agent_is_not_pushed_aside_and_a_dead_one_is_cleared_away(place):
    first = open_doors(place)
    with pytest.raises(SaksiError, match="another agent listens"):
        open_doors(place)
    assert first.folder.exists()
    first.control.close()  # it dies: its files stay
    os.close(first.lock)
    second = open_doors(place)
    assert not first.folder.exists()
    assert second.folder.exists()
    second.close()


def test_one_only_removes_ones_own_socket(place):
    first = open_doors(place)
    place.unlink()
    second = open_doors(place)
    first.close()
    assert place.exists()
    assert second.folder.exists()
    second.close()


def test_a_folder_that_others_may_write_is_refused(place):
    place.parent.mkdir()
    place.parent.chmod(0o777)
    with pytest.raises(UsageError, match="can be written by other accounts"):
        open_doors(place)


def test_what_is_no_socket_is_left_alone(place):
    place.parent.mkdir(mode=0o755)
    place.write_text("precious")
    with pytest.raises(UsageError, match="no socket"):
        open_doors(place)
    assert place.read_text() == "precious"


@pytest.mark.parametrize("path", ["relative.sock", "/tmp/" + "x" * 100 + "/agent.sock"])
def test_a_path_that_cannot_be_one_is_refused(path):
    with pytest.raises(UsageError):
        open_doors(Path(path))


def test_a_socket_that_nobody_listens_on_makes_way(place):
    place.parent.mkdir(mode=0o755)
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(str(place))
    left.close()
    doors = open_doors(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        assert asking.connect_ex(str(place)) == 0
    doors.close()
