"""What looks like a secret: by its name, by its place in a URL or a header, by its shape.

Training command lines are full of `--max-tokens` and `--pad-token-id`, which are no secrets: names are judged word
by word, not by what they contain. Only names joined without a separator (`APIKEY`) are searched for.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["REDACTED", "is_secret_flag", "is_secret_name", "redact_text"]

REDACTED: Final = "[redacted]"

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ALWAYS: Final = frozenset(
    [
        "password",
        "passwords",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "secrets",
        "credential",
        "credentials",
        "cred",
        "creds",
        "apikey",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "jwt",
        "pat",
        "dsn",
        "webhook",
        "auth",
        "authkey",
        "accesskey",
        "privatekey",
        "signature",
        "sig",
        "sas",
        "keytab",
    ]
)
_JOINED: Final = re.compile(
    r"password|passwd|passphrase|secret|credential|api_?key|access_?key|private_?key|signing_?key|(?:access|auth|"
    r"bearer|refresh|session|api|id)_?tokens?$",
    re.IGNORECASE,
)
# `key` is a word of dictionaries and of attention; beside one of these it is a secret, and so it is alone.
_KEYS: Final = frozenset(
    [
        "api",
        "access",
        "private",
        "secret",
        "ssh",
        "encryption",
        "signing",
        "account",
        "storage",
        "master",
        "deploy",
        "license",
        "hmac",
        "aes",
        "rsa",
        "gpg",
        "shared",
        "host",
        "server",
        "app",
        "client",
        "service",
        "subscription",
        "wandb",
        "openai",
    ]
)
# `token` is a word of language models; beside one of these it is no secret.
_TOKEN_WORDS: Final = frozenset(
    [
        "pad",
        "eos",
        "bos",
        "unk",
        "mask",
        "sep",
        "cls",
        "id",
        "ids",
        "type",
        "dropout",
        "len",
        "length",
        "limit",
        "size",
        "budget",
        "count",
        "per",
        "max",
        "min",
        "num",
        "n",
        "special",
        "mixer",
        "merging",
        "merge",
        "image",
        "audio",
        "video",
        "text",
        "start",
        "end",
        "stop",
        "begin",
        "next",
        "new",
        "prefix",
        "suffix",
        "padding",
        "classifier",
        "pooling",
        "embedding",
        "shift",
        "level",
        "wise",
        "first",
        "last",
        "drop",
        "prune",
    ]
)
_NOT_PASS: Final = frozenset(
    ["forward", "backward", "single", "multi", "two", "one", "first", "second", "last", "by", "low", "high", "band"]
)

_TOKEN_SHAPES: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}"  # GitHub, GitLab
    r"|hf_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|dapi[0-9a-f]{32}|wandb_v1_\w{16,}"  # Hugging Face, Replicate, ...
    r"|sk-(?=[\w-]*[0-9])[\w-]{16,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}"  # OpenAI, Anthropic, Stripe
    r"|A(?:KI|SI)A[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{10,}"  # AWS, Google
    r"|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}|SG\.[\w-]{10,}\.[\w-]{10,}"  # Slack, SendGrid
    r"|pypi-[\w-]{16,}|npm_[A-Za-z0-9]{20,}"  # package indexes
    r"|eyJ[\w-]{5,}\.[\w-]{5,}\.?[\w-]*"  # JSON web tokens
    r"|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r")"
)
_KEY_BLOCK: Final = re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)")
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{4,}|\b(basic\s+)[A-Za-z0-9+/=]{12,}")
# A password may hold `@`, so the user part ends at the last one before the path. One that holds `/` or `#` is seen by
# the colon before it, unless what follows the colon is a port and a path or a query.
_URL: Final = re.compile(
    r"(?<![\w+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>(?:[^\s/?#@\"'<>]*+@)++)(?![^\s/?\"'<>]*@)|[^\s:/@\"'<>]*:(?![0-9]+(?:[/?]|$))[^\s\"'<>]*@)"
)
# Runs of word characters are taken whole, so that a long word is looked at once and not once per character.
_NAMED: Final = re.compile(r"(?<![\w.-])([\w.-]+)[\"']?\s*(?:=|:(?!//))\s*")
_VALUE: Final = re.compile(r"\"[^\"]*\"?|'[^']*'?|[^\s&]+")


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as its name says."""
    words = _words(name)
    present = frozenset(words)
    if present & _ALWAYS and name not in {"PWD", "OLDPWD"}:
        return True
    if _JOINED.search(name.replace("-", "_")) is not None:
        return True
    if "token" in present and not present & _TOKEN_WORDS:
        return True
    if "key" in present and (len(words) == 1 or present & _KEYS):
        return True
    return bool(words) and words[-1] == "pass" and not present & _NOT_PASS


def is_secret_flag(argument: str) -> bool:
    """Whether the flag or dotted key (`--wandb.api-key`) holds a secret, as far as its last part says."""
    return is_secret_name(argument.lstrip("-+~").rpartition(".")[2])


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret replaced by `[redacted]`; unchanged if nothing does."""
    text = _KEY_BLOCK.sub(REDACTED, text)
    text = _URL.sub(_without_user, text)
    text = _BEARER.sub(lambda found: (found[1] or found[2]) + REDACTED, text)
    return _TOKEN_SHAPES.sub(REDACTED, _without_values(text))


def _without_user(found: re.Match[str]) -> str:
    user = found["user"]
    # `ssh://git@host` names an account and no secret; with a colon there is a password behind it.
    if user is not None and ":" not in user and found["scheme"].lower() in {"ssh", "git+ssh", "sftp"}:
        return found[0]
    return f"{found['scheme']}://{REDACTED}@"


def _without_values(text: str) -> str:
    kept, position = [], 0
    while (found := _NAMED.search(text, position)) is not None:
        kept.append(text[position : found.end()])
        position = found.end()
        value = _VALUE.match(text, position)
        # A name that is none of a secret keeps its value, in which further names are looked for.
        if value is not None and is_secret_flag(found[1]):
            kept.append(REDACTED)
            position = value.end()
    return "".join((*kept, text[position:]))
