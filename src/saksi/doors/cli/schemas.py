"""The JSON Schemas that ship in the package, one for each document: the frozen list of what scripts may rely on."""

from __future__ import annotations

from importlib import resources
from typing import Final

import msgspec

from saksi.doors.cli.documents import FsckReport, KeysReport, RunsReport, ShowReport, VerifyReport
from saksi.doors.cli.findings_document import FindingsDocument, SuppressionsReport
from saksi.doors.cli.manifest_document import EnvManifestReport
from saksi.doors.cli.seal_documents import SealDiffReport, SealReport
from saksi.judgement.diff import Difference
from saksi.judgement.doctor.values import Doctor
from saksi.judgement.environment.doors import DoorsReport
from saksi.judgement.environment.report import EnvironmentReport
from saksi.judgement.notice import Notice
from saksi.judgement.replay.values import Audit
from saksi.range.report import RangeReport

__all__ = ["SCHEMAS", "file_name", "schema_text"]

SCHEMAS: Final[dict[str, type[msgspec.Struct]]] = {
    "saksi.audit/v1": Audit,
    "saksi.diff/v1": Difference,
    "saksi.doctor/v1": Doctor,
    "saksi.env-doors/v1": DoorsReport,
    "saksi.env-manifest/v1": EnvManifestReport,
    "saksi.env-verify/v1": EnvironmentReport,
    "saksi.findings/v1": FindingsDocument,
    "saksi.fsck/v1": FsckReport,
    "saksi.keys/v1": KeysReport,
    "saksi.notice/v1": Notice,
    "saksi.range/v1": RangeReport,
    "saksi.runs/v1": RunsReport,
    "saksi.seal-diff/v1": SealDiffReport,
    "saksi.seal/v1": SealReport,
    "saksi.show/v1": ShowReport,
    "saksi.suppressions/v1": SuppressionsReport,
    "saksi.verify/v1": VerifyReport,
}


def file_name(schema: str) -> str:
    """`saksi.show/v1` is in `show-v1.json`."""
    return f"{schema.removeprefix('saksi.').replace('/', '-')}.json"


def schema_text(schema: str) -> str:
    """The JSON Schema of the documents that say `"schema": schema`."""
    return (resources.files("saksi.doors") / "schemas" / file_name(schema)).read_text("utf-8")
