"""An environment's files from `seal create` to the report. The script trains nothing: what matters is on disk."""

from __future__ import annotations

import json
import shutil

import pytest

from edges.environment.environments import SGD, Environment
from edges.environment.repositories import git, make_repository
from saksi.words.records import ApprovalRecord, EnvironmentRecord, ExitRecord
from saksi_run import Home

SCRIPT = "import toytorch.sgd\nopen('started', 'w').close()\n"
PATH = "toytorch/sgd.py"


class Project:
    def __init__(self, folder):
        self.home = Home(folder)
        self.environment = Environment(folder / "venv")
        self.environment.install(files={PATH: SGD, "toytorch/__init__.py": ""})
        self.file = self.environment.site / PATH
        self.folder = make_repository(folder / "project")
        (self.folder / "train.py").write_text(SCRIPT)
        (self.folder / ".gitignore").write_text("started\n*.seal\n")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", "the experiment")
        self.call("keys", "create", str(folder / "maria.key"), "--name", "maria")
        self.call("keys", "trust", str(folder / "maria.key.vkey"), "--approver")
        self.key = str(folder / "maria.key")
        self.seal("run.seal")

    def call(self, *words, code=0):
        done = self.home.run(*words, cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def seal(self, name):
        self.call("seal", "create", "-o", name, "--", str(self.environment.python), "train.py")
        self.call("seal", "approve", name, "--key", self.key)

    def run(self, *options, seal="run.seal", code=0):
        (self.folder / "started").unlink(missing_ok=True)
        return self.call(
            "run", "--seal", seal, *options, "--", str(self.environment.python), "train.py", code=code
        )  # fmt: skip

    def found(self):
        items = json.loads(self.home.run("findings", "last", "--json").stdout)["items"]
        return [(each["code"], each["severity"], each["subject"]) for each in items if each["check"] == "environment"]

    @property
    def started(self):
        return (self.folder / "started").exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("environment"))


@pytest.fixture(autouse=True)
def as_sealed(project):
    """Each test leaves the environment as it found it: the content counts, not the times."""
    yield
    project.file.write_text(SGD)
    shutil.rmtree(project.file.parent / "__pycache__", ignore_errors=True)


def test_an_honest_run_is_looked_at_from_start_to_end_and_alleges_nothing(project):
    done = project.run("--require")
    assert "approved by maria" in done.stderr
    assert project.started
    assert project.found() == []
    looks = [each for each in project.home.records() if isinstance(each, EnvironmentRecord)]
    assert [each.moment for each in looks] == ["start", "end"]
    assert len({each.tree for each in looks}) == 1
    shown = project.call("seal", "show", "run.seal").stdout
    assert "compared with no manifest" in shown


def test_with_require_an_edited_library_ends_the_launch_before_the_command(project):
    project.file.write_text(SGD.replace("0.1", "0.103"))
    done = project.run("--require", code=5)
    assert done.stderr.startswith(f"saksi: not started: purelib {PATH}: changed since it was sealed (saksi env verify")
    assert done.stderr.count("\n") == 1
    assert not project.started
    (ended,) = [each for each in project.home.records() if isinstance(each, ExitRecord)]
    assert "not what was approved" in ended.reason
    assert any(isinstance(each, ApprovalRecord) for each in project.home.records())


def test_without_require_it_runs_and_the_file_is_named_then_sealed_anew_it_is_not(project):
    project.file.write_text(SGD.replace("0.1", "0.103"))
    project.run()
    assert project.started
    assert project.found() == [("environment.differs", "warning", f"purelib {PATH}")]
    project.seal("new.seal")
    differs = project.call("seal", "diff", "run.seal", "new.seal", code=1)
    assert "The environment's files are others" in differs.stdout
    assert f"purelib {PATH} changed" in differs.stdout
    project.run("--require", seal="new.seal")
    assert project.found() == []


def test_without_the_environment_nothing_is_looked_at(project):
    project.call(
        "seal", "create", "--no-environment", "-o", "bare.seal", "--", str(project.environment.python), "train.py"
    )
    project.run(seal="bare.seal")
    assert project.found() == []
    assert not any(isinstance(each, EnvironmentRecord) for each in project.home.records())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--manifest", "absent.json"), "absent.json"),
        (("--trust", "keys.txt"), "--trust belongs to --manifest"),
        (("--manifest", "m.json", "--no-environment"), "--no-environment leaves out"),
    ],
)
def test_options_that_cannot_be_kept_write_nothing(project, words, said):
    done = project.call(
        "seal", "create", *words, "-o", "none.seal", "--", str(project.environment.python), "train.py", code=2
    )
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project.folder / "none.seal").exists()
