"""What a team would declare of the programs that ship: the text of `saksi.toml`, sealed and approved with the project.

It is true of the program as it ships. Cases that are held to it do what it does not say; the honest variants keep it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PATTERNS", "PROMPT", "RECIPE", "TRACKED", "TRAIN"]

_TRAIN_PLAN: Final = """\
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 60
lr = [[0, 5e-3], [120, 0.0]]
between = "cosine"
max_norm = 1.0
accumulation = 1
trained = "all"
hyper_parameters = { betas = [0.9, 0.999], weight_decay = 0.01, amsgrad = false }
"""
_TRAIN_DATA: Final = """
[data]
items = 320
batch = 16
order = "shuffled"
each = "once"
drop_last = false
content = "same"
"""
TRAIN: Final = _TRAIN_PLAN + _TRAIN_DATA
"""Of `programs/train.py`, whose schedule is stopped at its half."""

TRACKED: Final = f'{_TRAIN_PLAN}reported = ["train/loss"]\nlongest_update = 30\n{_TRAIN_DATA}'
"""Of `programs/tracked.py`, which is the same and reports its loss."""

PROMPT: Final = f"{_TRAIN_PLAN}longest_update = 1.5\n{_TRAIN_DATA}"
"""As `TRAIN`, by somebody who wants to be woken for an update that takes a hundred times as long as one does."""

RECIPE: Final = """\
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 60
lr = 5e-3
max_norm = 1.0
accumulation = 1
trained = "all"

[data]
items = 160
batch = 16
order = "shuffled"
each = "once"
drop_last = false
content = "same"
"""
"""Of `programs/recipe.py`."""

_STEADY: Final = """\
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 40
lr = 5e-3
trained = "all"
"""
PATTERNS: Final = {
    "scheduled": """\
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 40
lr = [[8, 5e-3], [48, 0.0]]
between = "cosine"
warm_up = 8
warm_up_from = 5e-4
accumulation = 1
trained = "all"
""",
    "warm-restarts": """\
[plan]
optimizer = "torch.optim.sgd.SGD"
steps = 40
lr = [[0, 0.01], [5, 0.1], [10, 0.01], [15, 0.1], [20, 0.01], [25, 0.1], [30, 0.01], [35, 0.1], [40, 0.01]]
accumulation = 1
trained = "all"
""",
    "warmed-by-hand": """\
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 40
lr = [[9, 5e-3]]
warm_up = 9
warm_up_from = 5e-4
accumulation = 1
trained = "all"
""",
    "norm-clipped": f"{_STEADY}accumulation = 1\nmax_norm = 0.2\n",
    "accumulated": f"{_STEADY}accumulation = 4\nmax_norm = 1.0\n",
    "workers": """\
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 20
lr = 5e-3
accumulation = 1
trained = "all"

[data]
items = 160
order = "shuffled"
each = "once"
content = "same"
""",
}
"""Of the ways of `programs/patterns.py` that have a plan to keep, by name."""
