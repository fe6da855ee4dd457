"""What the tests of floor 1 share: keys that sign and the vectors' place."""

from __future__ import annotations

from pathlib import Path

import pytest

from saksi.proofs.tlog.note import NoteSigner
from saksi.proofs.tlog.signature_types import COSIGNATURE


@pytest.fixture(scope="session")
def vectors() -> Path:
    return Path(__file__).resolve().parents[2] / "spec" / "vectors"


@pytest.fixture(scope="session")
def log_signer() -> NoteSigner:
    return NoteSigner("saksi/run/0001", b"\x01" * 32)


@pytest.fixture(scope="session")
def other_signer() -> NoteSigner:
    return NoteSigner("saksi/run/0002", b"\x02" * 32)


@pytest.fixture(scope="session")
def cosigner() -> NoteSigner:
    return NoteSigner("witness.example/w1", b"\x03" * 32, algorithm=COSIGNATURE)
