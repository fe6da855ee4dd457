"""A confined program cannot undo what confines it, whoever it is: toys that try, and programs that only work there.

Every act is tried by a program that was executed behind the walls: as root, where the tests run as root, and as another
account.
"""

import ctypes
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from accounts import OTHER, Accounts
from confining import confined
from edges.host import undoing
from edges.host.undoing import A_DEVICE, ACTS, handle_of
from saksi.edges.host.privileges import KEPT

AS_ROOT = os.geteuid() == 0
NEEDS_ROOT = pytest.mark.skipif(not AS_ROOT, reason="only root has rights to give up")
CONTAINER = ("unshare", "--user", "--map-root-user")
WHO = [
    pytest.param("root", marks=NEEDS_ROOT),
    pytest.param("root without a right to mount", marks=NEEDS_ROOT),
    pytest.param("root of a container", marks=NEEDS_ROOT),
    "another account",
]
OF_ROOT = {"finds_disks_and_memory", "opens_a_node_that_lies_about", "asks_a_service_in_run"}
"""What is taken from root alone: another account could do so before, and can."""


def landlock():
    """The version of the kernel's."""
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)


@pytest.fixture
def told(place):
    """What the toys are told: one process outside is another account's, and a service answers in /run."""
    account, path = OTHER if AS_ROOT else os.getuid(), f"/run/saksi-test-{os.getpid()}.sock"
    with (
        socket.socket(socket.AF_UNIX) as listening,
        subprocess.Popen(["sleep", "100"], **({"user": account, "group": account} if AS_ROOT else {})) as job,
    ):
        if AS_ROOT:
            listening.bind(path)
            listening.listen()
        yield {
            "place": str(place), "outside": os.getpid(), "other": (job.pid, account), "socket_path": path,
            "handle": handle_or_none(place / "keys" / "file"),
        }  # fmt: skip
        if AS_ROOT:
            os.unlink(path)
        job.kill()


def handle_or_none(path):
    try:
        return handle_of(path).hex()
    except OSError:  # a file system whose files have no numbers
        return ""


@pytest.fixture(scope="module")
def accounts():
    if not AS_ROOT:
        yield None
        return
    made = Accounts()
    yield made
    made.remove()


def confined_as(who, place, body, accounts, *words):
    """As `confined`, executed anew behind the walls, with these words."""
    options = {}
    if who == "another account" and AS_ROOT:
        give_to_account(place)
        options |= {"start": (accounts.python,), "user": OTHER, "group": OTHER, "extra_groups": [],
                    "env": accounts.environment(OTHER)}  # fmt: skip
    if who == "root without a right to mount":
        options["start"] = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable)
    if who == "root of a container":
        options["start"] = (*CONTAINER, sys.executable)
    program = f"os.execv(sys.executable, [sys.executable, '-B', '-c', *{[body, *words]!r}])"
    return confined(place, program, hidden=("keys",), **options)


def give_to_account(place):
    for where, _, files in os.walk(place):
        for each in (where, *(os.path.join(where, name) for name in files)):
            os.chown(each, OTHER, OTHER)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("act", list(ACTS))
def test_a_program_that_tries_to_undo_its_walls_gets_nothing(place, told, accounts, act, who):
    if who == "another account" and act in OF_ROOT:
        pytest.skip("what another account may open stays open")
    if act == "opens_a_key_by_its_number" and not told["handle"]:
        pytest.skip("files have no numbers to be opened by here")
    if act == "signals_who_started_it" and landlock() < 6:
        pytest.skip("before Linux 6.12, and without Landlock, signals reach every process of the account")
    if who == "root":
        os.mknod(place / "scratch" / "left", 0o600 | stat.S_IFCHR, A_DEVICE)
    toy = Path(undoing.__file__).read_text()
    done = confined_as(who, place, toy, accounts, json.dumps({"act": act, **told}))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    assert "refused:" in done.stderr


