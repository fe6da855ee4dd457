"""`saksi.env-manifest/v1`: what `saksi env manifest --json` prints, a summary of the file that it made."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from saksi.judgement.environment.manifest import Manifest, NotCovered, PythonParts, manifest_digest

__all__ = ["EnvManifestReport", "ManifestDistribution", "ManifestPython", "NotCoveredLine", "summarise"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class ManifestPython(_Document, frozen=True, kw_only=True):
    """The interpreter that the files are for. Null where nothing says."""

    implementation: str | None
    version: str | None
    cache_tag: str | None
    platform: str | None


class ManifestDistribution(_Document, frozen=True, kw_only=True):
    """A distribution and how many files it has; null where the manifest does not say whose a file is."""

    name: str
    version: str
    wheel: str | None
    digest: str | None
    files: int | None


class NotCoveredLine(_Document, frozen=True, kw_only=True):
    """A distribution about whose files the manifest says nothing."""

    name: str
    version: str | None
    reason: str


class EnvManifestReport(_Document, frozen=True, kw_only=True):
    """`saksi env manifest --json`. `tree` is the tree digest of the listed files, `digest` that of the file made.

    `scripts` counts those that are listed without their first line, beside `files`.
    """

    schema: Literal["saksi.env-manifest/v1"] = "saksi.env-manifest/v1"
    file: str
    digest: str
    tree: str
    source: Literal["wheels", "reference"]
    python: ManifestPython
    signed_by: tuple[str, ...]
    distributions: tuple[ManifestDistribution, ...]
    files: int
    bytes: int
    scripts: int
    not_covered: tuple[NotCoveredLine, ...]


def summarise(manifest: Manifest, *, file: str, digest: str, signed_by: tuple[str, ...]) -> EnvManifestReport:
    """What is to say of a manifest that was written to `file`."""
    files = [each for root in manifest.roots for each in root.files]
    owned = Counter(each.owner for each in files)
    return EnvManifestReport(
        file=file,
        digest=digest,
        tree=str(manifest_digest(manifest)),
        source=manifest.source,
        python=_python(manifest.python),
        signed_by=signed_by,
        distributions=tuple(
            ManifestDistribution(
                name=each.name,
                version=each.version,
                wheel=None if each.wheel is None else each.wheel.file,
                digest=None if each.wheel is None else each.wheel.digest,
                files=None if each.wheel is None else owned[at],
            )
            for at, each in enumerate(manifest.distributions)
        ),
        files=len(files),
        bytes=sum(each.size for each in files),
        scripts=len(manifest.generated) + len(manifest.rewritten),
        not_covered=tuple(map(_not_covered, manifest.not_covered)),
    )


def _python(python: PythonParts) -> ManifestPython:
    return ManifestPython(
        implementation=python.implementation,
        version=python.version,
        cache_tag=python.cache_tag,
        platform=python.platform,
    )


def _not_covered(each: NotCovered) -> NotCoveredLine:
    return NotCoveredLine(name=each.name, version=each.version, reason=each.reason)
