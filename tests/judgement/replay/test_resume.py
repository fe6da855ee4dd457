"""How a program is told to resume: words with the place of the model checkpoint in them."""

from __future__ import annotations

import pytest

from saksi.judgement.configuration import parse_configuration
from saksi.judgement.replay.resume import resume_of
from saksi.words.errors import UsageError


def settings(text):
    return parse_configuration(text.encode(), where="saksi.toml")


def test_the_path_stands_wherever_the_words_have_its_place():
    found = resume_of("--resume={ckpt} --from '{folder}/x y.opt'", "x")
    assert found.words_for("out/a b.pt") == ("--resume=out/a b.pt", "--from", "out/x y.opt")
    assert found.chooses
    assert not resume_of("--resume --from {folder}", "x").chooses


def test_a_project_says_it_in_its_settings():
    found = settings('[replay]\nresume = "--resume {ckpt}"\nckpts = "ckpt-*.pt"').resume
    assert (found.words, found.named) == (("--resume", "{ckpt}"), "ckpt-*.pt")
    assert settings('name = "x"').resume is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("replay = 1", "saksi.toml: replay is not a table"),
        ("[replay]\nckpts = 'a'", "saksi.toml: replay.resume is not a text"),
        ('[replay]\nresume = "\'{ckpt}"', "saksi.toml: replay.resume: No closing quotation"),
        ("[replay]\nresume = '{ckpt}'\nckpts = ''", "saksi.toml: replay.ckpts is no pattern of file names"),
        ("[replay]\nresume = '{ckpt}'\nckpts = 'a/b'", "saksi.toml: replay.ckpts is no pattern of file names"),
        ("[replay]\nresume = '{ckpt}'\nother = 1", "saksi.toml: unknown key 'replay.other'"),
    ],
)
def test_anything_else_is_refused_with_its_place(text, said):
    with pytest.raises(UsageError) as error:
        settings(text)
    assert str(error.value).startswith(said)
    assert error.value.remedy or "table" in said


def test_words_without_end_are_refused():
    with pytest.raises(UsageError):
        resume_of("{ckpt}" * 1000, "x")
