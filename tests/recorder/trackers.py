"""Stand-ins for three trackers, of the call shapes that their public documentation gives; what they took is in `TAKEN`.

`write` puts them into a folder that goes on the module search path. Torch's own writer of TensorBoard needs a package
of that name; its stand-in is found in front of it, as `torch.utils.tensorboard.writer`.
"""

from __future__ import annotations

from pathlib import Path

WANDB_RUN = """
import functools

TAKEN = []


def _attached(function):
    @functools.wraps(function)
    def call(self, *args, **kwargs):
        return function(self, *args, **kwargs)
    return call


class Run:
    @_attached
    def log(self, data, step=None, commit=None, sync=None):
        if "refused" in data:
            raise ValueError("refused")
        TAKEN.append((dict(data), step))
"""
WANDB = """
from wandb.sdk import wandb_run
from wandb.sdk.wandb_run import Run, TAKEN


def log(*args, **kwargs):
    raise RuntimeError("call init first")


def init(**settings):
    global log
    run = Run()
    log = run.log
    return run
"""
MLFLOW_FLUENT = """
TAKEN = []


def log_metric(key, value, step=None, synchronous=None, timestamp=None, run_id=None):
    TAKEN.append((key, value, step))
    return len(TAKEN)


def log_metrics(metrics, step=None, synchronous=None, run_id=None, timestamp=None):
    TAKEN.append((dict(metrics), step))
"""
MLFLOW = "from mlflow.tracking.fluent import log_metric, log_metrics\n"
WRITER = """
TAKEN = []


class SummaryWriter:
    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        TAKEN.append((tag, scalar_value, global_step))

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        TAKEN.append((main_tag, tag_scalar_dict, global_step))
"""
_FILES = {
    "wandb/__init__.py": WANDB,
    "wandb/sdk/__init__.py": "",
    "wandb/sdk/wandb_run.py": WANDB_RUN,
    "mlflow/__init__.py": MLFLOW,
    "mlflow/tracking/__init__.py": "",
    "mlflow/tracking/fluent.py": MLFLOW_FLUENT,
    "for_torch/tensorboard/__init__.py": "from torch.utils.tensorboard.writer import SummaryWriter\n",
    "for_torch/tensorboard/writer.py": WRITER,
}


def write(folder: Path) -> Path:
    """The stand-ins, in `folder`; in front of torch's, for a script that puts `for_torch` first in `torch.utils`."""
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
