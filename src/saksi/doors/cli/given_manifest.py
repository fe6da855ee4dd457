"""A manifest that was given on the command line: opened under keys that are trusted, compared with what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from saksi.doors.cli.reading import trusted_keys
from saksi.edges.environment.reference import read_manifest_file
from saksi.edges.environment.script_files import interpreter_names, read_scripts
from saksi.judgement.environment.against_manifest import Against
from saksi.judgement.environment.comparison import compare, scripts_to_read
from saksi.judgement.environment.judge import ObservedEnvironment
from saksi.judgement.environment.manifest import OpenedManifest, PythonParts, open_manifest
from saksi.judgement.redaction import printable
from saksi.words.digest import Digest, sha256

__all__ = ["GivenManifest", "against_given", "open_given"]


class GivenManifest(NamedTuple):
    """A manifest as it was given: its file, opened under keys that are trusted."""

    file: Path
    digest: Digest
    opened: OpenedManifest

    @property
    def key(self) -> str:
        """What a report depends on besides the environment: which manifest, under whose keys, by which name."""
        return "\n".join((str(self.digest), *self.opened.signed_by, str(self.file)))


def open_given(file: Path, trust: Sequence[Path]) -> GivenManifest:
    """The manifest in `file`. Raises `UsageError`, `MissingKey`, `SignatureRefused`, `MalformedInput`."""
    content = read_manifest_file(file)
    return GivenManifest(file, sha256(content), open_manifest(content, trusted_keys(trust)))


def against_given(given: GivenManifest, observed: ObservedEnvironment) -> Against:
    """The environment's comparison with the manifest. Scripts are read here, since their first lines may differ."""
    manifest, python = given.opened.manifest, observed.python
    scripts: Mapping[str, bytes] = {}
    if "scripts" in observed.folders:
        scripts = read_scripts(Path(observed.folders["scripts"]), scripts_to_read(manifest, observed.tree))
    names: frozenset[str] = frozenset()
    parts = None
    if python.version is not None and python.real_path is not None:
        names = interpreter_names(
            path=python.path, real_path=python.real_path, prefix=python.prefix, version=python.version
        )
        parts = PythonParts(implementation=python.implementation, version=python.version, cache_tag=None, platform=None)
    comparison = compare(manifest, observed.tree, scripts=scripts, interpreters=names, python=parts)
    said = f"the manifest {printable(str(given.file))}, signed by {', '.join(given.opened.signed_by)}"
    return Against(manifest=manifest, comparison=comparison, said=(said,))
