"""Doors made by hand."""

from __future__ import annotations

from saksi.judgement.environment.doors import Door, DoorsReport, FileFacts, Owner, Writer, order_of

DIGESTS = [f"sha256:{each * 64}" for each in "abcdef"]


def facts(**changes):
    owner = Writer(who="owner", id=1000, path="/env")
    return FileFacts(**{"form": "file", "digest": DIGESTS[0], "size": 1, "uid": 1000, "gid": 1000, "mode": "0644",
                        "writers": (owner,), **changes})  # fmt: skip


def door(name="foo.pth", **changes):
    path = changes.pop("path", f"/env/lib/{name}")
    return Door(**{"kind": "pth", "name": name, "acts": "every_start", "what": "executes 1 line", "path": path,
                   "file": facts(), "owner": Owner(state="same", distribution="foo-1"), **changes})  # fmt: skip


def report(*doors, **changes):
    return DoorsReport(**{"python": "/env/bin/python", "real_path": "/usr/bin/python3.11", "version": "3.11.7",
                          "prefix": "/env", "base_prefix": "/usr", "account": 1000, "complete": True, "unread": (),
                          "doors": tuple(sorted(doors, key=order_of)), **changes})  # fmt: skip
