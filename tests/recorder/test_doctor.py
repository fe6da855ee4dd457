"""What the recorder does for `saksi doctor`: notes, and an end between two Steps; training is not changed by a bit."""

from __future__ import annotations

import signal

import pytest

from recorder.listener import environment, kinds, run
from saksi.judgement.doctor.notes import Began, Ended, Iterated, Restored, Saved, notes_of
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = (
    LOADED
    + """
import random, sys, torch
torch.manual_seed(3)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
state, words = torch.get_rng_state(), random.getstate()
batches = iter(torch.utils.data.DataLoader(torch.arange(160.0).view(40, 4), batch_size=4, shuffle=True))
torch.set_rng_state(state)
random.setstate(words)
for step in range(10):
    optimizer.zero_grad()
    model(next(batches)).square().mean().backward()
    optimizer.step()
    torch.save(model.state_dict(), "ckpt.pt")
torch.save([model.state_dict(), torch.get_rng_state()], "end.pt")
"""
)


def launched(tmp_path, name, ends, agent, *, check=True):
    folder = tmp_path / name
    folder.mkdir()
    known = len(agent.connections)
    asked = {} if ends is None else {"SAKSI_DOCTOR": f"{ends}:{folder / 'notes'}"}
    done = run(SCRIPT, environment(tmp_path / "s", **asked), cwd=folder, check=check)
    agent.drain(known + 1)
    return done, agent.frames(known), tuple(each.read_bytes() for each in folder.glob("notes.*"))


def test_a_process_ends_between_two_steps_where_it_is_asked_to(tmp_path, agent):
    done, frames, contents = launched(tmp_path, "killed", "2:3:100", agent, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [each.update for each in kinds(frames, "Update")] == [0, 1, 2, 3]  # the first save, and three steps beyond
    notes = notes_of(contents, 0)
    assert [type(each) for each in notes[:4]] == [Iterated, Restored, Restored, Began]
    assert [each.generator for each in notes if isinstance(each, Restored)] == ["torch", "python"]
    assert (notes[0].drew, notes[0].workers, notes[0].own) == (True, 0, False)
    assert notes[0].at.startswith("<string>:")
    assert [each.step for each in notes if isinstance(each, Saved)] == [0, 1, 2]
    assert any(name.startswith("data/") for name, _, _ in notes[4].members)
    assert isinstance(notes[-1], Ended)


def test_a_rank_that_ended_and_is_started_again_ends_before_it_trains_and_says_so(tmp_path, agent):
    launched(tmp_path, "killed", "2:0:2", agent, check=False)
    folder = tmp_path / "killed"

    def again(**more):
        known = len(agent.connections)
        asked = environment(tmp_path / "s", SAKSI_DOCTOR=f"2:0:2:{folder / 'notes'}", **more)
        done = run(SCRIPT, asked, cwd=folder, check=False)
        agent.drain(known + 1)
        assert done.returncode == -signal.SIGKILL
        return len(kinds(agent.frames(known), "Update"))

    assert again(RANK="1", WORLD_SIZE="2") == 2  # another rank had not ended
    assert not (folder / "notes.restarted").exists()
    notes = {*folder.glob("notes.*")}
    assert again() == 0
    assert {*folder.glob("notes.*")} - notes == {folder / "notes.restarted"}
    assert (folder / "notes.restarted").read_bytes() == b""
    assert again(RANK="1", WORLD_SIZE="2") == 0


def test_of_several_ranks_none_is_taken_for_another_where_no_variable_says_which_it_is(tmp_path, agent):
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed/notes.1").write_text('{"step":1,"kind":"ended","rank":0,"world_size":2}\n')
    asked = environment(tmp_path / "s", SAKSI_DOCTOR=f"2:0:2:{tmp_path / 'killed/notes'}")
    done = run(SCRIPT, asked, cwd=tmp_path / "killed", check=False)
    agent.drain(1)
    assert done.returncode == -signal.SIGKILL
    assert len(kinds(agent.frames(0), "Update")) == 2
    assert not (tmp_path / "killed/notes.restarted").exists()


def test_many_notes_leave_room_for_what_was_saved_and_for_the_end(tmp_path, agent):
    script = SCRIPT.replace(
        "for step in range(10):", "for step in range(10):\n    for _ in range(2500): random.setstate(words)"
    )
    (tmp_path / "many").mkdir()
    asked = environment(tmp_path / "s", SAKSI_DOCTOR=f"4:0:4:{tmp_path / 'many/notes'}")
    done = run(script, asked, cwd=tmp_path / "many", check=False)
    agent.drain(1)
    assert done.returncode == -signal.SIGKILL
    (content,) = (each.read_bytes() for each in (tmp_path / "many").glob("notes.*"))
    notes = notes_of((content,), 0)
    assert 3000 < len(notes) < 4096
    assert [each.step for each in notes if isinstance(each, Saved)] == [0, 1, 2]
    assert isinstance(notes[-1], Ended)


def test_training_ends_in_the_same_bits(tmp_path, agent):
    done, _, contents = launched(tmp_path, "noted", "50:0:50", agent)
    assert done.returncode == 0
    assert len(contents) == 1
    plain, _, nothing = launched(tmp_path, "plain", None, agent)
    assert (plain.returncode, nothing) == (0, ())
    assert (tmp_path / "noted/end.pt").read_bytes() == (tmp_path / "plain/end.pt").read_bytes()


def test_words_that_cannot_be_read_ask_for_nothing(tmp_path, agent):
    done, frames, contents = launched(tmp_path, "odd", "2:x:100", agent)
    assert (done.returncode, contents) == (0, ())
    assert len(kinds(frames, "Update")) == 10
    assert kinds(frames, "Fault") == []
