from __future__ import annotations

import pytest

from recorder.listener import Listener


@pytest.fixture
def agent(tmp_path):
    with Listener(tmp_path / "s") as listener:
        yield listener
