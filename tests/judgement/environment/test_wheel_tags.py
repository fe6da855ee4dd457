import pytest

from saksi.judgement.environment.wheel import parse_wheel_name
from saksi.judgement.environment.wheel_tags import common_python, require_made_for
from saksi.words.errors import UsageError


def named(*tags):
    files = [f"p{at}-1.0-{each}.whl" for at, each in enumerate(tags)]
    return [(file, parse_wheel_name(file)) for file in files]


def parts(*tags):
    python = common_python(named(*tags))
    return python.implementation, python.version, python.cache_tag, python.platform


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["py3-none-any"], (None, None, None, None)),
        (["py2.py3-none-any", "py38-none-any"], (None, None, None, None)),
        (["cp311-cp311-manylinux_2_28_x86_64"], ("cpython", "3.11", "cpython-311", "linux_x86_64")),
        (["cp39-abi3-manylinux2014_x86_64"], ("cpython", None, None, "linux_x86_64")),
        (["cp39-abi3-any", "cp311-cp311-any"], ("cpython", "3.11", "cpython-311", None)),
        (["cp313-cp313t-any"], ("cpython free-threaded", "3.13", None, None)),
        (["py3-none-musllinux_1_2_aarch64"], (None, None, None, "linux_musl_aarch64")),
        (["py3-none-macosx_11_0_universal2", "py3-none-macosx_11_0_arm64"], (None, None, None, "macosx_arm64")),
        (["py3-none-manylinux1_x86_64.manylinux_2_5_x86_64"], (None, None, None, "linux_x86_64")),
        (["pp310-pypy310_pp73-any"], ("pypy", "3.10", None, None)),
        (["py3-none-win_amd64"], (None, None, None, "win_amd64")),
    ],
)
def test_what_wheels_say_of_their_interpreter_together(tags, expected):
    assert parts(*tags) == expected


@pytest.mark.parametrize(
    "tags",
    [
        ["cp311-cp311-any", "py3-none-any", "cp312-cp312-any"],
        ["cp312-abi3-any", "py3-none-any", "cp311-cp311-any"],
        ["cp311-none-manylinux1_x86_64", "py3-none-any", "cp311-none-manylinux2014_aarch64"],
        ["py3-none-manylinux1_x86_64", "py3-none-any", "py3-none-musllinux_1_1_x86_64"],
        ["cp311-cp311-any", "py3-none-any", "pp311-pypy311_pp73-any"],
    ],
)
def test_wheels_that_no_interpreter_can_have_together_are_named(tags):
    with pytest.raises(UsageError, match=r"^p2-1.0-.*made for another (Python|platform) than p0-1.0-"):
        common_python(named(*tags))


@pytest.mark.parametrize("tags", ["py2-none-any", "jy27-none-any", "py3-none-amiga"])
def test_a_wheel_for_nothing_that_is_known(tags):
    with pytest.raises(UsageError, match=r"made for no (Python|platform) that is known here"):
        common_python(named(tags))


def test_wheels_for_a_named_interpreter():
    require_made_for(named("cp311-cp311-any", "py3-none-any", "cp39-abi3-any"), "cpython", "3.11.7")
    with pytest.raises(UsageError, match=r"^p1-1.0.*: made for cp312-cp312, not for cpython 3.11.7"):
        require_made_for(named("py3-none-any", "cp312-cp312-any"), "cpython", "3.11.7")
    with pytest.raises(UsageError, match="not for pypy"):
        require_made_for(named("cp312-cp312-any"), "pypy", "3.12.1")
