"""The `saksi` command. `saksi run` starts fast: it imports neither typer nor rich."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # at once here; what `signal` itself imports takes milliseconds
import gc
import os
import sys

__all__ = ["main"]

INTERRUPTED = 130


def main(words: list[str] | None = None) -> int:
    """Run the command line; the exit code. What a user sees on failure is one line, never a traceback."""
    _end_quietly_on_interrupt()
    given = list(sys.argv[1:] if words is None else words)
    _occupy_standard_files()
    try:
        if given[:1] == ["run"]:
            return _run(given[1:])
        from saksi.doors.cli.app import call  # noqa: PLC0415 - as above

        return call(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`saksi show | head`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(given: list[str]) -> int:
    gc.disable()  # what modules make as they are imported stays: looking through it again and again takes 10 ms
    from saksi.doors.launch.launcher import run  # noqa: PLC0415 - each door is opened alone: it keeps `run` fast

    gc.freeze()  # nor is it looked through later; the agent, a fork of this process, shares its pages
    gc.enable()
    return run(given)


def _end_quietly_on_interrupt() -> None:
    """Ctrl-C while modules are imported ends us as the kernel does it, not with a traceback out of the middle of one.

    (Nor with a crash: extension modules are known to that do not expect an exception there.) `saksi run` takes its
    signals over from here, the other commands get Python's handler back when all is imported.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def _occupy_standard_files() -> None:
    """Where 0, 1 or 2 is closed, /dev/null takes its place for us, or the next file we open would get that number.

    It is closed again for the command that `saksi run` starts (files are not inheritable here), which finds what it
    would have found without us.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - as above


if __name__ == "__main__":
    sys.exit(main())
