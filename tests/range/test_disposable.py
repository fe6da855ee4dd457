"""What a case edits is a copy: nothing is written through a link, and a list of files is made to fit."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from saksi.range.disposable import forge_bytecode, list_anew, write_in_site
from saksi.range.launching import CaseFailed


@pytest.fixture
def site(tmp_path):
    installed, site = tmp_path / "installed", tmp_path / "site"
    installed.mkdir()
    (installed / "numpy.py").write_text("installed")
    (site / "torch-1.0.dist-info").mkdir(parents=True)
    (site / "torch-1.0.dist-info" / "RECORD").write_text("torch/adam.py,sha256=old,3\ntorch/sgd.py,sha256=kept,3\n")
    (site / "numpy.py").symlink_to(installed / "numpy.py")
    (site / "linked").symlink_to(installed)
    return site


@pytest.mark.parametrize("name", ["numpy.py", "linked/numpy.py", "linked/new.py", "../outside.py"])
def test_nothing_is_written_through_a_link_or_outside(site, name):
    with pytest.raises(CaseFailed, match="no file of the disposable environment"):
        write_in_site(site, name, "changed")
    assert (site.parent / "installed" / "numpy.py").read_text() == "installed"
    assert [each.name for each in (site.parent / "installed").iterdir()] == ["numpy.py"]


def test_a_file_is_appended_to_and_its_row_made_to_fit(site):
    write_in_site(site, "torch/adam.py", "one")
    write_in_site(site, "torch/adam.py", "two")
    assert (site / "torch/adam.py").read_text() == "onetwo"
    list_anew(site, "torch/adam.py")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"onetwo").digest()).decode().rstrip("=")
    record = (site / "torch-1.0.dist-info" / "RECORD").read_text()
    assert record == f"torch/adam.py,sha256={digest},6\ntorch/sgd.py,sha256=kept,3\n"


def test_a_file_that_is_in_no_list_is_a_failure(site):
    write_in_site(site, "torch/new.py", "new")
    with pytest.raises(CaseFailed, match="in no list"):
        list_anew(site, "torch/new.py")


def test_forged_bytecode_fits_its_source_and_is_of_other_code(site):
    write_in_site(site, "toy.py", "SAID = 'as written'\n")
    written = (site / "toy.py").read_bytes()
    forge_bytecode(Path(sys.executable), site, "toy.py", "\nSAID = 'otherwise'\n")
    assert (site / "toy.py").read_bytes() == written
    told = "import sys; sys.path.insert(0, sys.argv[1]); import toy; print(toy.SAID)"
    done = subprocess.run([sys.executable, "-I", "-c", told, str(site)], capture_output=True, text=True, check=True)
    assert done.stdout == "otherwise\n"
    with pytest.raises(CaseFailed, match="no file of the disposable environment"):
        forge_bytecode(Path(sys.executable), site, "numpy.py", "")
