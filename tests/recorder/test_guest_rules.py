"""The guest imports only the standard library and torch, and imports everywhere."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from recorder.interpreters import SINCE_3_9
from recorder.listener import PATH

SOURCES = sorted(PATH.rglob("*.py"))
TORCHLESS = ("arm", "channel", "environment", "guard", "plain", "session")


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_imports_the_standard_library_and_torch_alone(source):
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names or top in {"torch", "saksi_recorder"}, name
            assert top != "saksi_recorder" or source.name == "sitecustomize.py"


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_a_patched_callable_is_plain_and_leaves_compiled_regions_alone(source):
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        wraps = any("_original" in ast.unparse(d) for d in node.decorator_list)
        if wraps or node.name in {"python_seed", "numpy_seed", "default_rng"}:
            body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            assert ast.unparse(body[0]).startswith("if torch.compiler.is_compiling():\n    return _original")
            assert len(node.decorator_list) <= 1


@pytest.mark.parametrize("python", SINCE_3_9)
def test_torchless_modules_import_on_every_interpreter(python):
    code = "import sys; sys.path.insert(0, sys.argv[1])\n" + "".join(
        f"import saksi_recorder.{name}\n" for name in TORCHLESS
    )
    done = subprocess.run([python, "-W", "error", "-c", code, str(PATH)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
