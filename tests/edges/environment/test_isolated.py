"""What a child of ours gets of the environment: nothing but where libraries are."""

from __future__ import annotations

import subprocess
import sys

from saksi.edges.environment import compiled
from saksi.edges.environment.compiled import Wanted, compile_sources
from saksi.edges.environment.isolated import ISOLATED, isolated_environment, library_folders

VERSION = "{}.{}.{}".format(*sys.version_info[:3])


def test_only_whole_paths_of_libraries_are_handed_on():
    environment = {"LD_LIBRARY_PATH": ":/opt/lib:here:/usr/x:", "LD_PRELOAD": "/evil.so", "PYTHONPATH": "/evil"}
    assert library_folders(environment) == ("/opt/lib", "/usr/x")
    assert isolated_environment(environment) == {"LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "/opt/lib:/usr/x"}
    assert isolated_environment({"LD_LIBRARY_PATH": ":."}, PATH="/bin") == {"LC_ALL": "C.UTF-8", "PATH": "/bin"}


def test_sources_are_compiled_by_an_isolated_child_that_reads_no_bytecode(tmp_path, monkeypatch):
    source = tmp_path / "a.py"
    source.write_text("def f(): pass\n")
    ran = []
    run = subprocess.run
    monkeypatch.setattr(
        compiled.subprocess, "run", lambda given, **options: ran.append((given, options)) or run(given, **options)
    )
    wanted = [Wanted(path=str(source), functions=(("f", 1),))]
    environment = {"LD_LIBRARY_PATH": "/nonexistent/lib:", "PYTHONPATH": "/evil"}
    (found,) = compile_sources(sys.executable, VERSION, wanted, optimize=0, environment=environment)
    assert found.reason is None
    ((given, options),) = ran
    assert tuple(given[1 : len(ISOLATED) + 1]) == ISOLATED
    assert "pycache_prefix=/nonexistent/saksi" in given
    assert options["env"] == {"LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "/nonexistent/lib"}
