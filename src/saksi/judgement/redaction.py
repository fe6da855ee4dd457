"""What of a command line and of an environment may be written down. `spec/seal.md` is the page for a reader.

Rules:

- A value is recorded as it is only if its *name* is on the list `RECORDED`, does not look like a secret's name, and
  the value neither looks like a secret nor carries credentials. Everything else becomes `hmac-sha256:<hex>` under a
  key that stays at home: one can see that it changed, not what it was. Never a bare digest, which anybody could
  search for a value of low entropy.
- On a command line, what follows the name of a secret is replaced by `[redacted]`; the HMAC over the whole command
  line says whether it changed.
- Over-redaction costs a reader one value; under-redaction costs the user a credential. Doubt is settled that way.
- What saksi itself hands to the job (`NEVER_RECORDED`) is not recorded in any form.

BUG: a secret that stands alone and has no known shape (`tool hunter2`, `mysql -phunter2`) cannot be told from any
other word, and is recorded. So is a secret inside a file: files are recorded by digest only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from saksi.judgement.secrets import REDACTED, is_secret_flag, is_secret_name, redact_text

__all__ = [
    "HMAC_PATTERN",
    "KEY_BYTES",
    "MAX_ARGUMENTS",
    "MAX_VALUE",
    "NEVER_RECORDED",
    "RECORDED",
    "REDACTED",
    "hmac_of",
    "key_id",
    "printable",
    "reason_to_record",
    "redact_command",
    "redact_environment",
    "redact_text",
]

KEY_BYTES: Final = 32
HMAC_PATTERN: Final = r"^hmac-sha256:[0-9a-f]{64}$"
_HMAC_PREFIX: Final = "hmac-sha256:"
MAX_VALUE: Final = 4096
"""Longest value or argument written out, in characters: `Text` of the records has the same limit."""
MAX_ARGUMENTS: Final = 4096
"""A shell's `*` over a folder of data gives more; the HMAC of the command covers all of them."""

NEVER_RECORDED: Final = frozenset({"SAKSI_SOCKET", "SAKSI_TOKEN"})

RECORDED: Final[tuple[tuple[str, str], ...]] = (
    ("PYTHON*", "steers the interpreter and what it imports"),
    ("LD_*", "decides which shared objects are loaded"),
    ("GLIBC_TUNABLES", "changes the C library, its arithmetic dispatch included"),
    ("MALLOC_*", "changes memory allocation"),
    ("VIRTUAL_ENV", "names the environment in use"),
    ("CONDA_PREFIX", "names the environment in use"),
    ("CONDA_DEFAULT_ENV", "names the environment in use"),
    ("PATH", "decides which programs are found"),
    ("PWD", "is the folder the command was started in"),
    ("LANG", "changes how text is read and sorted"),
    ("LANGUAGE", "changes how text is read and sorted"),
    ("LC_*", "changes how text is read and sorted"),
    ("TZ", "changes dates"),
    ("TORCH*", "steers torch and its launchers"),
    ("PYTORCH_*", "steers torch, its allocator included"),
    ("TRITON_*", "steers compiled kernels"),
    ("CUDA_*", "decides which devices are used and how"),
    ("CUBLAS_*", "changes arithmetic and whether it repeats"),
    ("CUDNN_*", "changes arithmetic and whether it repeats"),
    ("NVIDIA_*", "changes arithmetic (TF32) and which devices are seen"),
    ("NCCL_*", "steers communication between ranks"),
    ("GLOO_*", "steers communication between ranks"),
    ("UCX_*", "steers communication between ranks"),
    ("HIP_*", "decides which devices are used and how"),
    ("HSA_*", "decides which devices are used and how"),
    ("ROCR_*", "decides which devices are used and how"),
    ("MIOPEN_*", "changes arithmetic and whether it repeats"),
    ("XLA_FLAGS", "steers compiled kernels"),
    ("OMP_*", "sets threads, and so the order of sums"),
    ("GOMP_*", "sets threads, and so the order of sums"),
    ("KMP_*", "sets threads, and so the order of sums"),
    ("MKL_*", "changes arithmetic and threads"),
    ("DNNL_*", "changes arithmetic and threads"),
    ("ONEDNN_*", "changes arithmetic and threads"),
    ("ATEN_CPU_CAPABILITY", "changes arithmetic"),
    ("OPENBLAS_*", "changes arithmetic and threads"),
    ("NUMEXPR_*", "sets threads, and so the order of sums"),
    ("TOKENIZERS_PARALLELISM", "sets threads of the data pipeline"),
    ("RANK", "places the process in the job"),
    ("LOCAL_RANK", "places the process in the job"),
    ("GROUP_RANK", "places the process in the job"),
    ("NODE_RANK", "places the process in the job"),
    ("WORLD_SIZE", "places the process in the job"),
    ("LOCAL_WORLD_SIZE", "places the process in the job"),
    ("MASTER_ADDR", "places the process in the job"),
    ("MASTER_PORT", "places the process in the job"),
    ("SLURM_*", "is what the scheduler says of the job"),
    ("SOURCE_DATE_EPOCH", "changes whether compiled files repeat"),
    ("SAKSI_DISABLE", "switches the recorder off"),
    ("SAKSI_PLANTED", "makes a recorder change a label"),
    ("SAKSI_SAMPLES", "chooses where a recorder samples"),
    ("SAKSI_THREADS", "sets threads, and so the order of sums"),
)
"""Names recorded by value (`*` stands for any ending), each with the reason, which `diff` shows to a person."""

