"""The scenes, shared by all workers of a test run."""

from __future__ import annotations

import re

import pytest

from catalogue.scenes import Scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    return Scenes((base.parent if re.fullmatch(r"popen-gw\d+", base.name) else base) / "catalogue")
