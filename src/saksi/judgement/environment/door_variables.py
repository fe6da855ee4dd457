"""The environment variables by which code, or another choice of code, enters a training process.

Rules:

- A variable is listed when it is set to something that acts; each with one sentence and with when it acts.
- What a variable names is a path, a list of paths, or neither; `paths_named` takes the list apart as its reader does.
- What a variable switches off is listed with it: an environment that is safe by a switch depends on the switch.

BUG: variables of programs that a job starts besides Python, and of schedulers, are not here.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec

from saksi.judgement.environment.doors import Acts

__all__ = ["LOADING", "VARIABLES", "Variable", "category_modules", "paths_named", "variable_acts"]

Form: TypeAlias = Literal["text", "path", "colons", "objects", "semicolons", "module"]
"""`colons`: paths between colons, an empty one is the current folder; `objects`: shared objects between blanks or
colons; `semicolons`: paths between colons or semicolons; `module`: a dotted name."""


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One variable: what it does, when, and what its value is. `off` are values with which it does nothing."""

    name: str
    acts: Acts
    what: str
    form: Form = "text"
    off: tuple[str, ...] = ("",)


def _of(name: str, acts: Acts, what: str, form: Form = "text", *, off: tuple[str, ...] = ("",)) -> Variable:
    return Variable(name=name, acts=acts, what=what, form=form, off=off)


