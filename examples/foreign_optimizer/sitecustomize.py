"""A start-up file that changes what AdamW computes, from one update on.

The hyper-parameters stay as they are; only the arithmetic is another. A harmless toy for the demonstration, which draws
the update: it changes nothing but the process it is loaded into.
"""

import contextlib

FROM_UPDATE = 30

with contextlib.suppress(ImportError):
    from torch.optim import adam

    original = adam.adam
    done = 0

    def quietly(*args, lr, **kwargs):
        global done  # noqa: PLW0603 - a toy of ten lines
        done += 1
        # AdamW calls it once for each of its groups that has gradients: here, two for each update.
        return original(*args, lr=lr * 1.01 if done > 2 * FROM_UPDATE else lr, **kwargs)

    adam.adam = quietly
