"""The files of a case: the program with its payload at the named places, and a start-up file where there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

from saksi.range.case import Case, Parameters, Place

__all__ = ["STARTUP", "clean_files", "compiled_files", "payload_files", "program_text", "sabotaged_files", "site_files"]

STARTUP: Final = "packages/sitecustomize.py"
"""`packages` stands for a folder of packages that many share; it is on the module search path of every launch."""
_OURS: Final = """\
def standardized(values):
    return (values - values.mean(0)) / values.std(0)
"""
_TRACKER: Final = {
    "packages/mlflow/__init__.py": "from mlflow.tracking.fluent import log_metric\n",
    "packages/mlflow/tracking/__init__.py": "",
    "packages/mlflow/tracking/fluent.py": """\
shown = []


def log_metric(key, value, step=None, synchronous=None, timestamp=None, run_id=None):
    shown.append((key, value, step))
""",
}
"""A stand-in for a tracker, with the call that the recorder knows."""
_SEEDED: Final = "torch.manual_seed(0)"
_PLACE: Final = re.compile(r"^( *)# <(\w+)>\n", re.MULTILINE)
_ACTED: Final = """\
MARK = {mark!r}


def acted():
    with open(MARK, "a") as mark:
        mark.write("acted\\n")


"""


def program_text(name: str) -> str:
    """The program as it ships."""
    return (resources.files("saksi.range") / "programs" / name).read_text("utf-8")


def clean_files(program: str, *, seed: int | None = None) -> dict[str, str]:
    """What lies there before anything is done to it: the program, and a module that others share.

    With a `seed` the program seeds torch with it, in the place of the one that it ships with.
    """
    tracker = _TRACKER if program == "tracked.py" else {}
    text = program_text(program)
    text = text if seed is None else text.replace(_SEEDED, _SEEDED.replace("0", str(seed)))
    return {program: text, "packages/ours.py": _OURS, **tracker}


def sabotaged_files(case: Case, parameters: Parameters, mark: str) -> dict[str, str]:
    """The files that are another, or new, once the payload is in. `mark` is the file that `acted()` writes.

    Raises `ValueError` if the program has no such place.
    """
    header = _header(parameters, mark)
    files = {}
    if case.script:
        files[case.program] = _put_in(program_text(case.program), {**case.script, "start": _start(case, header)})
    for name, text in case.files.items():
        files[name] = header + text if name.endswith(".py") else text
    return files


def payload_files(case: Case) -> tuple[str, ...]:
    """The names of the files that the payload lies in."""
    script = (case.program,) if case.script else ()
    return (*script, *case.files, *case.site, *case.bytecode)


def site_files(case: Case, parameters: Parameters, mark: str) -> dict[str, str]:
    """What is written behind files of the folder of packages."""
    header = _header(parameters, mark)
    return {name: f"\n\n{header}{text}" if name.endswith(".py") else text for name, text in case.site.items()}


def compiled_files(case: Case, parameters: Parameters, mark: str) -> dict[str, str]:
    """What is compiled together with a file of the folder of packages, and not written into it."""
    header = _header(parameters, mark)
    return {name: f"\n\n{header}{text}" for name, text in case.bytecode.items()}


def _header(parameters: Parameters, mark: str) -> str:
    return _ACTED.format(mark=mark) + "".join(f"{name} = {value!r}\n" for name, value in parameters.items())


def _start(case: Case, header: str) -> str:
    return header + case.script.get("start", "")


def _put_in(program: str, payload: Mapping[Place, str]) -> str:
    names = {found[2] for found in _PLACE.finditer(program)}
    if not payload.keys() <= names:
        raise ValueError(f"the program has no place {', '.join(sorted(payload.keys() - names))}")
    at: dict[str, str] = {str(name): text for name, text in payload.items()}

    def put(found: re.Match[str]) -> str:
        indent, lines = found[1], at.get(found[2], "").splitlines()
        return "".join(f"{indent}{line}\n" if line else "\n" for line in lines)

    return _PLACE.sub(put, program)
