from __future__ import annotations

import hashlib
import re
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from saksi.judgement.redaction import (
    HMAC_PATTERN,
    MAX_ARGUMENTS,
    MAX_VALUE,
    RECORDED,
    REDACTED,
    hmac_of,
    key_id,
    printable,
    reason_to_record,
    redact_command,
    redact_environment,
    redact_text,
)
from saksi.judgement.secrets import is_secret_name

KEY = bytes(range(32))
OTHER = bytes(32)

# What generators of secrets produce; long enough not to occur in our own text by chance.
secrets = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+/=.!%^*@#,;:-", min_size=8)
names = st.sampled_from(
    ["token", "hf-token", "hf_token", "password", "db-passwd", "api-key", "api_key", "apiKey", "secret",
     "client-secret", "wandb.api_key", "auth", "aws-secret-access-key", "AWS_SESSION_TOKEN", "key", "access-token",
     "passphrase"]
)  # fmt: skip


@given(names, secrets, st.sampled_from(["--", "-", "++"]))
@example("token", "a=b-cdefg", "--")
@example("password", "-startswithdash", "--")
@example("token", "0000000#", "--")  # in a URL, digits and a `#` look like a port
@example("token", "@000000#", "--")
def test_a_planted_secret_never_passes_a_command_line(name, secret, dashes):
    assume(not re.match(r"--[A-Za-z]", secret))
    forms = [[f"{dashes}{name}={secret}"], ["--url", f"https://user:{secret.replace('/', 'x')}@host/path"]]
    if dashes != "++":
        forms.append([f"{dashes}{name}", secret])
    for form in forms:
        shown = redact_command(["python", "train.py", "--lr", "0.1", *form, "--steps", "3"])
        assert not any(secret in each for each in shown), form
        assert shown[:4] == ("python", "train.py", "--lr", "0.1")
        assert shown[-2:] == ("--steps", "3")


plain_secrets = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", min_size=8)


def texts_with(secret):
    return (
        f"Authorization: Bearer {secret}",
        f"curl -H 'X-Api-Key: {secret}' host",
        f'{{"outer": {{"api_key": "{secret}", "lr": 1}}}}',
        f"https://host/path?a=1&token={secret}&b=2",
        f"https://{secret}@host/repo.git",
        f"postgres://u:p@{secret}@host/db",
        f"env HF_TOKEN={secret} python x.py",
        f"x=1 password = '{secret}'",
        f"ghp_{secret.replace('-', 'x').replace('_', 'x').replace('.', 'x')}aaaaaaaaaaaaaaaaaaaa",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}\n-----END OPENSSH PRIVATE KEY-----",
    )


@given(plain_secrets)
@example("password")
def test_a_planted_secret_never_passes_a_text(secret):
    forms = texts_with("~~~~~~~~")
    # "password" and "redacted" stand in a text without being the secret.
    assume(secret not in REDACTED and not any(secret in form for form in forms))
    for text in texts_with(secret):
        assert secret not in redact_text(text), text


@pytest.mark.parametrize(
    "text",
    [
        "hf_" + "a1B2" * 8,
        "github_pat_" + "a1B2" * 8,
        "glpat-" + "a1B2" * 5,
        "sk-ant-api03-" + "a1B2" * 8,
        "AKIAIOSFODNN7EXAMPLE",
        "AIza" + "a1B2" * 9,
        "xoxb-123456789012-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "npm_" + "a1B2" * 9,
        "r8_" + "a1B2" * 9,
    ],
)
def test_known_shapes_are_hidden_where_they_stand_alone(text):
    assert redact_text(f"x {text} y") == f"x {REDACTED} y"
    assert redact_command(["tool", text]) == ("tool", REDACTED)


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "train.py", "--max-tokens", "512", "--pad-token-id", "0", "--tokenizer", "gpt2"],
        ["python", "-m", "pkg.mod", "--seed=3", "--image-token", "<image>", "--num_tokens", "7"],
        ["torchrun", "--nproc-per-node=2", "train.py", "lr=0.1", "optim.weight_decay=0.1", "data=/x/y.txt"],
        ["python", "x.py", "--forward-pass", "2", "--sort-key", "name", "--n-head", "6", "https://host:8080/x@v1"],
        ["python", "x.py", "ssh://git@host/repo.git", "--monkey", "1", "--keyboard", "us", "--passes", "3"],
        ["python", "x.py", "--commit", "0123456789abcdef0123456789abcdef01234567", "--tokens-per-batch", "4"],
    ],
)
def test_what_training_is_full_of_is_not_hidden(argv):
    assert redact_command(argv) == tuple(argv)


