"""The judgement of an environment: files against lists, bytecode against sources, one verdict.

Rules:

- Leaving something out can only make the verdict worse: what was not read, not compared or not listed is said, and
  keeps it from being a clean one.
- Without a manifest the best verdict is `self-consistent`. What has no list at all (the interpreter, the standard
  library, checkouts) is counted as trusted, never as checked.
- An empty environment, or an empty manifest, is not a clean one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from saksi.judgement.environment.against_manifest import Against, gather
from saksi.judgement.environment.bytecode import Bytecode, Proof, State, without_bytecode
from saksi.judgement.environment.comparison import expected_in
from saksi.judgement.environment.installed import Claim, InstalledDistribution, Places, claims_of
from saksi.judgement.environment.ownership import Gathered, compare_root
from saksi.judgement.environment.report import (
    DIFFERENCE_KINDS,
    BytecodeCounts,
    Compared,
    EnvironmentReport,
    EnvironmentVerdict,
    PythonLine,
    RootLine,
)
from saksi.judgement.environment.tree import Root, Tree, tree_digest

__all__ = ["ObservedEnvironment", "judge_environment"]

_PASSED_OVER: Final[Mapping[State, str]] = {
    "stale": "bytecode of another state of its source: Python compiles again and does not execute it",
    "foreign": "bytecode for another Python, or under a name that no import looks for",
    "orphan": "bytecode in __pycache__ whose source is gone: Python does not execute it",
    "shadowed": "bytecode beside its source, which goes first",
    "short": "a file with the name of bytecode and no header: Python compiles again",
}
_NOT_WITHOUT_PYTHON: Final = "bytecode cannot be compared: its interpreter could not be started here"


class ObservedEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What was read. `proofs` is null if bytecode was not to be compared; `unknown` are reasons of whole roots.

    `shebangs` are digests of scripts with the first line that a wheel's script has; `outside` are listed files that lie
    outside of the environment and were not read. `contents` are of start-up files that are known by what they say.
    """

    python: PythonLine
    tree: Tree
    folders: Mapping[str, str]
    distributions: tuple[InstalledDistribution, ...]
    bytecode: tuple[Bytecode, ...]
    proofs: Mapping[tuple[str, str], Proof] | None
    scripts_whole: bool
    shebangs: Mapping[tuple[str, str], tuple[str, ...]] = {}
    outside: frozenset[tuple[str, str]] = frozenset()
    contents: Mapping[tuple[str, str], bytes] = {}
    trusted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def judge_environment(observed: ObservedEnvironment, against: Against | None = None) -> EnvironmentReport:
    """The report. `against` is the comparison with an external manifest, if there is one."""
    gathered = Gathered()
    for reason in observed.unknown:
        gathered.not_checked(None, None, reason, files=0)
    for each in observed.distributions:
        if each.reason is not None and each.kind not in {"wheel", "conda"}:
            gathered.not_checked(each.label, each.place, each.reason, distribution=each.name, files=0)
    claims = _claims(observed, against)
    if against is not None:
        gather(gathered, against, observed.tree)
    else:
        _judge_files(gathered, observed, claims)
    counts = _judge_bytecode(gathered, observed, claims)
    return _report(observed, gathered, counts, against)


def _judge_files(
    gathered: Gathered, observed: ObservedEnvironment, claims: Mapping[str, dict[str, list[Claim]]]
) -> None:
    """Every file against the lists beside it."""
    interpreter = frozenset(
        each.digest for label, each in observed.tree.files() if label == "executable" and each.digest is not None
    )
    for root in _with_absent(observed.tree, claims):
        compare_root(
            gathered,
            root,
            claims.get(root.label, {}),
            observed.distributions,
            folder=observed.folders.get(root.label, ""),
            shebangs=observed.shebangs,
            interpreter=interpreter,
            scripts_whole=observed.scripts_whole,
            outside=observed.outside,
            contents=observed.contents,
        )


def _claims(observed: ObservedEnvironment, against: Against | None) -> dict[str, dict[str, list[Claim]]]:
    if against is None:
        return claims_of(observed.distributions, Places(observed.folders))
    claims: dict[str, dict[str, list[Claim]]] = {}
    for (label, path), files in expected_in(against.manifest, observed.tree).items():
        if path.endswith((".pyc", ".pyo")):  # what has no source can only be compared as it is
            claims.setdefault(label, {})[path] = [Claim("manifest", "wheel", each.digest, each.size) for each in files]
    return claims


def _with_absent(tree: Tree, claims: Mapping[str, object]) -> list[Root]:
    """Every root, and an empty one for each that is listed and not there."""
    there = {each.label for each in tree.roots}
    return [*tree.roots, *(Root(label=label, files=()) for label in sorted(claims.keys() - there))]


def _judge_bytecode(
    gathered: Gathered, observed: ObservedEnvironment, claims: Mapping[str, Mapping[str, list[Claim]]]
) -> BytecodeCounts:
    digests = {(label, each.path): each.digest for label, each in observed.tree.files() if each.path.endswith(".pyc")}
    counts: Counter[str] = Counter()
    for each in observed.bytecode:
        if digests.get((each.label, each.path)) is None:
            counts["not_checked"] += 1  # that it could not be read was said with the other files
        elif each.state in _PASSED_OVER:
            counts["not_executed"] += 1
            gathered.note(each.label, each.path, _PASSED_OVER[each.state])
        elif each.state == "sourceless":
            made = claims.get(each.label, {}).get(each.path, [])
            counts[_sourceless(gathered, each, made, digests[each.label, each.path])] += 1
        else:
            counts[_compared(gathered, observed, each)] += 1
    return BytecodeCounts(
        files=len(observed.bytecode),
        equal=counts["equal"],
        differ=counts["differ"],
        not_executed=counts["not_executed"],
        listed=counts["listed"],
        not_checked=counts["not_checked"],
    )


