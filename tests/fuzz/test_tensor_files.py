"""Files that are nearly safetensors or torch's: read, or refused with a reason, and nothing else happens."""

from __future__ import annotations

import io
import struct
from random import Random

import pytest

from edges.tensors.files import pickled, safetensors, tensor, torch_zip
from fuzz.seeded import INPUTS, SEED, mutated
from saksi.edges.tensors.form import NotTensors
from saksi.edges.tensors.read import tensors_in
from saksi.edges.tensors.torch_pickle import tensors_of_pickle

NUMBERS = struct.pack("<12f", *range(12))
VALUE = {"model": {"w": tensor("FloatStorage", "0", (3, 4), (4, 1)), "b": [1, 2.5, None, ("x",)]}, 3: True}
SAFE = safetensors({"a": ("F32", [3, 4], NUMBERS), "b": ("I64", [1], NUMBERS[:8])}, metadata={"format": "pt"})
ZIP = torch_zip(VALUE, {"0": NUMBERS})


@pytest.mark.parametrize("content", [SAFE, ZIP], ids=["safetensors", "torch"])
def test_a_file_that_is_nearly_right_is_read_or_refused(content):
    random, read, refused = Random(SEED), 0, []
    for _ in range(INPUTS // 4):
        changed = mutated(random, content)
        try:
            found = tensors_in(io.BytesIO(changed))
        except NotTensors as reason:
            refused.append(str(reason))
        else:
            read += found is not None and bool(found.found)
    assert read > INPUTS // 200
    assert len(refused) > INPUTS // 20
    assert all(refused)


def test_a_pickle_that_is_nearly_right_is_read_or_refused():
    random, content, refused = Random(SEED), pickled(VALUE), 0
    for _ in range(INPUTS):
        try:
            tensors_of_pickle(mutated(random, content))
        except NotTensors:
            refused += 1
    assert INPUTS // 4 < refused < INPUTS
