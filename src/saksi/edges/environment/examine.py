"""Everything that an environment's judgement needs, read in one pass: the one call of `saksi env verify`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.bytecode_proof import proof_key, prove
from saksi.edges.environment.installed_files import conda_distributions, distributions_in, list_digests
from saksi.edges.environment.interpreter import Python
from saksi.edges.environment.listing import Listed, Listing, Question, cache_folder, conda_state, list_environment
from saksi.edges.environment.roots import Roots
from saksi.edges.environment.stat_cache import Known, load_bytes, load_table, save_bytes, save_table, stamp_key
from saksi.edges.environment.tree import Progress, Read, read_files, root_of, silent
from saksi.edges.environment.walk import Place, Walked, walk
from saksi.edges.files import read_file
from saksi.judgement.environment.bytecode import Bytecode, Proof, Task, read_name, state_of
from saksi.judgement.environment.installed import InstalledDistribution, Places, claims_of
from saksi.judgement.environment.judge import ObservedEnvironment
from saksi.judgement.environment.known_records import FIRST_LINES, MAX_KNOWN_BYTES, known_unlisted
from saksi.judgement.environment.tree import Tree
from saksi.judgement.redaction import printable

__all__ = ["Examined", "examine", "read_listing"]

_COMPARED: Final = frozenset({"executed", "unchecked", "hash-checked"})
_LISTS_VERSION: Final = "saksi.lists/v1"
_MAX_PROOFS: Final = 500_000
"""16 MB; a large environment has 25,000."""
_MAX_SCRIPT: Final = 1 << 20


class _Lists(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parsed lists of an environment, for as long as none of them changes."""

    key: str
    distributions: tuple[InstalledDistribution, ...]


class _Files(msgspec.Struct, frozen=True, kw_only=True):
    """One root as it was listed and read."""

    label: str
    walked: list[Walked]
    reads: list[Read]
    reason: str | None


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What was read. `further` are files outside of all that was listed, with their state: null if not there."""

    observed: ObservedEnvironment
    further: dict[str, bytes | None]


def examine(question: Question, *, now_ns: int, progress: Progress = silent) -> ObservedEnvironment:
    """What is there now. Raises `UsageError` if the path names no interpreter and no environment's folder."""
    return read_listing(list_environment(question, now_ns=now_ns, progress=progress), progress=progress).observed


def read_listing(listing: Listing, *, progress: Progress = silent) -> Examined:
    """Everything that a judgement of the listed files needs."""
    question, python, roots = listing.question, listing.python, listing.roots
    cache = cache_folder(question)
    known = Known(cache and cache / "files", now_ns=listing.now_ns)
    roots_read = _read_roots(listing.listed, known, progress)
    distributions = _distributions(roots, roots_read, cache)
    further: dict[str, bytes | None] = {}
    outside = _read_listed(roots, roots_read, distributions, known, further)
    known.save()
    bytecode, tasks = _bytecode(roots_read, python)
    proofs = None
    if question.bytecode and python is not None:
        wanted = question.sources
        if wanted is not None:
            tasks = [each for each in tasks if (each.bytecode.label, each.bytecode.source) in wanted]
        proofs = _proofs(tasks, python, question, progress)
    observed = ObservedEnvironment(
        python=listing.line,
        tree=Tree(roots=tuple(root_of(each.label, each.walked, each.reads, each.reason) for each in roots_read)),
        folders={each.label: printable(each.folder) for each in roots.places},
        distributions=distributions,
        bytecode=bytecode,
        proofs=proofs,
        scripts_whole=roots.scripts_whole,
        shebangs=_shebangs(roots_read),
        outside=outside,
        contents=_contents(roots_read),
        trusted=roots.trusted,
        unknown=roots.unknown,
    )
    return Examined(observed=observed, further=further)


def _read_roots(listed: tuple[Listed, ...], known: Known, progress: Progress) -> list[_Files]:
    everything = [file for root in listed for file in root.walked]
    reads = read_files(everything, known, progress=progress)
    found: list[_Files] = []
    at = 0
    for root in listed:
        end = at + len(root.walked)
        found.append(_Files(label=root.place.label, walked=root.walked, reads=reads[at:end], reason=root.reason))
        at = end
    return found


def _distributions(roots: Roots, found: list[_Files], cache: Path | None) -> tuple[InstalledDistribution, ...]:
    folders = {each.label: each.folder for each in roots.places}
    lists = [line for each in found for line in list_digests(each.label, each.walked, each.reads)]
    lists += conda_state(roots.prefix)
    text = "\n".join((_LISTS_VERSION, roots.prefix, *lists))
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    kept = None if cache is None else load_bytes(cache / "lists")
    if kept is not None:
        try:
            decoded = msgspec.msgpack.decode(kept, type=_Lists)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            decoded = None
        if decoded is not None and decoded.key == key:
            return decoded.distributions
    distributions = [
        each for root in found for each in distributions_in(root.label, folders[root.label], root.walked, root.reads)
    ]
    if "purelib" in folders:
        distributions += conda_distributions(roots.prefix, folders["purelib"])
    parsed = tuple(sorted(distributions, key=lambda each: (each.label, each.place)))
    if cache is not None:
        save_bytes(cache / "lists", msgspec.msgpack.encode(_Lists(key=key, distributions=parsed)))
    return parsed


