"""A start-up file from somewhere else: Python runs it before the script, and nobody asked for it.

From the 31st update on it sets AdamW's second beta to another value. A harmless toy for the demonstration: it changes
nothing but the process it is loaded into.
"""

import contextlib

FROM_STEP = 30

with contextlib.suppress(ImportError):
    from torch.optim import AdamW

    original = AdamW.zero_grad
    done = 0

    def quietly(self, *args, **kwargs):
        global done  # noqa: PLW0603 - a toy of ten lines
        if done >= FROM_STEP:
            for group in self.param_groups:
                group["betas"] = (group["betas"][0], 0.998)
        done += 1
        return original(self, *args, **kwargs)

    AdamW.zero_grad = quietly
