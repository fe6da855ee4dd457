import pytest

from saksi.judgement.changed_lines import first_changed_line


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (b"a\nb\nc\n", b"a\nx\nc\n", 2),
        (b"a\nb\n", b"a\nb\nc\n", 3),
        (b"a\nb\nc\n", b"a\nb\n", 3),
        (b"a\n", b"b\n", 1),
        (b"", b"a", 1),
        (b"a\nb", b"a\nb\n", 2),
        (b"a\r\nb\n", b"a\nb\n", 1),
        (b"a\n", b"a\n", None),
        (b"a\0\n", b"b\0\n", None),
        (b"\xff\n", b"a\n", None),
    ],
)
def test_the_first_line_that_is_not_the_same(before, after, line):
    assert first_changed_line(before, after) == line
