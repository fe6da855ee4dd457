"""The first line of a script that trains for a moment: torch as it is, and out of the garbage collector's sight.

Without it, two fifths of what such a process costs is the collector, which looks at what torch is made of again and
again as it is imported and once more at the end. It stands in front of a script's first, empty line: no line moves.
"""

LOADED = "import gc; gc.disable(); import torch, torch._dynamo; gc.freeze(); gc.enable()"

SETTLED = "__import__('time').sleep(0.2)"
"""The last line of a script with DDP over gloo: what its threads still hold of the last collective is let go of now.

A thread that does so as the interpreter ends aborts the process, seldom (pytorch/pytorch#190489); those of a group that
DDP knew stay until then.
"""
