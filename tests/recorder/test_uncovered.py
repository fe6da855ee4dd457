"""What is not seen is named once, and it is said when there were too many such things to name."""

from __future__ import annotations

import importlib
import sys

import pytest

from recorder.listener import PATH


@pytest.fixture
def session(monkeypatch):
    monkeypatch.syspath_prepend(str(PATH))
    session = importlib.import_module("saksi_recorder.session")
    monkeypatch.setattr(session, "_uncovered", {})
    assert "torch" not in sys.modules or session.channel is None
    return session


def test_where_more_is_not_covered_than_is_named_that_is_said_once(session, monkeypatch):
    said = []
    monkeypatch.setattr(session, "say", lambda kind, fields: said.append((kind, fields["what"])))
    for number in range(session.MAX_UNCOVERED + 5):
        session.uncovered(f"thing {number}", "because")
    assert len(said) == session.MAX_UNCOVERED + 1
    assert said[-1] == ("uncovered", "further things")
    assert [frame["what"] for _, frame in session._describe() if "what" in frame][-1] == "further things"
