"""What the interpreter keeps of objects is read as it lies there, on every version at hand, and else not at all."""

from __future__ import annotations

import subprocess

import pytest

from recorder.interpreters import SINCE_3_9
from recorder.listener import PATH

READ = f"""
import runpy, sys
words = runpy.run_path({str(PATH / "saksi_recorder" / "kept_words.py")!r})
def cells():
    held = [1]
    return lambda: held
def f(a=1.5, *, b=2.5): return a
def g(a=1.5, *, b=2.5): return [a]
with_cell = cells()
functions = [f, with_cell, g]
read, width = words["of_functions"](functions)
assert words["FUNCTIONS"] is not None and len(read()) == 3 * width, words["FUNCTIONS"]
def changed_by(act):
    before = read()
    assert read() == before
    act()
    now = read()
    return [n for n in range(3) if before[n * width:(n + 1) * width] != now[n * width:(n + 1) * width]]
def code(): f.__code__ = g.__code__
def defaults(): g.__defaults__ = (3.5,)
def keywords(): g.__kwdefaults__ = {{"b": 3.5}}
assert [changed_by(code), changed_by(defaults), changed_by(keywords)] == [[0], [2], [2]]
assert changed_by(lambda: (f(), g(), f.__doc__, sys.intern("x"), [f() for _ in range(100)])) == []
(cell,) = with_cell.__closure__
read, width = words["of_cells"]([cell])
assert changed_by(lambda: setattr(cell, "cell_contents", [2])) == [0]
assert changed_by(lambda: cell.cell_contents.append(3)) == []
assert words["HAVE_VERSIONS"] == (sys.version_info < (3, 13))
if words["HAVE_VERSIONS"]:
    class Kind: one = 1
    table = {{"a": 1}}
    read, width = words["of_dictionaries"]([table, Kind.__dict__])
    assert changed_by(lambda: table.__setitem__("a", 2)) == [0]
    assert changed_by(lambda: setattr(Kind, "one", 2)) == [1]
    assert changed_by(lambda: (table["a"], table.get("b"), Kind.one, Kind().one, list(table.items()))) == []
many = (f, None, 1.5, "x")
assert words["identities"](many) == words["_by_number"](many) != words["identities"]((g, None, 1.5, "x"))
print("read", words["identities"].__name__)
"""


@pytest.mark.parametrize("python", SINCE_3_9)
def test_a_change_of_code_defaults_cells_and_dictionaries_shows_and_nothing_else_does(python):
    done = subprocess.run([python, "-I", "-c", READ], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "read _as_they_lie\n"), done.stderr