_LOADER: Final = (
    _of("LD_PRELOAD", "every_program", "the dynamic loader loads these objects before all others", "objects"),
    _of("LD_AUDIT", "every_program", "the dynamic loader loads these objects and reports to them", "colons"),
    _of("LD_LIBRARY_PATH", "every_program", "shared libraries are looked for here first", "semicolons"),
    _of("GLIBC_TUNABLES", "every_program", "changes how the C library works, the choice of its variants included"),
    _of("GCONV_PATH", "when_called", "the C library loads converters of character sets from here", "colons"),
)
_PYTHON: Final = (
    _of("PYTHONHOME", "every_start", "the standard library is taken from here", "path"),
    _of("PYTHONPLATLIBDIR", "every_start", "changes the name of the folder of libraries below the prefix"),
    _of("PYTHONPATH", "search_path", "modules are looked for here before the standard library", "colons"),
    _of("PYTHONUSERBASE", "every_start", "moves the user's own site folder", "path"),
    _of("PYTHONNOUSERSITE", "every_start", "keeps the user's own site folder and usercustomize out"),
    _of("PYTHONSAFEPATH", "search_path", "keeps the folder of the script off the search path"),
    _of("PYTHONPYCACHEPREFIX", "search_path", "bytecode is read from here in place of each package's folder", "path"),
    _of("PYTHONWARNINGS", "every_start", "imports the module of a warning's category, where it names one"),
    _of("PYTHON_PRESITE", "never", "imports a module before site; only debug builds of Python do so", "module"),
    _of("PYTHONBREAKPOINT", "when_called", "breakpoint() imports and calls this", "module", off=("", "0")),
    _of("PYTHONSTARTUP", "interactive", "an interactive prompt executes this file; a script does not", "path"),
    _of("PYTHONINSPECT", "interactive", "a prompt opens when the script has ended"),
    _of("PYTHON_BASIC_REPL", "interactive", "chooses the prompt"),
)
_LIBRARIES: Final = (
    _of("OPENSSL_CONF", "with_library", "OpenSSL reads this file and loads the modules that it names", "path"),
    _of("OPENSSL_MODULES", "with_library", "OpenSSL loads providers from here", "path"),
    _of("OPENSSL_ENGINES", "with_library", "OpenSSL loads engines from here", "path"),
    _of("PYTEST_PLUGINS", "with_library", "pytest imports these modules at its start"),
    _of("PYTEST_ADDOPTS", "with_library", "pytest adds these options, -p among them"),
    _of("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "with_library", "keeps pytest from loading the entry points of pytest11"),
    _of("VLLM_PLUGINS", "with_library", "chooses which plug-ins vLLM loads"),
    _of("OMP_TOOL_LIBRARIES", "with_library", "the OpenMP runtime loads these tools when it starts", "colons"),
    _of("TORCH_DEVICE_BACKEND_AUTOLOAD", "with_torch", "1 lets torch load the entry points of torch.backends"),
    _of("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "when_called", "torch.load unpickles whatever a file holds", off=("", "0")),
)
_DEVICES: Final = (
    _of("CUDA_INJECTION64_PATH", "with_torch", "the CUDA driver loads this library when it starts", "path"),
    _of("NVTX_INJECTION64_PATH", "with_torch", "NVTX loads this library when it starts", "path"),
    _of("HSA_TOOLS_LIB", "with_torch", "the ROCm runtime loads this library when it starts", "objects"),
    _of("ROCP_TOOL_LIB", "with_torch", "the ROCm profiler loads this library", "path"),
)
_COMPILED: Final = (
    _of("TORCHINDUCTOR_CACHE_DIR", "compiled_models", "Inductor loads kernels that it finds here", "path"),
    _of("TRITON_CACHE_DIR", "compiled_models", "Triton loads kernels that it finds here", "path"),
    _of("TRITON_HOME", "compiled_models", "Triton keeps its folder of kernels below this one", "path"),
    _of("TRITON_OVERRIDE_DIR", "compiled_models", "Triton takes kernels from here in place of its own", "path"),
    _of("TRITON_KERNEL_OVERRIDE", "compiled_models", "1 lets Triton take kernels from its folder of overrides"),
    _of("TRITON_PTXAS_PATH", "compiled_models", "Triton assembles kernels with this program", "path"),
    _of("TRITON_LIBDEVICE_PATH", "compiled_models", "Triton links kernels with this file", "path"),
    _of("TRITON_BACKENDS_IN_TREE", "compiled_models", "1 lets Triton take only the backends in its own folder"),
    _of("TORCH_EXTENSIONS_DIR", "compiled_models", "torch loads extensions that were built here", "path"),
    _of("PYTORCH_KERNEL_CACHE_PATH", "compiled_models", "torch loads kernels that it finds here", "path"),
    _of("CUDA_CACHE_PATH", "compiled_models", "the CUDA driver loads kernels that it finds here", "path"),
    _of("TORCH_COMPILE_OVERRIDE_BACKENDS", "compiled_models", "torch.compile uses these backends for some graphs"),
    _of("TORCHINDUCTOR_CUTLASS_DIR", "compiled_models", "Inductor imports a generator of kernels from here", "path"),
    _of("TORCHINDUCTOR_CK_DIR", "compiled_models", "Inductor takes templates of kernels from here", "path"),
    _of("CUDA_HOME", "compiled_models", "extensions are built with the compiler below this folder", "path"),
    _of("CXX", "compiled_models", "kernels for a CPU, and extensions, are built with this compiler"),
    _of("CC", "compiled_models", "Triton and extensions are built with this compiler"),
)
_COMMUNICATION: Final = (
    _of("NCCL_NET_PLUGIN", "several_processes", "NCCL loads this library for its network", "objects", off=("", "none")),
    _of("NCCL_TUNER_PLUGIN", "several_processes", "NCCL loads this library to choose algorithms", "objects"),
    _of("NCCL_PROFILER_PLUGIN", "several_processes", "NCCL loads this library and reports to it", "objects"),
    _of("NCCL_ENV_PLUGIN", "several_processes", "NCCL asks this library for all its settings", "objects"),
    _of("NCCL_CONF_FILE", "several_processes", "NCCL reads settings from this file, plug-ins included", "path"),
    _of("FI_PROVIDER_PATH", "several_processes", "libfabric loads providers from here", "colons"),
    _of("UCX_MODULE_DIR", "several_processes", "UCX loads modules from here", "path"),
)
VARIABLES: Final = _LOADER + _PYTHON + _LIBRARIES + _DEVICES + _COMPILED + _COMMUNICATION
"""Every variable that is looked at."""

LOADING: Final = frozenset(
    {
        "LD_PRELOAD",
        "LD_AUDIT",
        "OMP_TOOL_LIBRARIES",
        "CUDA_INJECTION64_PATH",
        "NVTX_INJECTION64_PATH",
        "HSA_TOOLS_LIB",
        "ROCP_TOOL_LIB",
        "NCCL_NET_PLUGIN",
        "NCCL_TUNER_PLUGIN",
        "NCCL_PROFILER_PLUGIN",
        "NCCL_ENV_PLUGIN",
    }
)
"""Those that name shared objects which something loads without being asked."""

_OBJECTS: Final = re.compile(r"[\s:,]+")
_SEMICOLONS: Final = re.compile(r"[:;]")
MAX_NAMED: Final = 1000
"""A search path of that length is a mistake of a loop; the variable itself is shown whole or shortened."""


def paths_named(variable: Variable, value: str) -> tuple[str, ...]:
    """What `value` names, in order, each once, at most `MAX_NAMED`; an empty part of `colons` is among them."""
    match variable.form:
        case "path":
            parts = [value]
        case "colons":
            parts = value.split(":")
        case "semicolons":
            parts = _SEMICOLONS.split(value)
        case "objects":
            parts = [each for each in _OBJECTS.split(value) if each]
        case _:
            parts = []
    return tuple(dict.fromkeys(parts))[:MAX_NAMED]


def category_modules(value: str) -> tuple[str, ...]:
    """The modules that PYTHONWARNINGS imports: of each filter `action:message:category` with a dotted category."""
    found: dict[str, None] = {}
    for each in value.split(","):
        parts = each.split(":")
        category = parts[2].strip() if len(parts) > 2 else ""  # noqa: PLR2004 - the third field
        module, dot, _ = category.rpartition(".")
        if dot and module:
            found[module] = None
    return tuple(found)


def variable_acts(variable: Variable, value: str) -> Acts:
    """When the variable acts with this value."""
    if variable.name == "PYTHONWARNINGS":
        return "every_start" if category_modules(value) else "never"
    return variable.acts
