"""Toys that try to undo what confines them. Each returns what it got, or fails as the kernel refuses it.

As a program: `python -c SOURCE JSON`, with the name of one and what it is told of the world outside. What it got is on
standard output, and a refusal on standard error. Nothing is changed but what a test made.
"""

import ctypes
import json
import os
import socket
import stat
import struct
import sys
from pathlib import Path

MS_REMOUNT, MS_BIND, MNT_DETACH = 0x20, 0x1000, 2
NEWNS, NEWUSER = 0x20000, 0x10000000
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY = 442, -100, 0x8000, 1
PTRACE_SEIZE = 0x4206
A_DEVICE = os.makedev(1, 3)
"""That of /dev/null: opening it harms nobody, and the rights it takes are those that a disk takes."""


class Told:
    """Of what lies outside: a hidden folder, one that is read-only, one to write into, processes, a socket, a disk."""

    def __init__(self, place, outside, other, socket_path, handle):
        self.hidden, self.elsewhere, self.scratch = (
            Path(place, "keys"),
            Path(place, "elsewhere"),
            Path(place, "scratch"),
        )
        self.outside, (self.other, self.account) = outside, other
        self.socket_path, self.handle = socket_path, bytes.fromhex(handle)

    def key(self, root="/"):
        return Path(root, *self.hidden.parts[1:], "file").read_text()

    def write(self):
        return (self.elsewhere / "file").write_text("as it was")


def libc():
    return ctypes.CDLL(None, use_errno=True)


def ask(answer):
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def mount(source, target, flags):
    words = [each and os.fsencode(each) for each in (source, target)]
    ask(libc().mount(*words, None, ctypes.c_ulong(flags), None))


def unmount(folder):
    ask(libc().umount2(os.fsencode(folder), MNT_DETACH))


def let_be_written(folder):
    attributes = struct.pack("QQQQ", 0, ATTR_RDONLY, 0, 0)
    ask(libc().syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(folder), AT_RECURSIVE, attributes, ctypes.c_size_t(32)))


def enter(pid, name, kind):
    ask(libc().setns(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), kind))


def handle_of(path):
    """`struct file_handle` of name_to_handle_at(2)."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    ask(libc().name_to_handle_at(AT_FDCWD, os.fsencode(path), handle, ctypes.byref(ctypes.c_int()), 0))
    return handle.raw


def unmounts_what_hides_the_keys(told):
    unmount(told.hidden)
    return told.key()


def mounts_anew_what_is_read_only(told):
    mount(None, "/", MS_REMOUNT | MS_BIND)
    return told.write()


def lets_what_is_read_only_be_written(told):
    let_be_written("/")
    return told.write()


def mounts_a_folder_over_another(told):
    mount(told.scratch, told.elsewhere, MS_BIND)


def makes_a_node_of_a_device(told):
    os.mknod(told.scratch / "node", 0o600 | stat.S_IFCHR, A_DEVICE)


def opens_a_node_that_lies_about(told):
    return os.open(told.scratch / "left", os.O_RDONLY)


def reads_a_disk(told):
    major, minor = os.major(told.elsewhere.stat().st_dev), os.minor(told.elsewhere.stat().st_dev)
    os.mknod(told.scratch / "disk", 0o600 | stat.S_IFBLK, os.makedev(major, minor))
    return os.read(os.open(told.scratch / "disk", os.O_RDONLY), 1)


def finds_disks_and_memory(_told):
    named = ("mem", "kmsg", "fuse", "kvm", "loop-control", "net", "tty1")
    found = [each.name for each in Path("/dev").iterdir() if each.is_block_device() or each.name in named]
    if not found:
        raise FileNotFoundError
    return found


def looks_through_the_root_of_who_started_it(told):
    return told.key(f"/proc/{told.outside}/root")


def looks_through_the_root_of_the_first_process(told):
    return told.key("/proc/1/root")


def looks_as_another_account_and_reads_as_root(told):
    ask(libc().setgroups(0, None))
    libc().setfsgid(told.account)
    libc().setfsuid(told.account)
    folder = os.open(f"/proc/{told.other}/root", os.O_PATH)
    libc().setfsuid(0)
    libc().setfsgid(0)
    return os.read(os.open(str((told.hidden / "file").relative_to("/")), os.O_RDONLY, dir_fd=folder), 99).decode()


def takes_another_account_and_looks_from_there(told):
    os.setgid(told.account)
    os.setuid(told.account)
    return os.listdir(f"/proc/{told.other}/root")


def enters_the_mounts_of_who_started_it(told):
    enter(told.outside, "mnt", NEWNS)
    return told.key()


def enters_the_accounts_of_who_started_it(told):
    enter(told.outside, "user", NEWUSER)


def traces_who_started_it(told):
    ask(libc().ptrace(PTRACE_SEIZE, told.outside, None, None))


def signals_who_started_it(told):
    os.kill(told.outside, 0)


def opens_a_key_by_its_number(told):
    somewhere = os.open(told.elsewhere, os.O_RDONLY)
    return os.read(ask(libc().open_by_handle_at(somewhere, told.handle, os.O_RDONLY)), 99).decode()


def makes_accounts_of_its_own_and_unmounts_there(told):
    ask(libc().unshare(NEWUSER | NEWNS))
    unmount(told.hidden)
    return told.key()


def makes_accounts_of_its_own_and_lets_be_written_there(told):
    ask(libc().unshare(NEWUSER | NEWNS))
    let_be_written("/")
    return told.write()


def asks_a_service_in_run(told):
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(told.socket_path)


def writes_where_the_keys_were(told):
    return (told.hidden / "new").write_text("x")


ACTS = {
    each.__name__: each
    for each in (
        unmounts_what_hides_the_keys,
        mounts_anew_what_is_read_only,
        lets_what_is_read_only_be_written,
        mounts_a_folder_over_another,
        makes_a_node_of_a_device,
        opens_a_node_that_lies_about,
        reads_a_disk,
        finds_disks_and_memory,
        looks_through_the_root_of_who_started_it,
        looks_through_the_root_of_the_first_process,
        looks_as_another_account_and_reads_as_root,
        takes_another_account_and_looks_from_there,
        enters_the_mounts_of_who_started_it,
        enters_the_accounts_of_who_started_it,
        traces_who_started_it,
        signals_who_started_it,
        opens_a_key_by_its_number,
        makes_accounts_of_its_own_and_unmounts_there,
        makes_accounts_of_its_own_and_lets_be_written_there,
        asks_a_service_in_run,
        writes_where_the_keys_were,
    )
}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    try:
        sys.stdout.write(f"got: {ACTS[asked.pop('act')](Told(**asked))}\n")
    except OSError as reason:
        sys.stderr.write(f"refused: {reason}\n")