WORKS = {
    "writes files of another account, and says whose they are": (
        (
            "Path('theirs').write_text(Path('theirs').read_text() + ' account'); os.chown('file', 5, 5)\n"
            "print(Path('theirs').read_text(), os.stat('theirs').st_uid, os.stat('file').st_uid)"
        ),
        f"of another account {OTHER} 5",
    ),
    "is root, among the accounts that there are": ("print(os.getuid(), os.getgid(), os.stat('/').st_uid)", "0 0 0"),
    "gives up root itself": ("os.setgid(7); os.setuid(7); print(os.getuid(), os.system('true'))", "7 0"),
    "starts workers that share memory": (
        (
            "import multiprocessing as m\nfrom multiprocessing import shared_memory as s\n"
            "one = s.SharedMemory(create=True, size=16)\n"
            "with m.get_context('fork').Pool(2) as pool: print(sum(pool.map(abs, range(9))))\none.close(); one.unlink()"
        ),
        "36",
    ),
    "uses what every program uses of /dev": (
        "Path('/dev/null').write_text('x'); print(len(open('/dev/urandom', 'rb').read(9)))",
        "9",
    ),
    "has terminals of its own": (
        "import pty; mine, theirs = pty.openpty(); os.write(theirs, b'x'); print(os.ttyname(theirs), os.read(mine, 9))",
        "/dev/pts/0 b'x'",
    ),
    "serves at any port of its own network": (
        "s = socket.create_server(('127.0.0.1', 80)); socket.create_connection(s.getsockname()); print('served')",
        "served",
    ),
    "reads the memory of what it started, and ends it": (
        (
            # `cat` answers once it runs. Before that, its first mapping may still be the stack it is started with.
            "import subprocess as p\njob = p.Popen(['cat'], stdin=p.PIPE, stdout=p.PIPE, bufsize=0)\n"
            "job.stdin.write(b'x'); job.stdout.read(1)\n"
            "where = int(open(f'/proc/{job.pid}/maps').read().split('-')[0], 16)\n"
            "print(os.pread(os.open(f'/proc/{job.pid}/mem', os.O_RDONLY), 4, where)); job.kill(); print(job.wait())"
        ),
        "b'\\x7fELF'\n-9",
    ),
}


@NEEDS_ROOT
@pytest.mark.parametrize("what", list(WORKS))
def test_a_program_as_root_still(place, accounts, what):
    body, said = WORKS[what]
    theirs = place / "project" / "theirs"
    theirs.write_text("of another")
    theirs.chmod(0o600)
    os.chown(theirs, OTHER, OTHER)
    done = confined_as("root", place, "import os, socket, sys\nfrom pathlib import Path\n" + body, accounts)
    assert done.stdout.strip() == said, done.stderr
    assert theirs.read_text() == "of another"


@NEEDS_ROOT
def test_no_more_rights_are_left_than_are_listed_and_no_file_gives_any(place, accounts):
    done = confined_as("root", place, "print(open('/proc/self/status').read())", accounts)
    status = dict(line.split(":\t", maxsplit=1) for line in done.stdout.splitlines() if ":\t" in line)
    listed = f"{sum(1 << number for number in KEPT.values()):016x}"
    assert [status[each] for each in ("CapPrm", "CapEff", "CapBnd")] == [listed] * 3
    assert (status["CapInh"], status["CapAmb"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


@NEEDS_ROOT
def test_where_root_can_have_no_user_namespace_nothing_is_started(place):
    none_left = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    done = confined(
        place, "print('ran')", start=(*CONTAINER, "sh", "-c", none_left, "sh", sys.executable), allowed=False
    )
    assert (done.returncode, done.stdout) == (124, "")
    assert "without which root could undo its walls" in done.stderr


@NEEDS_ROOT
def test_rights_that_cannot_be_given_up_are_said():
    program = "from saksi.edges.host.privileges import give_up_rights; give_up_rights()"
    done = subprocess.run(
        ["setpriv", "--bounding-set=-setpcap", "--inh-caps=-setpcap", sys.executable, "-c", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "CannotConfine: rights of root cannot be given up here: Operation not permitted" in done.stderr
