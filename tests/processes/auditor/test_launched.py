"""How a launch of the doctor's ended, in words, and which files are notes."""

import pytest

from saksi.processes.auditor.sitting import Launched, _notes_in


@pytest.mark.parametrize(
    ("code", "restarted", "said"),
    [
        (0, False, "it ended with exit code 0"),
        (3, False, "it ended with exit code 3: last words"),
        (3, True, "it ended with exit code 3: last words"),
        (None, False, "it was ended after its limit of time: last words"),
        (None, True, "it was ended as a further process began in the place of a rank that had ended"),
    ],
)
def test_an_end_is_told_as_what_ended_it(code, restarted, said):
    launched = Launched(reading=None, notes=(), code=code, last_words="last words", restarted=restarted)
    assert launched.ending == said


def test_the_file_that_says_of_a_restart_is_no_note(tmp_path):
    for name in ("notes.17", "notes.restarted", "stderr"):
        (tmp_path / name).write_text(name)
    assert _notes_in(tmp_path) == (b"notes.17",)
