"""As root, /dev holds what is listed, and what lies in /run is not there unless the program needs it."""

import os
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from confining import confined
from saksi.edges.host.device_nodes import NEEDED

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="nodes and sockets are taken from root alone")


def test_dev_holds_what_is_listed_and_cannot_be_added_to(place):
    done = confined(
        place, "print(*sorted(os.listdir('/dev')))\nprint(Path('/dev/null').is_char_device())\nPath('/dev/x').touch()"
    )
    names, null = done.stdout.splitlines()
    assert {"null", "zero", "urandom", "shm", "pts", "ptmx", "fd"} <= set(names.split())
    assert all(any(fnmatch(each, name) for name in (*NEEDED, "pts", "ptmx")) for each in names.split())
    assert null == "True"
    assert "Read-only file system" in done.stderr


@pytest.fixture
def below(place, request):
    """The same folders in another place, which is the parameter."""
    folder = Path(request.param, place.name)
    shutil.copytree(place, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("below", ["/dev/shm", "/run"], indirect=True)
def test_a_project_and_its_scratch_there_can_be_written(below):
    done = confined(
        below,
        f"Path('file').write_text('other'); Path({str(below / 'scratch' / 'mine')!r}).write_text('kept')\n"
        f"Path('/dev/shm/of-loaders').write_text('x'); os.remove('/dev/shm/of-loaders')\n"
        f"print(Path('file').read_text(), os.listdir({str(below / 'keys')!r}))"
        if below.is_relative_to("/dev")
        else f"Path('file').write_text('other'); Path({str(below / 'scratch' / 'mine')!r}).write_text('kept')\n"
        f"print(Path('file').read_text(), os.path.exists({str(below / 'keys' / 'file')!r}) * ['file'])",
        hidden=("keys",),
    )
    assert done.stdout == "other []\n", done.stderr
    assert (below / "project" / "file").read_text() == "as it was"
    assert (below / "scratch" / "mine").read_text() == "kept"


def test_in_run_is_nothing_but_links_that_lead_out_of_it(place):
    link, folder = Path("/run", place.name), Path("/run", f"{place.name}.d")
    link.symlink_to(place / "elsewhere")
    folder.mkdir()
    try:
        done = confined(
            place,
            f"print({link.name!r} in os.listdir('/run'), {folder.name!r} in os.listdir('/run'), "
            f"Path({str(link / 'file')!r}).read_text())\nPath('/run/x').touch()",
        )
    finally:
        link.unlink()
        folder.rmdir()
    assert done.stdout == "True False as it was\n", done.stderr
    assert "Read-only file system" in done.stderr
