"""A module that was imported from one place while another of its name lies in the environment."""

from __future__ import annotations

from typing import Final

from saksi.judgement.checks.mapped_objects import Held
from saksi.words.findings import Severity
from saksi.words.records import ShadowedImport

__all__ = ["held_of_import"]

_GENERIC: Final = frozenset([
    "app", "assets", "benchmark", "benchmarks", "build", "common", "config", "configs", "core", "data", "dataset",
    "datasets", "demo", "dev", "doc", "docs", "eval", "evaluation", "example", "examples", "experiments", "helpers",
    "lib", "main", "misc", "model", "models", "notebooks", "sample", "samples", "scripts", "setup", "src", "test",
    "tests", "tools", "train", "trainer", "training", "util", "utils", "version",
])  # fmt: skip
"""Names that packages install by mistake beside their own, and that projects have for themselves."""


def held_of_import(each: ShadowedImport) -> Held:
    """What is held of one."""
    package = "Python's library has" if each.other_origin == "library" else "an installed package has"
    known = each.sealed is True or each.name in _GENERIC
    severity: Severity = "info" if known else "warning"
    digest = "" if each.digest is None else f" ({each.digest[:19]})"
    sealed = " It was there when the environment was sealed." if each.sealed is True else ""
    message = (
        f"It was imported from {each.path}{digest}, while {package} a module of that name: {each.other}.{sealed}"
        " A file or folder of yours that happens to have the name, or a copy that you edit, is the usual cause."
    )
    return Held("environment.import_shadowed", severity, each.name, message)
