"""`entry_points.txt` of installed distributions, and the groups in it that are loaded without anybody's naming them.

Rules:

- The file is read as `importlib.metadata` reads it: sections in brackets, `name = value`, comments with `#`. What it
  would refuse is counted, never guessed.
- `GROUPS` lists the groups whose entry points a training process loads by itself, with what loads them. A group that
  is not listed is a list of things that its user names one by one, such as console scripts.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from saksi.judgement.environment.doors import Acts

__all__ = ["GROUPS", "MAX_ENTRY_POINTS_FILE", "EntryPoint", "Group", "is_switched_off", "parse_entry_points"]

MAX_ENTRY_POINTS_FILE: Final = 1024 * 1024
"""The longest known, of a package with 1,400 console scripts, has 90 KB."""
_VALUE: Final = re.compile(r"(?P<module>[\w.]+)\s*(?::\s*(?P<object>[\w.]+)\s*)?(?:\[[^\]]*\]\s*)?")


class EntryPoint(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One line: `module` is what loading it imports."""

    group: str
    name: str
    value: str

    @property
    def module(self) -> str:
        """The module part of the value, empty if it has none."""
        found = _VALUE.fullmatch(self.value)
        return "" if found is None else found["module"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Who loads the entry points of a group, and when."""

    acts: Acts
    what: str
    switch: str | None = None
    """The variable that keeps them from being loaded."""


GROUPS: Final[dict[str, Group]] = {
    "torch.backends": Group(
        acts="with_torch",
        what="torch imports and calls it when torch is imported",
        switch="TORCH_DEVICE_BACKEND_AUTOLOAD",
    ),
    "torch_dynamo_backends": Group(
        acts="compiled_models", what="torch.compile imports it when its backend is asked for by this name"
    ),
    "torchrun.handlers": Group(acts="several_processes", what="torchrun imports and calls it when it starts workers"),
    "torchrun.logs_specs": Group(
        acts="when_called", what="torchrun imports it when it is started with --logs-specs and this name"
    ),
    "lightning.pytorch.callbacks_factory": Group(
        acts="with_library", what="Lightning calls it for every Trainer and adds its callbacks"
    ),
    "lightning.fabric.callbacks_factory": Group(
        acts="with_library", what="Lightning calls it for every Fabric and adds its callbacks"
    ),
    "pytorch_lightning.callbacks_factory": Group(
        acts="with_library", what="Lightning calls it for every Trainer and adds its callbacks"
    ),
    "lightning_fabric.callbacks_factory": Group(
        acts="with_library", what="Lightning calls it for every Fabric and adds its callbacks"
    ),
    "triton.backends": Group(
        acts="compiled_models", what="Triton imports its compiler and its driver when Triton is imported"
    ),
    "jax_plugins": Group(acts="with_library", what="JAX imports it when it looks for devices"),
    "vllm.general_plugins": Group(acts="with_library", what="vLLM imports and calls it in each of its processes"),
    "vllm.platform_plugins": Group(acts="with_library", what="vLLM imports and calls it to choose the device"),
    "mlflow.run_context_provider": Group(acts="with_library", what="MLflow imports it when a run is started"),
    "fsspec.specs": Group(acts="with_library", what="fsspec imports it when a URL of this kind is opened"),
    "pytest11": Group(
        acts="with_library",
        what="pytest imports it at its start, and not outside pytest",
        switch="PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    ),
}


def parse_entry_points(content: bytes) -> tuple[tuple[EntryPoint, ...], int]:
    """The entry points in order, and how many lines are none. Raises nothing."""
    group: str | None = None
    found: list[EntryPoint] = []
    refused = 0
    for line in content.decode("utf-8", "replace").splitlines():
        each = line.strip()
        if not each or each.startswith("#"):
            continue
        if each.startswith("[") and each.endswith("]"):
            group = each.strip("[]")
            continue
        name, equals, value = (part.strip() for part in each.partition("="))
        if group is None or not equals or not name:
            refused += 1
            continue
        found.append(EntryPoint(group=group, name=name, value=value))
    return tuple(found), refused


def is_switched_off(switch: str, value: str | None) -> bool:
    """Whether a group's switch, set to `value`, keeps its entry points from being loaded."""
    if switch == "TORCH_DEVICE_BACKEND_AUTOLOAD":
        return value is not None and value != "1"
    return bool(value)
