"""Signing an attempt's key in: the installation's key says which key may sign this log from here on."""

from __future__ import annotations

from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, sign
from saksi.proofs.attest.predicates import ATTEMPT_KEY, AttemptKey
from saksi.proofs.attest.statement import ResourceDescriptor, format_statement, make_statement
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint
from saksi.proofs.tlog.note import NoteSigner

__all__ = ["admit"]


def admit(
    signer: NoteSigner, installation: NoteSigner, *, run: str, attempt: int, previous: LogCheckpoint | None
) -> str:
    """The DSSE envelope, as text, that admits `signer` for `attempt`, continuing from the head `previous`."""
    predicate = AttemptKey(
        run=run,
        attempt=attempt,
        vkey=signer.vkey,
        previous_size=None if previous is None else previous.size,
        previous_root=None if previous is None else previous.root.hex(),
    )
    subject = ResourceDescriptor(name="run", digest={"saksiRun": run})
    payload = format_statement(make_statement([subject], ATTEMPT_KEY, predicate))
    return format_envelope(sign(IN_TOTO, payload, [installation])).decode("ascii")
