"""The recorder: a guest in the user's process that gathers bytes and computes no verdict.

Rules for everything in this package: standard library and the user's torch only; parses as Python 3.9; never raises
into training, never blocks, never synchronises a device, never draws from a generator of the user, uses no process
group; memory is bounded, and what is dropped is counted and said. With and without it, training is bit-identical.
The wire format is `spec/frames.md`.
"""
