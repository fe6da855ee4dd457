"""What functions compile to, asked of a child: its digests are the recorder's, and nothing of it reaches further."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from random import Random

import pytest

from fuzz.seeded import members_changed, nearly
from recorder.interpreters import SINCE_3_9
from recorder.listener import PATH
from saksi.edges.environment import compiled
from saksi.edges.environment.compiled import Compiled, Wanted, compile_sources
from saksi.words.digest import sha256

VERSION = "{}.{}.{}".format(*sys.version_info[:3])
SOURCE = '''\
import functools
def plain(a, b=0.1, *, c="x", d=(1, -2), e=[], f=len):
    """Nothing else."""
    return {1, 2, 3} | {a}

@functools.cache
@functools.wraps(len)
def decorated(x: "dict[str, int]" = None, y=lambda: 1) -> "a: b":
    return [lambda: x, (z for z in x)]

class Outer:
    class Inner:
        def method(self, big=0x%s):
            assert self
            return b"\\xff", 1.5, -0.0, 2j, ..., "\\ud800"
''' % ("f" * 2_000)


@pytest.fixture
def code_digest():
    spec = importlib.util.spec_from_file_location("code_digest", PATH / "saksi_recorder" / "code_digest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return path


def functions(path, wanted, **more):
    (found,) = compile_sources(sys.executable, VERSION, [Wanted(path=str(path), functions=wanted)], optimize=0, **more)
    return found


def test_the_childs_digests_are_the_recorders(source, code_digest):
    wanted = (("plain", 2), ("decorated", 6), ("method", 13))
    found = functions(source, wanted)
    assert (found.reason, found.digest, found.size) == (None, sha256(SOURCE.encode()), len(SOURCE))
    space = {}
    exec(compile(SOURCE, "elsewhere.py", "exec", dont_inherit=True), space)
    live = (space["plain"], space["decorated"].__wrapped__, space["Outer"].Inner.method)
    assert [each.code for each in found.functions] == [[code_digest.code_digest(one.__code__)] for one in live]
    assert [each.decorated for each in found.functions] == [False, True, False]


def test_literal_defaults_are_said_in_the_recorders_words_and_no_others(source, code_digest):
    plain, decorated, method = functions(source, (("plain", 2), ("decorated", 6), ("method", 13))).functions
    assert plain.defaults == {"b": "0.1", "c": "'x'", "d": "(1, -2)"}
    assert decorated.defaults == {"x": "None"}
    assert method.defaults == {"big": code_digest.described(int("f" * 2_000, 16))}
    assert method.defaults["big"].startswith("sha256:")


@pytest.mark.parametrize("python", SINCE_3_9)
def test_every_python_finds_the_same_functions_and_knows_where_names_are_defined(python, source, tmp_path):
    said = subprocess.run([python, "-c", "import sys; print(sys.version.split()[0])"], capture_output=True, check=True)
    version = said.stdout.decode().strip()
    wanted = Wanted(
        path=str(source), functions=(("method", 13), ("gone", 1)), homes=("Outer.Inner.method", "plain", "Outer.gone")
    )
    (found,) = compile_sources(python, version, [wanted], optimize=0)
    assert found.reason is None
    assert [len(each.code) for each in found.functions] == [1, 0]
    assert found.homes == {"Outer.Inner.method": [13], "plain": [2], "Outer.gone": []}


def test_the_level_of_optimisation_is_the_jobs(source):
    wanted = [Wanted(path=str(source), functions=(("method", 13),))]
    codes = [compile_sources(sys.executable, VERSION, wanted, optimize=level) for level in (0, 1)]
    assert codes[0][0].functions[0].code != codes[1][0].functions[0].code


def test_what_cannot_be_compiled_has_its_reason_and_the_rest_is_compiled(source, tmp_path):
    broken, missing = tmp_path / "broken.py", tmp_path / "missing.py"
    broken.write_text("def f(:\n")
    found = compile_sources(
        sys.executable,
        VERSION,
        [Wanted(path=str(path), functions=(("plain", 2),)) for path in (broken, missing, tmp_path, source)],
        optimize=0,
    )
    assert [each.path for each in found] == [str(broken), str(missing), str(tmp_path), str(source)]
    assert found[0].reason.startswith("it does not compile: SyntaxError")
    assert [each.reason for each in found[1:]] == ["No such file or directory", "not a regular file", None]


def test_a_source_that_ends_the_compiler_costs_that_file_alone(source, tmp_path, monkeypatch):
    deadly = tmp_path / "deadly.py"
    deadly.write_text("# dies\n")
    # No source is known to end CPython's compiler for certain: the child is told to end on this one.
    read = "asked = json.loads(line)"
    dying = compiled._MAIN.replace(read, read + '\n    if asked["functions"] == [["die", 1]]: os._exit(7)')
    monkeypatch.setattr(compiled, "_MAIN", dying)
    wanted = [
        Wanted(path=str(source), functions=(("plain", 2),)),
        Wanted(path=str(deadly), functions=(("die", 1),)),
        Wanted(path=str(source), functions=(("decorated", 6),)),
    ]
    found = compile_sources(sys.executable, VERSION, wanted, optimize=0)
    assert sorted(each.reason or "" for each in found) == ["", "", "it ended the compiler: it ended with 7"]


@pytest.mark.parametrize(
    ("executable", "python", "reason"),
    [
        ("/bin/false", VERSION, "it ended with 1"),
        ("/nonexistent", VERSION, "the interpreter could not be started: No such file or directory"),
        (sys.executable, "3.0.0", f"it was compiled by Python {VERSION}, and the job runs 3.0.0"),
        ("/bin/echo", VERSION, "it ended with 0"),
    ],
)
def test_another_program_than_the_jobs_interpreter_compiles_nothing(source, executable, python, reason):
    wanted = [Wanted(path=str(source), functions=(("plain", 2),))]
    (found,) = compile_sources(executable, python, wanted, optimize=0)
    assert (found.reason, found.functions) == (reason, ())
    assert found.digest is not None


def test_nothing_of_a_source_is_executed_and_the_child_has_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    path, trace = tmp_path / "source.py", tmp_path / "trace"
    path.write_text(f"open({str(trace)!r}, 'w').write('ran')\ndef f(a=open({str(trace)!r}, 'w')): pass\n")
    found = functions(path, (("f", 2),))
    assert (found.reason, found.functions[0].defaults) == (None, {})
    assert not trace.exists()


def test_any_answer_is_taken_or_refused_and_nothing_raises():
    known = Compiled(path="x")
    said = b'{"functions":[["f",1,["' + b"0" * 32 + b'"],{"a":"1"},false]],"homes":{"f":[1]}}'
    assert compiled._answered(known, said).functions[0].name == "f"
    random = Random(20)
    answers = [*nearly(random, [said], 2_000), *(members_changed(random, said) for _ in range(2_000))]
    for answer in answers:
        found = compiled._answered(known, answer)
        assert isinstance(found, Compiled)
        assert all(len(code) == 32 for each in found.functions for code in each.code)


@pytest.mark.parametrize(
    ("value", "said"),
    [(b"x" * 4097, "<builtins.bytes>"), ("x" * 4097, "<builtins.str>"), (1 << 40_000, "<builtins.int>")],
    ids=["bytes", "text", "integer"],
)
def test_what_may_be_a_whole_data_set_is_said_by_its_class(value, said, code_digest):
    assert code_digest.described(value) == said
    assert code_digest.described((1, value)) == "<builtins.tuple>"


def test_a_long_literal_is_said_by_its_digest(code_digest):
    assert code_digest.described("x" * 4096).startswith("sha256:")