def _read_listed(
    roots: Roots,
    found: list[_Files],
    distributions: tuple[InstalledDistribution, ...],
    known: Known,
    further: dict[str, bytes | None],
) -> frozenset[tuple[str, str]]:
    """Add what a list names outside of every folder that was listed; what is not ours to read is returned."""
    folders = {each.label: each.folder for each in roots.places}
    there = {each.label: {file.path for file in each.walked} for each in found}
    # What is where its list says costs nothing more; the rest is looked at.
    strays = [
        msgspec.structs.replace(each, rows=rows)
        for each in distributions
        if (rows := tuple(row for row in each.rows if row.path not in there.get(each.label, ())))
    ]
    claims = claims_of(strays, Places(folders))
    outside: set[tuple[str, str]] = set()
    for at, each in enumerate(found):
        strayed: list[str] = []
        for path in claims.get(each.label, {}).keys() - there[each.label]:
            absolute = os.path.normpath(os.path.join(folders[each.label], path))  # noqa: PTH118 - as text
            if f"{absolute}/".startswith(f"{roots.bounds[each.label]}/".replace("//", "/")):
                strayed.append(path)
                further[absolute] = None
            else:
                outside.add((each.label, path))
        if not strayed:
            continue
        place = Place(label=each.label, folder=folders[each.label], only=tuple(sorted(strayed)))
        walked, reason, *_ = walk(place)
        reads = read_files(walked, known)
        further.update({file.where: stamp_key(file.found) for file in walked if file.found is not None})
        found[at] = _Files(
            label=each.label, walked=[*each.walked, *walked], reads=[*each.reads, *reads], reason=each.reason or reason
        )
    return frozenset(outside)


def _bytecode(found: list[_Files], python: Python | None) -> tuple[tuple[Bytecode, ...], list[Task]]:
    """Every `.pyc`, and those that have to be compared."""
    tag = None if python is None else python.file.cache_tag
    magic = b"" if python is None else bytes.fromhex(python.file.magic)
    listed: list[Bytecode] = []
    tasks: list[Task] = []
    for root in found:
        compiled = [at for at, file in enumerate(root.walked) if file.path.endswith((".pyc", ".pyo"))]
        sources = (
            {file.path: at for at, file in enumerate(root.walked) if file.path.endswith(".py")} if compiled else {}
        )
        for at in compiled:
            file, read = root.walked[at], root.reads[at]
            named = read_name(file.path, tag)
            source_at = None if named is None else sources.get(named[0])
            source = None if source_at is None else root.walked[source_at].found
            stamp = None if source is None else (source.st_size, source.st_mtime_ns)
            bytecode = Bytecode(
                label=root.label,
                path=printable(file.path),
                source=None if named is None else printable(named[0]),
                level=0 if named is None else named[1],
                state=state_of(file.path, read.head, magic=magic, named=named, source=stamp),
            )
            listed.append(bytecode)
            of_source = None if source_at is None else root.reads[source_at].digest
            if (
                bytecode.state in _COMPARED
                and source_at is not None
                and read.digest is not None
                and of_source is not None
            ):
                where = root.walked[source_at].where
                tasks.append(Task(bytecode, file.where, where, read.digest, of_source))
    return tuple(listed), tasks


def _proofs(tasks: list[Task], python: Python, question: Question, progress: Progress) -> dict[tuple[str, str], Proof]:
    # One file for all environments of an interpreter: they share its standard library.
    name = f"proofs-{python.file.digest[7:31]}"
    place = None if question.cache is None else question.cache / "environment" / name
    made = {} if place is None else load_table(place, hashlib.sha256().digest_size, 0)
    keys = [proof_key(each, python.file.digest) for each in tasks]
    proofs = {
        (each.bytecode.label, each.bytecode.path): Proof(bytecode=each.bytecode, outcome="equal")
        for each, key in zip(tasks, keys, strict=True)
        if key in made
    }
    left = [(each, key) for each, key in zip(tasks, keys, strict=True) if key not in made]
    fresh = prove([each for each, _ in left], python, question.environment, jobs=question.jobs, progress=progress)
    for (task, key), proof in zip(left, fresh, strict=True):
        proofs[task.bytecode.label, task.bytecode.path] = proof
        if proof.outcome in {"equal", "normalised"}:
            made[key] = b""
    if place is not None and left:
        save_table(place, made if len(made) <= _MAX_PROOFS else {key: b"" for key in keys if key in made})
    return proofs


def _shebangs(found: list[_Files]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Digests of installed scripts, with the first line that they had in their wheel."""
    originals: dict[tuple[str, str], tuple[str, ...]] = {}
    for root in found:
        for file, read in zip(root.walked, root.reads, strict=True):
            script = root.label == "scripts" or (file.path[0] == "." and "/bin/" in file.path)
            if not script or not read.head.startswith(b"#!") or file.found is None or file.found.st_size > _MAX_SCRIPT:
                continue
            try:
                content = Path(file.where).read_bytes()
            except OSError:
                continue
            if hashlib.sha256(content).digest() == read.digest:
                rest = content[content.find(b"\n") :] if b"\n" in content else b""
                digests = tuple(f"sha256:{hashlib.sha256(each + rest).hexdigest()}" for each in FIRST_LINES)
                originals[root.label, printable(file.path)] = digests
    return originals


def _contents(found: list[_Files]) -> dict[tuple[str, str], bytes]:
    """What those files say that are known by what they say, as far as it is what was hashed."""
    contents: dict[tuple[str, str], bytes] = {}
    for root in found:
        for file, read in zip(root.walked, root.reads, strict=True):
            if not file.path.endswith(".pth") or file.found is None or file.found.st_size > MAX_KNOWN_BYTES:
                continue
            shape = known_unlisted(root.label, printable(file.path))
            if shape is None or shape.lines is None:
                continue
            content = read_file(Path(file.where), MAX_KNOWN_BYTES).content
            if content is not None and hashlib.sha256(content).digest() == read.digest:
                contents[root.label, printable(file.path)] = content
    return contents
