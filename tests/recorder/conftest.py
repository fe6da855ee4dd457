from __future__ import annotations

import pytest

from recorder.listener import Listener


@pytest.fixture
def agent(tmp_path):
    listener = Listener(tmp_path / "s")
    yield listener
    listener.close()