def _sourceless(gathered: Gathered, bytecode: Bytecode, made: list[Claim], digest: str | None) -> str:
    if any(each.digest is not None and each.digest == digest for each in made):
        gathered.trusted["bytecode without a source, as its list has it: there is nothing to compare it with"] += 1
        return "listed"
    message = "bytecode without a source, which Python would execute, and no list has it"
    gathered.differ("bytecode_without_source", bytecode.label, bytecode.path, message)
    return "differ"


def _compared(gathered: Gathered, observed: ObservedEnvironment, bytecode: Bytecode) -> str:
    label, path = bytecode.label, bytecode.path
    if observed.proofs is None:
        reason = "bytecode was not compared with its source (--no-bytecode)"
        gathered.not_checked(label, path, reason if observed.python.version else _NOT_WITHOUT_PYTHON)
        return "not_checked"
    proof = observed.proofs.get((label, path))
    if proof is None or proof.outcome in {"failed", "changed"}:
        gathered.not_checked(label, path, (proof and proof.detail) or "bytecode was not compared with its source")
        return "not_checked"
    if proof.outcome in {"differs", "unreadable"}:
        where = f" in {proof.object}: {proof.detail}" if proof.object else f": {proof.detail}"
        cannot = "its code cannot be read as Python's own" if proof.outcome == "unreadable" else "its code is not what"
        message = f"{cannot}{'' if proof.outcome == 'unreadable' else f' {bytecode.source} compiles to'}{where}"
        gathered.differ("bytecode_differs", label, path, message, where=proof.object)
        return "differ"
    if proof.outcome == "stale":
        gathered.note(label, path, _PASSED_OVER["stale"])
        return "not_executed"
    if bytecode.state == "unchecked":
        message = "its header tells Python not to look whether the source changed; its code is that of the source now"
        gathered.differ("bytecode_unchecked", label, path, message)
        return "differ"
    return "equal"


def _report(
    observed: ObservedEnvironment,
    gathered: Gathered,
    counts: BytecodeCounts,
    against: Against | None,
) -> EnvironmentReport:
    if not any(root.files for root in observed.tree.roots):
        gathered.not_checked(None, None, "no file was found", files=0)
    compared: Compared = "records" if against is None else "manifest"
    listed = set() if against is None else _spoken_of(against, observed.tree)
    trusted = [*observed.trusted, *(() if against is None else against.said)]
    trusted += [f"{text} ({count:,} {'file' if count == 1 else 'files'})" for text, count in gathered.trusted.items()]
    reasons = gathered.reasons()
    differences = tuple(sorted(gathered.differences, key=lambda each: (each.kind, each.label, each.path)))
    verdict: EnvironmentVerdict = "self-consistent" if against is None else "verified"
    if reasons:
        verdict = "not_checkable"
    if differences:
        verdict = "differs"
    digest = tree_digest(without_bytecode(observed.tree))
    roots = tuple(_line(each, observed, gathered) for each in observed.tree.roots)
    return EnvironmentReport(
        verdict=verdict,
        compared_with=compared,
        sentence=_sentence(verdict, Counter(each.kind for each in differences), roots, listed),
        python=observed.python,
        tree=None if digest is None else str(digest),
        distributions=len(observed.distributions),
        roots=roots,
        bytecode=counts,
        differences=differences,
        not_checkable=reasons,
        trusted=tuple(trusted),
        notes=gathered.notes(),
    )


def _spoken_of(against: Against, tree: Tree) -> set[str]:
    """The roots of which the manifest says something."""
    scripts = {"scripts"} if against.manifest.generated or against.manifest.rewritten else set()
    return {label for label, _ in expected_in(against.manifest, tree)} | scripts


def _line(root: Root, observed: ObservedEnvironment, gathered: Gathered) -> RootLine:
    return RootLine(
        label=root.label,
        folder=observed.folders.get(root.label, ""),
        files=len(root.files),
        bytes=sum(each.size for each in root.files),
        matched=gathered.matched[root.label],
        unlisted=gathered.unlisted[root.label],
    )


_WORDS: Final = {
    "content_differs": "with other content than listed",
    "missing": "missing",
    "unowned": "that no list has",
    "bytecode_differs": "of bytecode that is not its source",
    "bytecode_unchecked": "of bytecode that Python would not check",
    "bytecode_without_source": "of bytecode without a source",
}


def _sentence(
    verdict: EnvironmentVerdict, kinds: Mapping[str, int], roots: tuple[RootLine, ...], listed: set[str]
) -> str:
    if verdict == "differs":
        parts = [f"{kinds[kind]:,} {_WORDS[kind]}" for kind in DIFFERENCE_KINDS if kinds.get(kind)]
        return f"Files: {', '.join(parts)}."
    if verdict == "not_checkable":
        return "Nothing differs in what was checked, and not everything could be checked."
    if verdict == "self-consistent":
        return (
            "Nothing contradicts the lists that lie beside the files. Whoever can change a file here can change its "
            "list too: only an external manifest can show that."
        )
    missing = [each.label for each in roots if each.label not in listed]
    beyond = f" Not in the manifest: {', '.join(missing)}." if missing else ""
    return f"Every file is as the manifest says.{beyond}"
