from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.proofs.tlog.note_key import NoteSigner
from saksi.proofs.tlog.private_key import format_private_key, parse_private_key
from saksi.words.errors import MalformedInput

SEED = bytes(range(32))
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1, max_size=20)


@given(names.filter(lambda name: not any(each.isspace() for each in name)), st.binary(min_size=32, max_size=32))
def test_a_private_key_comes_back_from_its_text(name, seed):
    text = format_private_key(name, seed)
    assert parse_private_key(text).key == NoteSigner(name, seed).key


def test_the_form_is_that_of_sumdb_note():
    # golang.org/x/mod/sumdb/note: PRIVATE+KEY+<name>+<hash>+<keydata>, the hash being that of the public key.
    text = format_private_key("PeterNeumann", SEED)
    kind, marker, name, hex8, data = text.split("+", 4)
    assert (kind, marker, name) == ("PRIVATE", "KEY", "PeterNeumann")
    assert hex8 == NoteSigner("PeterNeumann", SEED).key.key_id.hex()
    assert len(data) == 44


def test_a_key_that_go_made_is_read():
    # The example of that package's documentation.
    text = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert parse_private_key(text).vkey == vkey


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PRIVATE+KEY+",
        "PRIVATE+KEY+a+b",
        NoteSigner("maria", SEED).vkey,
        format_private_key("maria", SEED).replace("maria", "jose"),
        format_private_key("maria", SEED)[:-1],
        format_private_key("maria", SEED) + "\n",
        format_private_key("maria", SEED).replace("+A", "+B", 1),
        "PRIVATE+KEY+maria+" + "0" * 2000,
        "PRIVATE+KEY+mar ia+00000000+AA==",
    ],
)
def test_anything_else_is_refused_without_showing_the_key(text):
    with pytest.raises(MalformedInput) as refused:
        parse_private_key(text)
    assert "AAECAwQF" not in str(refused.value)


def test_a_name_that_names_no_key_is_refused():
    with pytest.raises(MalformedInput):
        format_private_key("two words", SEED)
