"""What a test does where this system lets nobody make namespaces, which a replay needs."""

from __future__ import annotations

import os

import pytest


def not_allowed(reason):
    """Skip the test. Where nothing may be left out (`.ci/run` as root), it fails."""
    if os.environ.get("TESTS_MUST_CONFINE") == "1":
        pytest.fail(f"no replay can be confined here: {reason}")
    pytest.skip(reason)
