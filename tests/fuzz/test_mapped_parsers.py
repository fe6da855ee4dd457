"""Maps and environments that are nearly right: read, or refused in few words."""

from __future__ import annotations

from random import Random

from fuzz.seeded import SEED, nearly
from saksi.edges.host.mapped import parse_environ, parse_maps
from saksi.words.errors import MalformedInput

MAPS = [
    b"7f00-7f10 r-xp 00002000 fe:00 260131  /usr/bin/cat (deleted)\n7f20-7f30 rwxp 00000000 00:00 0 \n",
    b"7f30-7f40 r-xp 00000000 00:01 7 /memfd:x (deleted)\n",
    b"55d0c0de-55d0c0df r--p 00000000 103:05 1 /a\\012b\n7ffe-7fff r-xp 00000000 00:00 0 [vdso]\n",
]
ENVIRON = [b"LD_PRELOAD=/a.so\0PYTHONPATH=/a:/b\0EMPTY=\0", b"A=\xff\0=x\0LD_PRELOAD\0"]


def test_maps():
    read, said = 0, []
    for content in nearly(Random(f"{SEED} maps"), MAPS, 4_000):
        try:
            found = parse_maps(content)
        except MalformedInput as refused:
            said.append(str(refused))
            continue
        read += 1
        assert all(each.path and each.path.isprintable() and len(each.path) <= 4_096 for each in found.files)
        assert all(0 <= each.inode < 2**63 for each in found.files)
    assert 0 < read < 4_000
    assert max(map(len, said)) < 500


def test_environments():
    names = {"LD_PRELOAD", "PYTHONPATH", "A"}
    for content in nearly(Random(f"{SEED} environ"), ENVIRON, 4_000):
        assert parse_environ(content, names).keys() <= names
