"""By what a launch is known to be a further attempt of a run: a scheduler's id, or a key that somebody gave.

Rules: a key is the job's claim and is sealed as such; a scheduler's key counts only together with the command, since
one job may launch several; one that says that it was never restarted begins a run. An array's tasks, a job's
processes and a node's ranks have keys of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from saksi.judgement.redaction import printable, redact_text
from saksi.words.errors import UsageError

__all__ = ["MAX_LABEL", "RUN_KEY", "LaunchKey", "identity", "in_words", "is_further", "launch_key"]

RUN_KEY: Final = "SAKSI_RUN_KEY"
MAX_LABEL: Final = 256
"""An id of any scheduler known to us has fewer than 64 characters."""
_MAX_RESTARTS: Final = 9  # digits
_NO_ELASTIC_ID: Final = ("", "none")

Kind = Literal["named", "torchelastic", "slurm"]


class LaunchKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One launch's key. `restarts` is how often its scheduler says that it was started again.

    `joined` is whether the launcher made the launch a further attempt because of this key.
    """

    kind: Kind
    label: Annotated[str, Meta(max_length=MAX_LABEL)]
    restarts: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None
    joined: bool


def launch_key(environment: Mapping[str, str], *, host: str) -> LaunchKey | None:
    """The key of a launch in `environment` on `host`: one that was given, else torchelastic's, else SLURM's.

    Raises `UsageError` for a given key that is none.
    """
    given = environment.get(RUN_KEY)
    if given is not None:
        return _key("named", _given(given), None)
    elastic = environment.get("TORCHELASTIC_RUN_ID", "")
    if elastic not in _NO_ELASTIC_ID:
        rank = environment.get("LOCAL_RANK")
        label = f"{elastic} on {host}" + ("" if rank is None else f", local rank {rank}")
        return _key("torchelastic", label, _count(environment.get("TORCHELASTIC_RESTART_COUNT")))
    job = _slurm_job(environment)
    return None if job is None else _key("slurm", job, _count(environment.get("SLURM_RESTART_COUNT")) or 0)


def _given(text: str) -> str:
    if not text or len(text) > MAX_LABEL or not text.isprintable():
        raise UsageError(
            f"{RUN_KEY}={text[:80]!r} cannot be a key",
            remedy=f"give 1 to {MAX_LABEL} printable characters, or unset it",
        )
    return text


def _slurm_job(environment: Mapping[str, str]) -> str | None:
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID")
    if not job:
        return None
    process = environment.get("SLURM_PROCID", "0")
    return job if process == "0" else f"{job}, process {process}"


def _key(kind: Kind, label: str, restarts: int | None) -> LaunchKey:
    return LaunchKey(kind=kind, label=redact_text(printable(label))[:MAX_LABEL], restarts=restarts, joined=False)


def _count(text: str | None) -> int | None:
    """A scheduler's counter; `None` if it says none, or no number."""
    known = text is not None and text.isascii() and text.isdigit() and len(text) <= _MAX_RESTARTS
    return int(text) if known and text is not None else None


def is_further(key: LaunchKey) -> bool:
    """Whether a launch with this key may be a further attempt: its scheduler does not say that it is the first."""
    return key.restarts is None or key.restarts > 0


def identity(key: LaunchKey, command: str) -> str:
    """What two launches share that belong to one run: 64 hexadecimal digits. `command` is the HMAC of the command."""
    parts = [key.kind, key.label] if key.kind == "named" else [key.kind, key.label, command]
    return hashlib.sha256(b"saksi/launch-key/v1\n" + msgspec.json.encode(parts)).hexdigest()


def in_words(key: LaunchKey) -> str:
    """For the launcher's line: `SLURM job 4711 was requeued`."""
    if key.kind == "slurm":
        return f"SLURM job {key.label} was requeued"
    if key.kind == "torchelastic":
        return f"torchelastic run {key.label} was started again"
    return f"{RUN_KEY} is {key.label!r} again"
