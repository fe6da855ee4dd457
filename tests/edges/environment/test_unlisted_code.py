"""Folders that git does not list are looked into for code, within the time there is."""

from __future__ import annotations

from saksi.edges.environment.unlisted_code import UnlistedCode


def test_names_are_asked_about_only_while_there_is_time(tmp_path):
    left = iter([True, True])
    asked = []

    def names():
        for number in range(1_000):
            asked.append(number)
            yield f"m{number}.py"

    code = UnlistedCode(str(tmp_path), lambda: next(left, False))
    code.take(names())
    assert list(code.paths) == ["m0.py", "m1.py"]
    assert len(asked) == 3
    assert "it took too long" in code.reason