_EXACT: Final = {pattern: reason for pattern, reason in RECORDED if not pattern.endswith("*")}
_PREFIXES: Final = tuple((pattern[:-1], reason) for pattern, reason in RECORDED if pattern.endswith("*"))
_NAMED_VALUE: Final = re.compile(r"(?s)([-+~]*[A-Za-z_][\w.@/:-]*)=(.*)")
_NAME: Final = re.compile(r"[-+~]*[A-Za-z_][\w.@/-]*")
_NEXT_FLAG: Final = re.compile(r"--[A-Za-z]")
MAX_NAME: Final = 256
"""Longest flag that is taken for one."""


def printable(text: str) -> str:
    """`text` as it can be written in JSON: bytes that were not UTF-8 are shown as hexadecimal escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if _odd(text) else text


def _odd(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _raw(text: str) -> bytes:
    # `surrogatepass` for what no operating system hands out: a lone surrogate above the escape range.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def hmac_of(key: bytes, use: str, *parts: str) -> str:
    """`hmac-sha256:` and the HMAC of `parts` under `key`. `use` keeps uses apart; parts are framed by length."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a redaction key has {KEY_BYTES} bytes")
    code = hmac.new(key, f"saksi/redaction/v1/{use}".encode(), hashlib.sha256)
    for part in parts:
        raw = _raw(part)
        code.update(b"\0%d:" % len(raw) + raw)
    return _HMAC_PREFIX + code.hexdigest()


def key_id(key: bytes) -> str:
    """Which key made the HMACs, without giving it away: values of two keys cannot be compared."""
    return hmac_of(key, "key-id").removeprefix(_HMAC_PREFIX)[:16]


def reason_to_record(name: str) -> str | None:
    """Why the variable `name` is recorded by value, or None if it is not."""
    if is_secret_name(name):
        return None
    exact = _EXACT.get(name)
    if exact is not None:
        return exact
    return next((reason for prefix, reason in _PREFIXES if name.startswith(prefix)), None)


def redact_environment(environment: Mapping[str, str], key: bytes | None) -> dict[str, str]:
    """The environment as it may be recorded, sorted by name: a value, or its HMAC bound to the name.

    Without a `key`, what would need one is left out.
    """
    recorded = {}
    for name in sorted(environment):
        value = environment[name]
        if name in NEVER_RECORDED:
            continue
        if _may_be_shown(name, value):
            recorded[printable(name)] = value
        elif key is not None:
            recorded[printable(name)] = hmac_of(key, "environment", name, value)
    return recorded


def _may_be_shown(name: str, value: str) -> bool:
    shown = printable(value)
    return (
        reason_to_record(name) is not None
        and len(shown) <= MAX_VALUE
        and shown == value
        and not shown.startswith(_HMAC_PREFIX)  # or a reader could take a value for an HMAC
        and redact_text(shown) == shown
    )


def redact_command(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line as it may be recorded; at most `MAX_ARGUMENTS` of at most `MAX_VALUE` characters."""
    shown: list[str] = []
    announced = False  # the argument before was the name of a secret
    for argument in argv[:MAX_ARGUMENTS]:
        if announced and _NEXT_FLAG.match(argument) is None:
            shown.append(REDACTED)
            announced = False
        else:
            shown.append(_redact_argument(printable(argument)))
            announced = _announces(argument)
    return tuple(shown)


def _announces(argument: str) -> bool:
    """Whether the argument is a flag or a bare name, without a value of its own, of something secret."""
    if len(argument) > MAX_NAME or _NAME.fullmatch(argument) is None:
        return False
    # One bare word ("token", "key") is as often a value of some other flag; a compound or a password is not.
    bare = argument.lower() in {"password", "passwd", "secret"} or "_" in argument or "-" in argument
    return (argument.startswith("-") or bare) and is_secret_flag(argument)


def _redact_argument(argument: str) -> str:
    # A text that is too long is not shown in part: what straddles the cut could lose its shape and pass.
    if len(argument) > MAX_VALUE:
        return f"[{len(argument)} characters]"
    named = _NAMED_VALUE.fullmatch(argument)
    if named is not None and is_secret_flag(named[1]):
        return f"{named[1]}={REDACTED}"
    shown = redact_text(argument)
    return shown if len(shown) <= MAX_VALUE else f"[{len(argument)} characters]"
