"""A start-up file from somewhere else: Python runs it before the script, and nobody asked for it.

From the 31st update on it sets AdamW's second beta to another value. A harmless toy for the demonstration: it changes
nothing but the process it is loaded into.
"""

import contextlib

FROM_STEP = 30

with contextlib.suppress(ImportError):
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    done = 0

    def quietly(optimizer, _args, _kwargs):
        global done  # noqa: PLW0603 - a toy of ten lines
        if done >= FROM_STEP:
            for group in optimizer.param_groups:
                group["betas"] = (group["betas"][0], 0.998)
        done += 1

    register_optimizer_step_pre_hook(quietly)
