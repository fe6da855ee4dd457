from __future__ import annotations

import os
import sys

import msgspec
import pytest

from judgement.rehearsals import rehearsal
from saksi.doors.launch.sealing import make_seal_file
from saksi.judgement.seal_file import parse_seal_file
from saksi.words.errors import UsageError


def seal(tmp_path, rehearsed):
    environment = {"PATH": os.environ["PATH"], "SAKSI_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", "pass"]
    return make_seal_file(
        command, environment, tmp_path, name=None, project=None, now_ns=1, rehearsed=lambda: rehearsed
    )


def test_what_was_rehearsed_is_in_the_signed_file(tmp_path):
    signed = seal(tmp_path, rehearsal())
    assert parse_seal_file(signed.content).file.rehearsal == rehearsal()


def test_a_rehearsal_that_does_not_fit_is_refused_with_what_to_do(tmp_path):
    held = rehearsal()
    (rank,) = held.ranks
    many = tuple(msgspec.structs.replace(rank.updates[0], update=number, loss="1" * 4000) for number in range(900))
    large = msgspec.structs.replace(held, ranks=(msgspec.structs.replace(rank, updates=many),))
    with pytest.raises(UsageError, match=r"larger than a seal file may be \(rehearse fewer steps\)"):
        seal(tmp_path, large)
