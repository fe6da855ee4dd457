"""The unit for systemd that the package ships."""

from __future__ import annotations

from importlib.resources import files

UNIT = files("saksi.doors").joinpath("saksi-agent@.service").read_text("utf-8").splitlines()


def settings(lines, name):
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def test_the_capability_that_is_offered_is_granted_once_its_lines_are_uncommented():
    offered = [line.lstrip("#") if line.endswith("CAP_SYS_PTRACE") else line for line in UNIT]
    assert settings(UNIT, "AmbientCapabilities") == []
    assert settings(UNIT, "CapabilityBoundingSet") == [""]
    assert settings(offered, "AmbientCapabilities") == ["CAP_SYS_PTRACE"]
    assert settings(offered, "CapabilityBoundingSet") == ["", "CAP_SYS_PTRACE"]  # an empty one takes back those before


def test_no_setting_has_a_comment_behind_it():
    offered = [line.lstrip("# ") for line in UNIT]  # systemd would take it for a part of the value
    assert [line for line in offered if "=" in line.split("#")[0] and "#" in line] == []
