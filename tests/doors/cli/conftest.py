from __future__ import annotations

import pytest

from doors.cli.cli_home import CliHome


@pytest.fixture
def home(tmp_path, monkeypatch, capsys) -> CliHome:
    monkeypatch.setenv("SAKSI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("SAKSI_DEBUG", raising=False)
    return CliHome(tmp_path / "home", capsys)
