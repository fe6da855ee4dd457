"""Folders for what is confined."""

import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def place():
    """Folders that lie in no test's own: a layer is put over one of them, and scratch must not lie in it."""
    with tempfile.TemporaryDirectory(prefix="saksi-", dir="/var/tmp") as folder:
        base = Path(folder)
        for name in ("project", "elsewhere", "scratch", "keys"):
            (base / name).mkdir()
            (base / name / "file").write_text("as it was")
        yield base
