"""What the seal says of where code may lie."""

from __future__ import annotations

import msgspec

from judgement.seals import plain_seal
from saksi.processes.agent.sources import own_code_of


def test_packages_lie_with_the_interpreter_that_the_seal_names_and_where_it_is_told_to_look():
    seal = plain_seal()
    assert own_code_of(seal).installations == ("/venv", "/usr")
    told = msgspec.structs.replace(seal, environment={"PYTHONPATH": "lib:/apps/site:", "PYTHONUSERBASE": "/data/me"})
    assert own_code_of(told).installations == ("/venv", "/usr", "/home/a/project/lib", "/apps/site", "/data/me")
    assert own_code_of(msgspec.structs.replace(seal, interpreter=None)).installations is None
