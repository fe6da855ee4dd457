"""An environment against its manifest: what is missing, what differs, what is extra, and what could not be compared.

Rules:

- Pure: the tree and the contents of its scripts are values that somebody else read.
- Every file of the tree ends in one of the answers; nothing is passed over but for the reasons in `installer_files`.
- What a manifest cannot speak of (the interpreter, where it was made from wheels) is `not_covered`, with a reason, and
  never counts as compared.

Known weakness: the tree has what the reader of files saw; a file that changes behind it is seen by the next reading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from saksi.judgement.environment.differences import Comparison, Difference, Kind, NotCompared
from saksi.judgement.environment.installer_files import (
    ACTIVATION,
    INSTALLER_FILES,
    SETTINGS,
    is_bytecode,
    metadata_folder_of,
)
from saksi.judgement.environment.manifest import (
    ExpectedFile,
    GeneratedScript,
    Manifest,
    Owned,
    PythonParts,
    RewrittenScript,
    expected_files,
)
from saksi.judgement.environment.scripts import generated_name, is_generated_body, read_launcher, starts
from saksi.judgement.environment.tree import Root, Tree, TreeFile
from saksi.words.digest import sha256

__all__ = ["compare", "expected_in", "scripts_to_read"]

_OF_WHEELS: Final = ("platlib", "purelib", "scripts")
"""Where wheels put what Python executes."""


def scripts_to_read(manifest: Manifest, tree: Tree) -> tuple[str, ...]:
    """The scripts of `tree` whose content `compare` asks for: those with a first line of their own."""
    named = {each.path for each in manifest.generated} | {each.path for each in manifest.rewritten}
    return tuple(
        each.path
        for label, each in tree.files()
        if label == "scripts" and (each.path in named or generated_name(each.path) in named)
    )


def compare(
    manifest: Manifest,
    tree: Tree,
    *,
    scripts: Mapping[str, bytes],
    interpreters: Collection[str] = (),
    python: PythonParts | None = None,
) -> Comparison:
    """`tree` against `manifest`. `scripts` are contents by path, of those that `scripts_to_read` names.

    `interpreters` are the names of the environment's own interpreter, as the first line of a script may have them;
    where none is given, any Python is accepted there and the comparison says so. `python` is what the interpreter says
    of itself.
    """
    return _Comparing(manifest, tree, scripts, interpreters).answer(python)


def expected_in(manifest: Manifest, tree: Tree) -> Mapping[tuple[str, str], tuple[ExpectedFile, ...]]:
    """`expected_files` by the labels of `tree`: without a root `platlib`, both kinds of wheels lie in `purelib`."""
    one_folder = "platlib" not in {root.label for root in tree.roots}
    found: dict[tuple[str, str], tuple[ExpectedFile, ...]] = {}
    for (label, path), files in expected_files(manifest).items():
        key = ("purelib" if one_folder and label == "platlib" else label, path)
        found[key] = found.get(key, ()) + files
    return found


class _Comparing:
    """One comparison under way."""

    def __init__(
        self, manifest: Manifest, tree: Tree, scripts: Mapping[str, bytes], interpreters: Collection[str]
    ) -> None:
        self._manifest = manifest
        self._tree = tree
        self._scripts = scripts
        self._interpreters = interpreters
        self._expected = expected_in(manifest, tree)
        self._generated: dict[str, list[GeneratedScript]] = {}
        for script in manifest.generated:
            self._generated.setdefault(script.path, []).append(script)
        self._rewritten: dict[str, list[RewrittenScript]] = {}
        for rewritten in manifest.rewritten:
            self._rewritten.setdefault(rewritten.path, []).append(rewritten)
        self._folders = {each.metadata_folder for each in manifest.distributions}
        self._folders |= {folder for _, path in self._expected if (folder := metadata_folder_of(path)) is not None}
        executables = [each for root in tree.roots if root.label == "executable" for each in root.files]
        self._executables = {each.digest for each in executables if each.digest is not None}
        self._seen: set[tuple[str, str]] = set()
        self._bytecode = self._heads = 0
        self._agreeing: Counter[str] = Counter()
        self._unlisted: list[str] = []
        self._not_covered: list[NotCompared] = []

    def answer(self, python: PythonParts | None) -> Comparison:
        """Everything that is to say."""
        differences = list(self._python(python))
        for root in self._tree.roots:
            differences += self._root(root)
        differences += self._missing()
        if self._heads and not self._interpreters:
            reason = "the names of the environment's own interpreter were not given"
            self._leave(f"which interpreter {self._heads} scripts start", reason)
        for each in self._manifest.not_covered:
            self._leave(each.name, each.reason, executed=False)  # what is installed of it is extra
        return Comparison(
            agreeing=dict(self._agreeing),
            bytecode=self._bytecode,
            differences=tuple(sorted(differences, key=lambda each: (each.label, each.path, each.kind))),
            not_covered=tuple(self._not_covered),
            unlisted=tuple(sorted(self._unlisted)),
        )

    def _leave(self, subject: str, reason: str, *, label: str | None = None, executed: bool = True) -> None:
        self._not_covered.append(NotCompared(subject=subject, reason=reason, label=label, executed=executed))

    def _python(self, found: PythonParts | None) -> Iterator[Difference]:
        wanted = self._manifest.python
        if found is None:
            if any(msgspec.structs.astuple(wanted)):
                self._leave("the interpreter's version", "what it says of itself was not given")
            return
        pairs = (
            ("implementation", wanted.implementation, found.implementation),
            ("version", wanted.version, found.version),
            ("cache tag", wanted.cache_tag, found.cache_tag),
            ("platform", wanted.platform, found.platform),
        )
        for name, expected, there in pairs:
            if expected is None or there is None or _is_of(there, expected):
                continue
            yield Difference(
                kind="python", label="executable", path="", distribution=None, expected=(expected,), found=there,
                detail=f"the manifest is for {name} {expected}, the interpreter says {there}",
            )  # fmt: skip

    def _root(self, root: Root) -> Iterator[Difference]:
        if self._manifest.source == "wheels" and root.label not in _OF_WHEELS:
            self._leave(root.label, "wheels do not say what is there", label=root.label)
            return
        if root.reason is not None:
            self._leave(root.label, f"it could not be listed whole: {root.reason}", label=root.label)
        for each in root.files:
            difference = self._file(root.label, each)
            if difference is not None:
                yield difference

    def _file(self, label: str, file: TreeFile) -> Difference | None:
        key = (label, file.path)
        self._seen.add(key)
        if is_bytecode(file.path):
            self._bytecode += 1
            return None
        if label == "scripts" and self._has_head(file.path):
            return self._script(file)
        wanted = self._expected.get(key)
        if wanted is not None:
            return self._content(label, file, wanted)
        beside = self._beside(file.path)
        if beside is not None:
            self._seen.add(beside)
            return self._content(label, file, self._expected[beside])
        folder, _, name = file.path.partition("/")
        if folder in self._folders and name in INSTALLER_FILES:
            return None
        if label == "scripts" and file.digest in self._executables:
            return None  # the environment's own name for its interpreter
        if label == "scripts" and file.path in ACTIVATION:
            reason = f"made with the environment, not compared ({ACTIVATION[file.path]})"
            self._leave(f"scripts, {file.path}", reason, label=label, executed=False)
            return None
        if label == "executable" and file.path in SETTINGS:
            reason = "it names folders of this machine; where it leads was followed and compared"
            self._leave(f"executable, {file.path}", reason, label=label, executed=False)
            return None
        unlisted = metadata_folder_of(file.path)
        if unlisted is not None:
            self._unlisted.append(unlisted.removesuffix(".dist-info").replace("-", " ", 1))
        return self._difference("extra", label, file, (), "not in the manifest")

    def _beside(self, path: str) -> tuple[str, str] | None:
        """A file that RECORD names and that lies outside of the root (`../../../share/man/man1/x.1`): as which of data.

        Headers lie below `include/site/python3.11/`.
        """
        if not path.startswith("../"):
            return None
        inner = re.sub(r"^(\.\./)+", "", path)
        for key in (("data", inner), ("headers", re.sub(r"^include/(site/)?python[0-9.]+t?/", "", inner))):
            if key in self._expected:
                return key
        return None

    def _content(self, label: str, file: TreeFile, wanted: tuple[ExpectedFile, ...]) -> Difference | None:
        if file.digest is None:
            if all(each.size != file.size for each in wanted):
                detail = (
                    f"{file.size:,} bytes instead of {wanted[0].size:,}; {file.reason or 'its content was not read'}"
                )
                return self._difference("size", label, file, wanted, detail)
            return self._difference("unread", label, file, wanted, file.reason or "its content was not read")
        if all(each.digest != file.digest for each in wanted):
            return self._difference("differs", label, file, wanted, "its content is not that of the manifest")
        self._agreeing[label] += 1
        return None

    def _has_head(self, path: str) -> bool:
        return path in self._rewritten or generated_name(path) in self._generated

    def _script(self, file: TreeFile) -> Difference | None:
        """One with a first line of its own. Another owner's file of the same name, without one, may be there too."""
        plain = self._expected.get(("scripts", file.path), ())
        if any(each.digest == file.digest for each in plain):
            self._agreeing["scripts"] += 1
            return None
        generated = self._generated.get(file.path) or self._generated.get(generated_name(file.path), [])
        rewritten = self._rewritten.get(file.path, [])
        owners: tuple[Owned, ...] = (*generated, *rewritten)
        self._seen.update(("scripts", each.path) for each in generated)
        content = self._scripts.get(file.path)
        if content is None or str(sha256(content)) != file.digest:
            return self._difference("unread", "scripts", file, owners, "the script's content was not given")
        launcher = read_launcher(content)
        if launcher is None:
            return self._difference(
                "differs", "scripts", file, owners, "it does not begin as installers begin a script"
            )
        body = str(sha256(launcher.body))
        if all(body != each.digest for each in rewritten) and not any(
            is_generated_body(launcher.body, module=each.module, attribute=each.attribute) for each in generated
        ):
            detail = "behind its first line it is not what the manifest says" if rewritten else _unknown_body(generated)
            return self._difference("differs", "scripts", file, owners, detail)
        self._heads += 1
        if not starts(launcher, self._interpreters):
            detail = f"its first line starts {launcher.interpreter[:200]!r}, not the environment's interpreter"
            return self._difference("differs", "scripts", file, owners, detail)
        self._agreeing["scripts"] += 1
        return None

    def _missing(self) -> Iterator[Difference]:
        whole = {root.label for root in self._tree.roots if root.reason is None}
        there = {root.label for root in self._tree.roots}
        absent: dict[str, int] = {}
        wanted: dict[tuple[str, str], tuple[Owned, ...]] = {
            **{("scripts", path): tuple(each) for path, each in self._generated.items()},
            **{("scripts", path): tuple(each) for path, each in self._rewritten.items()},
            **self._expected,
        }
        for (label, path), owners in wanted.items():
            if (label, path) in self._seen:
                continue
            if label not in there:
                absent[label] = absent.get(label, 0) + 1
            elif label in whole:
                digests = tuple(each.digest for each in owners if not isinstance(each, GeneratedScript))
                yield Difference(
                    kind="missing", label=label, path=path, distribution=self._owner(owners), expected=digests,
                    found=None, detail="in the manifest, not in the environment",
                )  # fmt: skip
        for label, count in sorted(absent.items()):
            reason = f"{count} files of the manifest lie there, and nothing of it was read"
            self._leave(label, reason, label=label, executed=label not in {"data", "headers"})

    def _difference(
        self,
        kind: Kind,
        label: str,
        file: TreeFile,
        owners: tuple[Owned, ...],
        detail: str,
    ) -> Difference:
        return Difference(
            kind=kind,
            label=label,
            path=file.path,
            distribution=self._owner(owners),
            expected=tuple(each.digest for each in owners if isinstance(each, ExpectedFile)),
            found=file.digest,
            detail=detail,
        )

    def _owner(self, owners: tuple[Owned, ...]) -> str | None:
        named = [self._manifest.distributions[each.owner] for each in owners if each.owner is not None]
        return f"{named[0].name} {named[0].version}" if named else None


def _is_of(version: str, expected: str) -> bool:
    """`3.11.7` is of `3.11`; a wheel names no more."""
    return version == expected or version.startswith(f"{expected}.")


def _unknown_body(generated: list[GeneratedScript]) -> str:
    entry = generated[0]
    return f"it is not what a known installer writes for {entry.module}:{entry.attribute}"
