"""Which folders are of the interpreter, whatever they are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from saksi.edges.environment.installations import SITE, Installations, may_list
from saksi.edges.files import OnBehalf

SITES = "lib/python3.11/site-packages"


def test_a_folder_counts_for_where_it_lies_and_not_for_its_name(tmp_path):
    installations = Installations((str(tmp_path / "venv"),))
    assert installations.has(tmp_path / "venv" / SITES)
    assert not installations.has(tmp_path / "python3.11")
    assert not installations.has(tmp_path / "site-packages")
    assert Installations(None).has(tmp_path / "python3.11")


def test_what_the_path_lines_of_a_site_folder_point_to_counts_too(tmp_path):
    site, below, beside = tmp_path / "top" / SITES, tmp_path / "below" / SITES, tmp_path / "beside" / SITES
    for each in (site, below, beside):
        each.mkdir(parents=True)
    (site / "_layer.pth").write_text(f"# what it stands on\n{below}\n{tmp_path}\n")
    top = (str(tmp_path / "top"),)
    installations = Installations(top, (str(site),))
    assert [installations.has(each) for each in (site, below, beside)] == [True, True, False]
    assert not Installations(top).has(below)
    assert below.name in SITE


@pytest.mark.parametrize(
    "path", ["/python3.11/site-packages", "/site-packages", "/" + "x" * 300 + "/site-packages", "\0"]
)
def test_no_path_raises(path):
    assert Installations(("/venv",)).has(Path(path)) is False


def test_a_folder_is_listed_only_for_an_account_that_may_see_it(tmp_path):
    tmp_path.chmod(0o700)
    other = OnBehalf(account=os.getuid() + 12_345)
    assert may_list(str(tmp_path), None)
    assert not may_list(str(tmp_path), other)
    assert not may_list(str(tmp_path / "nowhere"), other)
    assert may_list(str(tmp_path), OnBehalf(account=os.getuid()))
    assert not may_list(str(tmp_path), OnBehalf(account=os.getuid(), private=(tmp_path.parent,)))
