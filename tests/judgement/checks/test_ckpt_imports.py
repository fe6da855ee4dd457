"""Names that a pickle imports, and what is said of them."""

from __future__ import annotations

import pytest

from judgement.checks.ckpt_runs import judged
from saksi.judgement.checks.ckpt_imports import CKPT_IMPORTS, executing, unexpected
from saksi.words.records import FileRecord
from simulated_run import SimulatedRun

TENSORS = ("collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2")


@pytest.mark.parametrize(
    "names",
    [
        TENSORS,
        ("__builtin__.set", "builtins.dict", "builtins.complex", "builtins.bytearray"),
        ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "numpy.dtype", "numpy.ndarray"),
        ("torch.nn.modules.linear.Linear", "torch._utils._rebuild_parameter", "torch.Size", "torch.bfloat16"),
        ("torch.float8_e4m3fn", "torch.device", "torch.optim.adamw.AdamW", "pathlib.PosixPath", "argparse.Namespace"),
        ("torch.distributed.checkpoint.metadata.Metadata", "torch.distributed.checkpoint.filesystem._StorageInfo"),
        ("_codecs.encode", "datetime.datetime", "copy_reg._reconstructor", "__builtin__.object", "_io.BytesIO", "…"),
    ],
)  # fmt: skip
def test_what_tensors_and_plain_values_need_is_expected(names):
    assert executing(names) == unexpected(names) == ()


@pytest.mark.parametrize(
    "name",
    ["posix.system", "os.system", "nt.system", "subprocess.Popen", "builtins.exec", "__builtin__.eval", "io.open",
     "builtins.open", "builtins.__import__", "runpy.run_path", "importlib.import_module", "pty.spawn", "pip.main",
     "operator.attrgetter", "torch.hub.load", "torch.serialization.os.system", "torch.utils.cpp_extension.load",
     "types.FunctionType", "builtins.getattr", "pickle.loads", "marshal.loads", "code.interact", "cProfile.runctx",
     "numpy.testing._private.utils.runstring"],
)  # fmt: skip
def test_what_executes_is_named(name):
    assert executing((*TENSORS, name)) == (name,)
    assert unexpected((*TENSORS, name)) == ()


@pytest.mark.parametrize(
    "names",
    [("mine.Config",), ("mine.Config", "builtins.getattr"), ("code.models.Net",), ("profile.Profile",),
     ("functools.partial",), ("lightning.fabric.utilities.data.AttributeDict",), ("?",), ("dill._dill._create_type",)],
)  # fmt: skip
def test_everything_else_is_told_and_weighs_nothing(names):
    assert executing(names) == ()
    assert unexpected(names) == names


def run_of(imports, *, action="loaded"):
    simulated = SimulatedRun()
    simulated.attach()
    simulated.add(
        FileRecord(
            **simulated.stamp(), connection=0, seq=2, rank=0, action=action, path="base.pt", step=-1,
            digest=f"sha256:{'a' * 64}", size=1, claimed_digest=None, reason=None, imports=imports,
        )
    )  # fmt: skip
    return simulated


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        (["posix.system", "mine.Config"], [("ckpt.executes", "warning", 0, "base.pt", (0,))]),
        (["mine.Config"], [("ckpt.executes", "info", 0, "base.pt", (0,))]),
        (list(TENSORS), []),
        ([], []),
        (None, []),
    ],
)
def test_a_file_that_is_loaded_is_told_by_what_it_imports(imports, expected):
    found, news = judged(run_of(imports), CKPT_IMPORTS)
    assert [(each.code, each.severity, each.first_step, each.subject, each.ranks) for each in found] == expected
    assert [each.code for each in news] == [each.code for each in found]


def test_many_names_are_counted():
    (found,), _ = judged(run_of([f"mine.C{number}" for number in range(9)]), CKPT_IMPORTS)
    assert "mine.C5 and 3 more" in found.message