def test_a_flag_after_a_switch_that_only_sounds_secret_stays():
    assert redact_command(["x", "--use-auth-token", "--lr", "0.1"]) == ("x", "--use-auth-token", "--lr", "0.1")


def test_an_argument_that_is_too_long_is_not_shown_in_part():
    shown = redact_command(["x", "--config", "a" * (MAX_VALUE + 1)])
    assert shown == ("x", "--config", f"[{MAX_VALUE + 1} characters]")
    assert len(redact_command(["x"] * (MAX_ARGUMENTS + 5))) == MAX_ARGUMENTS


@given(st.text(max_size=60))
def test_redaction_is_finished_after_one_pass(text):
    once = redact_text(text)
    assert redact_text(once) == once


def test_redaction_of_hostile_text_is_quick():
    started = time.perf_counter()
    for piece in ("a://b:", "a=", "token", "a.b-", '"', "-----BEGIN ", "eyJaaaaa.", " ", "sk-a"):
        redact_text((piece * MAX_VALUE)[:MAX_VALUE])
    assert time.perf_counter() - started < 5


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=5))
def test_only_listed_names_are_recorded_by_value(environment):
    recorded = redact_environment(environment, KEY)
    for name, value in environment.items():
        if reason_to_record(name) is None:
            assert re.fullmatch(HMAC_PATTERN, recorded[printable(name)])
            assert hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest() not in recorded[printable(name)]
    assert list(recorded) == sorted(recorded)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONPATH", "/a:/b"),
        ("LD_PRELOAD", "/x.so"),
        ("CUDA_VISIBLE_DEVICES", "0,1"),
        ("NCCL_DEBUG", "INFO"),
        ("RANK", "3"),
        ("PWD", "/home/a"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ],
)
def test_listed_names_are_recorded_as_they_are(name, value):
    assert redact_environment({name: value}, KEY) == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "x"),
        ("WANDB_API_KEY", "x"),
        ("SLURM_JWT", "x"),
        ("TORCH_HUB_TOKEN", "x"),
        ("PYTHON_KEYRING_PASSWORD", "x"),
        ("NCCL_SECRET", "x"),
        ("MY_VARIABLE", "x"),
        ("PYTHONPATH", "https://u:p@host/x"),
        ("TORCH_X", "hf_" + "a1B2" * 8),
        ("PATH", "a" * (MAX_VALUE + 1)),
        ("PATH", "hmac-sha256:" + "0" * 64),
        ("PATH", "\udcff"),
    ],
)
def test_what_may_be_a_secret_is_recorded_under_the_key(name, value):
    recorded = redact_environment({name: value}, KEY)[name]
    assert re.fullmatch(HMAC_PATTERN, recorded)
    assert recorded == redact_environment({name: value}, KEY)[name]
    assert recorded != redact_environment({name: value}, OTHER)[name]
    assert recorded != redact_environment({name: value + "y"}, KEY)[name]


def test_saksis_own_handles_are_not_recorded_at_all():
    assert redact_environment({"SAKSI_TOKEN": "t", "SAKSI_SOCKET": "s"}, KEY) == {}


def test_equal_values_of_two_names_do_not_show_as_equal():
    recorded = redact_environment({"A": "same", "B": "same"}, KEY)
    assert recorded["A"] != recorded["B"]


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_an_hmac_is_of_the_parts_and_not_of_their_sum(one, other):
    assert (hmac_of(KEY, "use", *one) == hmac_of(KEY, "use", *other)) == (one == other)


def test_uses_and_keys_are_apart():
    assert len({hmac_of(KEY, "a", "x"), hmac_of(KEY, "b", "x"), hmac_of(OTHER, "a", "x")}) == 3
    assert key_id(KEY) != key_id(OTHER)
    with pytest.raises(ValueError, match="32 bytes"):
        hmac_of(b"short", "a")


@given(st.binary(max_size=20))
def test_what_the_system_hands_out_can_be_written(raw):
    written = printable(raw.decode("utf-8", "surrogateescape")).encode("utf-8")
    assert written.decode("utf-8") == raw.decode("utf-8", "backslashreplace")


def test_no_listed_name_looks_like_a_secret():
    assert not [pattern for pattern, _reason in RECORDED if is_secret_name(pattern.rstrip("*"))]
    assert all(reason and not reason.endswith(".") for _pattern, reason in RECORDED)
