"""The launches that the rows are judged by, each made once in a test run, whichever worker asks for it first."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from catalogue import scripts
from catalogue.disposable import Disposable
from edges.environment.repositories import git, make_repository
from judgement.seals import MARIA
from saksi.edges.approver_keys import trust_approver
from saksi.edges.home import Home as SaksiHome
from saksi.edges.runs import open_run
from saksi.edges.seal_files import read_seal_file, replace_seal_file
from saksi.judgement.approvals import add_signature
from saksi.judgement.items import read_items
from saksi.words.frames import LiveFrame
from saksi.words.records import EnvironmentRecord
from saksi_run import Home

REHEARSED = 3


class Scenes:
    """What was seen of each launch, as it is written down: `report` is that of `saksi findings --json`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = Disposable(folder / "environment")
        self.project = folder / "project"
        self.home = Home(folder)
        for name in [each for each in self.home.environment if each.startswith("PYTEST")]:
            del self.home.environment[name]  # another in each test, and a seal holds a launch to its variables

    @property
    def site(self) -> Path:
        return self.environment.site

    def of(self, name: str) -> dict:
        """The scene of this name, played now if nobody has played it."""
        kept = self.folder / f"{name}.json"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                if not (self.project / "run.seal").exists():
                    self._seal_all()
                try:
                    seen = getattr(self, name)()
                finally:
                    self.environment.restore()
                kept.write_text(json.dumps(seen))
        return json.loads(kept.read_text())

    # -- what is there from the start

    def _seal_all(self) -> None:
        self.environment.make()
        self.environment.install("toytorch", "1.0", scripts.TOYTORCH)
        self.environment.install("toydata", "1.0", scripts.TOYDATA)
        self.environment.keep()
        make_repository(self.project)
        (self.project / "train.py").write_text(scripts.TRAIN)
        (self.project / "attacked.py").write_text(scripts.ATTACKED)
        (self.project / ".gitignore").write_text("*.seal\n")
        git(self.project, "add", "-A")
        git(self.project, "commit", "-qm", "the experiment")
        (self.folder / "maria.vkey").write_text(f"{MARIA.vkey}\n")
        trust_approver(SaksiHome(self.folder / "home"), self.folder / "maria.vkey")
        self._seal("run.seal", "--rehearse", str(REHEARSED))

    def _seal(self, name: str, *options: str) -> None:
        staged = self.project / f"staged-{name}"
        words = ("seal", "create", "-q", *options, "-o", str(staged), "--", str(self.environment.python), "train.py")
        done = self.home.run(*words, cwd=self.project, timeout=300)
        assert done.returncode == 0, done.stderr
        replace_seal_file(staged, add_signature(read_seal_file(staged), MARIA))
        staged.rename(self.project / name)

    def _launch(self, *options: str, script: str = "train.py", **environment: str) -> dict:
        words = ("run", *options, "--", str(self.environment.python), script)
        done = self.home.run(*words, cwd=self.project, timeout=300, env={**self.home.environment, **environment})
        reading = open_run(self.home.runs()[-1])
        items = list(read_items(reading.entries, reading.blob))
        live = [line.frame for item in items for line in item.lines if isinstance(line.frame, LiveFrame)]
        return {
            "code": done.returncode,
            "stdout": done.stdout,
            "stderr": done.stderr,
            "report": self.home.json("findings", "last"),
            "inventories": [max(0, each.step) for each in live if each.part == 0],
            "looks": [each.record.moment for each in items if isinstance(each.record, EnvironmentRecord)],
        }

    # -- scenes

    def honest(self) -> dict:
        """As it was sealed, rehearsed and approved."""
        return self._launch("--seal", "run.seal", "--require")

    def upgraded(self) -> dict:
        """A package was upgraded, and that was sealed anew and approved; nothing was rehearsed."""
        layers = scripts.TOYTORCH["toytorch/layers.py"].replace("x * 2.0", "x * 2.5")
        self.environment.install("toytorch", "1.1", {**scripts.TOYTORCH, "toytorch/layers.py": layers})
        self._seal("upgraded.seal")
        return self._launch("--seal", "upgraded.seal", "--require")

    def edited(self) -> dict:
        """Files of the environment were changed since it was sealed: first with `--require`, then without."""
        site = self.site
        self.environment.append(site / "torch/optim/adamw.py", "SCALE = 1.03\n")
        self.environment.append(site / "torch/optim/adam.py", "SCALE = 1.03\n")
        self.environment.list_anew("torch/optim/adam.py")
        self.environment.write(site / "speed.pth", "import os; os.environ['TOY_SPEED'] = '1'\n")
        points = "[torch.backends]\nhelpful = helpful_backend:load\n"
        files = {"helpful_backend.py": scripts.BACKEND}
        self.environment.install("helpful_backend", "1.0", files, entry_points=points)
        self._forge()
        return {"refused": self._launch("--seal", "run.seal", "--require"), "ran": self._launch("--seal", "run.seal")}

    def searched(self) -> dict:
        """Modules that would be found first, variables that steer, and a release that ships a start-up file."""
        shadow = self.environment.write(self.folder / "environment" / "shadow" / "toydata.py", "")
        self.environment.install("toydata", "1.1", {**scripts.TOYDATA, "toydata_speed.pth": "import os\n"})
        beside = self.project / "toytorch" / "__init__.py"
        beside.parent.mkdir()
        beside.write_text("RATE = 0.103\n")
        path = self.home.environment.get("PYTHONPATH")
        try:
            return self._launch(
                "--seal",
                "run.seal",
                "--require",
                PYTHONPATH=f"{path}:{shadow.parent}" if path else str(shadow.parent),
                TORCHINDUCTOR_CACHE_DIR=str(self.folder / "kernels"),
                NVIDIA_TF32_OVERRIDE="1",
            )
        finally:
            beside.unlink()
            beside.parent.rmdir()

    def replaced(self) -> dict:
        """Another package under a known name, another base image, and a module that every start imports."""
        layers = scripts.TOYTORCH["toytorch/layers.py"].replace("0.1", "0.103")
        other = {"toytorch/layers.py": layers, "toytorch/_ops.so": "another library of operators"}
        self.environment.install("toytorch", "9.9", {**scripts.TOYTORCH, **other})
        self.environment.append(self.environment.library / "random.py", "SCALE = 1.03\n")
        self.environment.write(self.site / "sitecustomize.py", "")
        return self._launch("--seal", "run.seal", "--require")

    def attacked(self) -> dict:
        """Code and flags of a running process were changed at one step, and it had read forged bytecode."""
        self.environment.write(self.site / "payload.py", scripts.PAYLOAD)
        self._forge()
        return self._launch(script="attacked.py")

    def _forge(self) -> None:
        text = scripts.TOYTORCH["toytorch/layers.py"].replace("x * 2.0", "x * 3.0")
        self.environment.forge("toytorch/layers.py", text)
