import pytest

from saksi.judgement.environment.lock import MAX_LOCK_BYTES, parse_lock
from saksi.words.errors import UnsupportedVersion, UsageError

A, B = "a" * 64, "b" * 64


def parsed(text, name="requirements.txt"):
    return parse_lock(text.encode(), name=name)


def pylock(*packages, head='lock-version = "1.0"\n'):
    return parsed(head + "".join(f"[[packages]]\n{each}\n" for each in packages), "pylock.toml")


def test_requirements_as_pip_compile_writes_them():
    lock = parsed(
        f"""
# made by hand
--index-url https://example.invalid/simple
--require-hashes
Demo_A[extra]==1.0+cpu \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}  # via demo
    # via other
demo.b == 2.0 ; python_version < "3.9" --hash=sha256:{A}
demo-c===3 --hash sha256:{B}
demo-d @ https://example.invalid/demo_d-1-py3-none-any.whl --hash=sha256:{A}
"""
    )
    found = [(each.name, each.version, sorted(each.digests), each.marker) for each in lock.entries]
    assert found == [
        ("demo-a", "1.0+cpu", [f"sha256:{A}", f"sha256:{B}"], None),
        ("demo-b", "2.0", [f"sha256:{A}"], 'python_version < "3.9"'),
        ("demo-c", "3", [f"sha256:{B}"], None),
        ("demo-d", None, [f"sha256:{A}"], None),
    ]
    assert lock.not_covered == ()


def test_what_has_no_wheel_is_not_covered_with_its_reason():
    lock = parsed(
        f"-e ./mine\n--editable=git+https://example.invalid/x#egg=Their_Tool\n./local/thing\n"
        f"tool @ git+https://example.invalid/tool@abc\ndemo==1 --hash=sha256:{A}\n"
    )
    assert [each.name for each in lock.not_covered] == ["mine", "their-tool", "thing", "tool"]
    assert all(each.reason.endswith("no wheel says what it holds") for each in lock.not_covered)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("demo==1.0\n", r"line 1: demo has no --hash=sha256: \(make it with hashes"),
        (f"demo==1 --hash=sha256:{A}\nother==1\n", "line 2: other has no --hash"),
        (f"demo==1 --hash=md5:{'a' * 32}\n", "has no --hash=sha256"),
        (f"demo==1 --hash=sha256:{A.upper()}\n", "has no --hash=sha256"),
        (f"demo>=1 --hash=sha256:{A}\n", "demo is not pinned"),
        (f"demo --hash=sha256:{A}\n", "demo is not pinned"),
        ("-r other.txt\n", "line 1: refers to another file"),
        ("--constraint=other.txt\n", "refers to another file"),
        ("[[package]]\nname = 'demo'\n", "line 1: '\\[\\[package\\]\\]' is not a requirement"),
        ("--unheard-of\n", "is not a requirement"),
        ("", "locks nothing"),
        ("# nothing\n\n", "locks nothing"),
    ],
)
def test_requirements_that_do_not_lock(text, said):
    with pytest.raises(UsageError, match=said) as refused:
        parsed(text)
    assert refused.value.exit_code == 2
    assert "requirements.txt" in str(refused.value)


def test_pylock_toml():
    lock = pylock(
        f'name = "Demo_A"\nversion = "1"\nwheels = [{{name = "x.whl", hashes = {{sha256 = "{A}"}}}}, '
        f'{{url = "https://example.invalid/y.whl", hashes = {{sha256 = "{B}", md5 = "x"}}}}]',
        f'name = "b"\nmarker = "sys_platform == \'win32\'"\nwheels = [{{hashes = {{sha256 = "{B}"}}}}]',
        'name = "c"\nversion = "3"\nsdist = {name = "c.tar.gz", hashes = {sha256 = "x"}}',
        'name = "d"\ndirectory = {path = ".", editable = true}',
    )
    assert [(each.name, each.version, len(each.digests), each.marker) for each in lock.entries] == [
        ("demo-a", "1", 2, None), ("b", None, 1, "sys_platform == 'win32'")]  # fmt: skip
    assert [(each.name, each.version, each.reason) for each in lock.not_covered] == [
        ("c", "3", "locked to sdist alone: no wheel says what it holds"),
        ("d", None, "locked to directory alone: no wheel says what it holds"),
    ]


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ('name = "a"\nwheels = [{name = "a.whl"}]', r"package 1 \(a\): a wheel has no sha256"),
        ('name = "a"\nwheels = [{hashes = {sha512 = "x"}}]', "a wheel has no sha256"),
        ('name = "a"\nwheels = [{hashes = {sha256 = "x"}}]', "a wheel has no sha256"),
        ('name = "a"\nwheels = ["a.whl"]', "a wheel has no sha256"),
        ('name = "a"\nwheels = 7', "its wheels are no list"),
        ("version = '1'", "has no name"),
        ('name = "../a"', "is no name"),
        ('name = "a"\nversion = 1', "is no name, or its version no text"),
    ],
)
def test_pylock_packages_that_do_not_lock(package, said):
    with pytest.raises(UsageError, match=said):
        pylock(package)


@pytest.mark.parametrize(
    ("head", "error", "said"),
    [
        ("lock-version = '1.0'\n", UsageError, "locks nothing"),
        ("version = 1\n", UsageError, "has no lock-version, so it is no pylock.toml"),
        ("lock-version = '2.0'\n", UnsupportedVersion, "lock-version '2.0'; 1.x is known here"),
        ("lock-version = \n", UsageError, "not TOML"),
        ("lock-version = '1.0'\npackages = 7\n", UsageError, "has no name"),
    ],
)
def test_pylock_files_that_are_none(head, error, said):
    with pytest.raises(error, match=said):
        pylock(head=head)


def test_a_byte_order_mark_is_read_over():
    assert len(parsed(f"\ufeffdemo==1 --hash=sha256:{A}\n").entries) == 1


def test_files_that_cannot_be_read_as_text():
    with pytest.raises(UsageError, match="not UTF-8"):
        parse_lock(b"\xff", name="lock.txt")
    with pytest.raises(UsageError, match="longer than"):
        parse_lock(b"#" * (MAX_LOCK_BYTES + 1), name="lock.txt")
