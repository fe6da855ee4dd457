from __future__ import annotations

import hashlib
import os
import pickle

import pytest

from saksi.judgement.replay.stretches import Restart
from saksi.processes.auditor.ckpt_in_place import put_in_place
from saksi.words.errors import UsageError

CONTENT = b"what the run saved"


class Place:
    """A project in which the run saved, and a check-out that stands in its place."""

    def __init__(self, folder):
        self.project, self.checkout, self.beside = folder / "project", folder / "checkout", folder / "beside"
        (self.project / "ckpts").mkdir(parents=True)
        (self.checkout / ".git").mkdir(parents=True)
        (self.checkout / ".git" / "HEAD").write_text("a commit")
        (self.checkout / "train.py").write_text("as sealed")
        (self.checkout / "link.py").symlink_to("train.py")
        self.save(CONTENT)
        self.placed = ((folder / "kept", folder / "env"), (self.checkout, self.project), (folder / "gone", folder))

    def save(self, content):
        (self.project / "ckpts" / "9.pt").write_bytes(content)
        self.restart = Restart(
            step=9, path="ckpts/9.pt", digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content)
        )

    def put(self, placed=None):
        return put_in_place(self.restart, self.project, self.placed if placed is None else placed, self.beside)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_where_nothing_is_placed_the_file_lies_where_it_is(place):
    assert place.put(placed=()) == ()
    assert not place.beside.exists()


def test_a_check_out_of_its_own_has_the_file_and_the_shared_one_has_not(place):
    before = listed(place.checkout)
    first, own, last = place.put()
    assert (first, own, last) == (place.placed[0], (place.beside, place.project), place.placed[2])
    assert listed(place.checkout) == before
    assert listed(place.beside) == sorted([*before, "ckpts", "ckpts/9.pt"])
    assert (place.beside / "ckpts/9.pt").read_bytes() == CONTENT
    assert os.readlink(place.beside / "link.py") == "train.py"
    assert (place.beside / "train.py").samefile(place.checkout / "train.py")  # two names, so that it costs no space


@pytest.mark.parametrize("content", [b"something else by now", b"what the run  aved", b""])
def test_a_file_that_is_not_the_one_that_was_saved_is_refused(place, content):
    (place.project / "ckpts/9.pt").write_bytes(content)
    with pytest.raises(UsageError, match="has changed since the run saved it"):
        place.put()


def test_a_folder_and_nothing_at_all_are_refused(place):
    (place.project / "ckpts/9.pt").unlink()
    with pytest.raises(UsageError, match="No such file"):
        place.put()
    (place.project / "ckpts/9.pt").mkdir()
    with pytest.raises((UsageError, IsADirectoryError), match=r"is no file|Is a directory"):
        place.put()


class Runs:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_that_acts_as_it_is_loaded_is_loaded_by_no_replay(place):
    place.save(pickle.dumps(Runs()))
    with pytest.raises(UsageError, match=r"imports (posix|os)\.system as it is loaded"):
        place.put()


def test_a_file_of_the_sealed_commit_is_not_replaced(place):
    (place.checkout / "ckpts").mkdir()
    (place.checkout / "ckpts/9.pt").write_text("sealed")
    with pytest.raises(UsageError, match="is in the sealed commit too"):
        place.put()
    assert (place.checkout / "ckpts/9.pt").read_text() == "sealed"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_of_the_sealed_commit_that_leads_elsewhere_is_not_followed(place, tmp_path, there):
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.mkdir()
    (place.checkout / "ckpts").symlink_to(elsewhere)
    with pytest.raises((UsageError, OSError)):
        place.put()
    assert listed(elsewhere) == []
