"""`make demo`: a witnessed run, its record given to an outsider, and a sabotaged run: named as it goes on, and proved.

Uses three environments: `.venv` has saksi, `.venv-train` has torch and no saksi, `.venv-bare` has saksi's base install
and nothing else, as an outsider would.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import SystemRandom

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo-out"
SAKSI = ROOT / ".venv/bin/saksi"
OUTSIDER = ROOT / ".venv-bare/bin/saksi"
PYTHON = ROOT / ".venv-train/bin/python"
STEPS = "60"


def heading(text):
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def call(*words, expect=0, environment=None, show=True):
    """Run one command as a person would type it, and stop the demonstration if it ends otherwise than expected."""
    shown = [os.path.relpath(each, ROOT) if str(each).startswith(str(ROOT)) else str(each) for each in words]
    if show:
        print(f"$ {' '.join(shown)}", flush=True)
    done = subprocess.run([str(each) for each in words], env=environment, check=False, cwd=ROOT)
    if done.returncode != expect:
        sys.exit(f"demo: exit code {done.returncode}, expected {expect}: {' '.join(shown)}")
    if show and expect:
        print(f"(exit code {done.returncode})", flush=True)


def flip_one_byte(source, target):
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)


def command():
    return (PYTHON, ROOT / "examples/gpt/train.py", "--steps", STEPS, "--out", OUT / "model")


def training(name, *options):
    return (SAKSI, "run", "--name", name, *options, "--", *command())


def draw_update():
    """The other start-up file, with an update that nobody knows before."""
    drawn = OUT / "start-up/sitecustomize.py"
    drawn.parent.mkdir()
    toy = (ROOT / "examples/foreign_optimizer/sitecustomize.py").read_text()
    assert "FROM_UPDATE = 30\n" in toy
    drawn.write_text(toy.replace("FROM_UPDATE = 30\n", f"FROM_UPDATE = {SystemRandom().randrange(20, 45)}\n"))
    return drawn


def approve(environment):
    """Write down what should run, the environment's files included, and sign that as the one who answers for it."""
    key, manifest = OUT / "approver.key", OUT / "env.manifest"
    for words in (
        ("keys", "create", key, "--name", "approver"),
        ("keys", "trust", f"{key}.vkey", "--approver"),
        ("env", "manifest", "-o", manifest, "--reference", "--python", PYTHON, "--key", key),
        ("seal", "create", "--manifest", manifest, "--trust", f"{key}.vkey", "-o", OUT / "run.seal", "--", *command()),
        ("seal", "approve", OUT / "run.seal", "--key", key),
    ):
        call(SAKSI, *words, environment=environment)


def prove(name, *options, environment, expect):
    """Replay a run; where the system has no namespaces for it, that is said and the demonstration goes on."""
    words = ["audit", name, *options]
    print(f"$ .venv/bin/saksi {' '.join(words)}", flush=True)
    done = subprocess.run([str(SAKSI), *words], env=environment, check=False, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout + done.stderr, end="")
    if done.returncode != expect and "namespaces" not in done.stdout:
        sys.exit(f"demo: exit code {done.returncode}, expected {expect}: saksi audit {name}")
    print(f"(exit code {done.returncode})", flush=True)


def train_and_ask(name, environment, *, as_environment):
    """Train, and ask what was found until something was; both go on side by side, as in two terminals."""
    words = [str(each) for each in training(name)]
    print(f"$ {' '.join(os.path.relpath(each, ROOT) if each.startswith(str(ROOT)) else each for each in words)} &")
    question = [str(SAKSI), "findings", name]
    with subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while True:
            is_over = process.poll() is not None
            asked = subprocess.run(question, env=as_environment, check=False, capture_output=True, text=True)
            if asked.returncode == 1 or is_over:
                break
            time.sleep(0.2)
    print(f"$ .venv/bin/saksi findings {name}   # {'after the run' if is_over else 'while it runs'}\n{asked.stdout}")
    if asked.returncode != 1 or process.returncode:
        sys.exit(f"demo: findings ended with {asked.returncode}, the training with {process.returncode}")


def main():
    started = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    mine = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SAKSI_")},
        "SAKSI_HOME": str(OUT / "home"),
    }
    outsider = {**mine, "SAKSI_HOME": str(OUT / "nobody")}

    heading("0. What should run is written down and approved: command, code, packages, every file of the environment.")
    approve(mine)

    heading("1. Train a small GPT under witness. The script knows nothing of saksi; its environment has none.")
    call(*training("honest", "--seal", OUT / "run.seal"), environment=mine)

    heading("2. What was seen.")
    call(SAKSI, "show", "honest", environment=mine)

    heading("3. Give the record to an outsider: one file, checked offline with the public key alone.")
    call(SAKSI, "bundle", "honest", "-o", OUT / "honest.saksi", environment=mine)
    call(SAKSI, "keys", "export", "-o", OUT / "installation.vkey", environment=mine)
    call(OUTSIDER, "verify", OUT / "honest.saksi", "--trust", OUT / "installation.vkey", environment=outsider)

    heading("4. One bit of that file is flipped: it is refused.")
    flip_one_byte(OUT / "honest.saksi", OUT / "flipped.saksi")
    call(
        OUTSIDER, "verify", OUT / "flipped.saksi", "--trust", OUT / "installation.vkey", environment=outsider, expect=1
    )

    heading("5. The same command again, with a start-up file from somewhere else that changes one hyper-parameter.")
    call("cat", ROOT / "examples/foreign_startup/sitecustomize.py")
    call(*training("changed"), environment={**mine, "PYTHONPATH": str(ROOT / "examples/foreign_startup")})
    call(SAKSI, "findings", "changed", environment=mine, expect=1)

    heading("6. Why do these two runs differ?")
    call(SAKSI, "diff", "honest", "changed", environment=mine, expect=1)

    heading(
        "7. Another start-up file: hyper-parameters stay, but the optimizer computes something else, from a step on"
    )
    print("   that is drawn at random. It is named while the run goes on.")
    call("cat", draw_update())
    sabotaged = {**mine, "PYTHONPATH": str(OUT / "start-up")}
    train_and_ask("sabotaged", sabotaged, as_environment=mine)
    call(SAKSI, "show", "sabotaged", environment=mine)

    heading(
        "8. The proof: the approved program's steps are done again, confined, and held against the records bit for bit."
    )
    prove("honest", environment=mine, expect=0)
    prove("sabotaged", "--seal", os.path.relpath(OUT / "run.seal", ROOT), environment=mine, expect=1)

    print(f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {os.path.relpath(OUT, ROOT)}/.")


if __name__ == "__main__":
    main()
