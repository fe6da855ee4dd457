"""A confined process reads everything, and changes nothing that anybody else sees."""

import os

import pytest

from confining import confined
from saksi.edges.host.confinement import outermost


def test_what_is_written_in_a_layered_folder_is_seen_inside_and_nowhere_else(place):
    done = confined(
        place,
        "Path('file').write_text('other'); Path('new').write_text('x'); os.remove('file')\n"
        "print(sorted(os.listdir('.')), Path({!r}).exists())".format(str(place / "project" / "new")),
    )
    assert done.stdout == "['new'] True\n", done.stderr
    assert sorted(os.listdir(place / "project")) == ["file"]
    assert (place / "project" / "file").read_text() == "as it was"


def test_a_folder_that_several_share_stays_writable(place):
    shared = place / "elsewhere"
    done = confined(place, f"Path({str(shared / 'new')!r}).write_text('kept')", writable=("elsewhere",))
    assert done.returncode == 0, done.stderr
    assert (shared / "new").read_text() == "kept"


def test_everything_else_is_read_only_but_scratch(place):
    done = confined(
        place,
        f"Path({str(place / 'scratch' / 'mine')!r}).write_text('kept')\n"
        f"print(Path({str(place / 'elsewhere' / 'file')!r}).read_text())\n"
        f"Path({str(place / 'elsewhere' / 'file')!r}).write_text('other')",
    )
    assert done.stdout == "as it was\n"
    assert "Read-only file system" in done.stderr
    assert (place / "elsewhere" / "file").read_text() == "as it was"
    assert (place / "scratch" / "mine").read_text() == "kept"


def test_what_is_hidden_is_shown_empty(place):
    done = confined(place, f"print(os.listdir({str(place / 'keys')!r}))", hidden=["keys"])
    assert done.stdout == "[]\n", done.stderr


def test_there_is_no_network_but_its_own(place):
    done = confined(
        place,
        "server = socket.create_server(('127.0.0.1', 0)); own = socket.create_connection(server.getsockname())\n"
        "print('own')\nsocket.create_connection(('192.0.2.1', 9), timeout=5)",
    )
    assert done.stdout == "own\n"
    assert "Network is unreachable" in done.stderr


def test_a_folder_that_takes_no_layer_stays_read_only_if_that_was_only_gladly_asked(place):
    (place / "odd,name").mkdir()
    done = confined(place, f"Path({str(place / 'odd,name' / 'x')!r}).write_text('x')", gladly=["odd,name"])
    assert "Read-only file system" in done.stderr


def test_a_folder_that_must_take_one_and_cannot_ends_it_before_anything_runs(place):
    (place / "odd,name").mkdir()
    refused = confined(place, "print('ran')", layered=["project", "odd,name"])
    assert (refused.returncode, refused.stdout) == (124, "")
    assert "no layer can be put over it" in refused.stderr


def test_folders_inside_of_others_are_left_out(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert outermost([inner, tmp_path / "a", tmp_path / "a"]) == ((tmp_path / "a").resolve(),)


def test_files_written_in_shared_memory_by_data_loaders_are_allowed(place):
    done = confined(
        place,
        "from multiprocessing import shared_memory\n"
        "one = shared_memory.SharedMemory(create=True, size=16); one.close(); one.unlink(); print('ok')",
    )
    assert done.stdout == "ok\n", done.stderr


@pytest.mark.parametrize(
    ("layered", "gladly"), [(("home/project",), ("home",)), (("home",), ()), (("home/project",), ())]
)
def test_what_is_placed_in_a_folder_of_the_home_is_what_is_there_and_can_be_written(place, layered, gladly):
    for name in ("home/project", "scratch/clean"):
        (place / name).mkdir(parents=True)
        (place / name / "train.py").write_text(name)
    home = place / "home"
    done = confined(
        place,
        f"at = Path({str(home)!r})\n"
        "print((at / 'project/train.py').read_text()); (at / 'project/new').write_text('x')\n"
        "print((at / 'project/new').read_text())",
        layered=(*layered, "project"), gladly=gladly, placed=[("scratch/clean", "home/project")],
    )  # fmt: skip
    assert done.stdout == "scratch/clean\nx\n", done.stderr
    assert sorted(os.listdir(home / "project")) == sorted(os.listdir(place / "scratch/clean")) == ["train.py"]


@pytest.mark.parametrize("gladly", [(), ("home",)])
def test_an_environment_inside_of_what_is_placed_is_there_and_what_is_written_beside_it_is_gone(place, gladly):
    for name in ("home/project/venv", "scratch/clean/venv", "scratch/kept"):
        (place / name).mkdir(parents=True)
    (place / "home/project/venv/python").write_text("of the environment")
    (place / "scratch/clean/train.py").write_text("as sealed")
    project = place / "home/project"
    done = confined(
        place,
        f"at = Path({str(project)!r})\n"
        "print((at / 'train.py').read_text(), (at / 'venv/python').read_text()); (at / 'new').write_text('x')\n"
        "try:\n    (at / 'venv/new').write_text('x')\nexcept OSError: print('read-only')\n",
        layered=("home/project", "project"), gladly=gladly,
        placed=[
            ("home/project/venv", "scratch/kept"), ("scratch/clean", "home/project"),
            ("scratch/kept", "home/project/venv"),
        ],
    )  # fmt: skip
    assert done.stdout == "as sealed of the environment\nread-only\n", done.stderr
    assert sorted(os.listdir(place / "scratch/clean")) == ["train.py", "venv"]
    assert sorted(os.listdir(project)) == ["venv"]
