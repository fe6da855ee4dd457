"""A home with simulated runs in it, the command line on top of it, and golden files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from judgement.seals import plain_seal
from saksi.doors.main import main
from saksi.edges.store.local import LocalStore
from saksi.judgement.seal import Seal, make_statement
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, sign
from saksi.proofs.journal import encode_frames
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.blobs import blob_name
from saksi.words.records import FileRecord
from simulated_run import INSTALLATION, RUN, SimulatedRun

GOLDEN = Path(__file__).parent / "golden"
OTHER = "ffeeddccbbaa9988"
HOSTILE = "a\x1b]0;owned\x07[bold red]b\u202ec\nd\x9b31m"


def golden(name: str, shown: str) -> str:
    """The reviewed text of this name. With SAKSI_UPDATE_GOLDEN=1 it is `shown` from now on."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("SAKSI_UPDATE_GOLDEN") == "1":
        path.write_text(shown, "utf-8")
    return path.read_text("utf-8")


class SealedRun(SimulatedRun):
    """A simulated run under a whole seal."""

    def __init__(self, run: str = RUN, **seal: Any) -> None:
        self.sealed: Seal = msgspec.structs.replace(plain_seal(), run=run, **seal)
        super().__init__(run)

    def seal_envelope(self, signer: NoteSigner | None = None, run: str | None = None) -> bytes:
        sealed = msgspec.structs.replace(self.sealed, attempt=self.attempt)
        return format_envelope(sign(IN_TOTO, make_statement(sealed), [signer or self.installation]))

    def file(self, *, path: str, digest: str | None, claimed: str | None = None, step: int = 5, **more: Any) -> None:
        fields: dict[str, Any] = {
            "connection": 0,
            "seq": 9,
            "rank": 0,
            "action": "saved",
            "path": path,
            "step": step,
            "digest": digest,
            "size": 3,
            "claimed_digest": claimed,
            "reason": None,
        }
        self.add(FileRecord(**self.stamp(), **fields | more))


@dataclass
class CliHome:
    """SAKSI_HOME with a trusted installation, and what a call of `saksi` printed."""

    root: Path
    capsys: Any

    def trust(self) -> Path:
        keys = self.root / "keys"
        keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = keys / "trusted.vkeys"
        path.write_text(f"{INSTALLATION.vkey}\n")
        return path

    def keep(self, simulated: SimulatedRun, *, head: bool = True) -> Path:
        """The run as the agent leaves it."""
        folder = self.root / "runs" / simulated.run
        store = LocalStore(folder)
        store.lock()
        for digest, content in simulated.blobs.items():
            store.write_once(blob_name(digest), content)
        store.append(encode_frames(0, simulated.entries))
        if head:
            store.swap_head(None, simulated.head())
            store.replace("log/checkpoint", simulated.head())
        store.close()
        return folder

    def call(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self.capsys.readouterr()
        code = main(words)
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err
