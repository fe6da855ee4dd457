"""Seals and seal files made by hypothesis, and one plain one of each."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from judgement.expectations import declared
from saksi.judgement.launch_key import LaunchKey
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.redaction import hmac_of, key_id
from saksi.judgement.rehearsal.values import (
    MAX_STEPS,
    Rehearsal,
    RehearsedBatch,
    RehearsedHook,
    RehearsedOptimizer,
    RehearsedRank,
    RehearsedRoot,
    RehearsedSeed,
    RehearsedUpdate,
    plain,
)
from saksi.judgement.seal import (
    Change,
    Command,
    Distribution,
    Git,
    Hardware,
    Interpreter,
    Seal,
    SealedFile,
    digest_of_changes,
)
from saksi.judgement.seal_file import (
    EnvironmentTree,
    SealFile,
    SignedSealFile,
    format_seal_file,
    make_file_statement,
    seal_file_of,
)
from saksi.proofs.attest.envelope import IN_TOTO, sign
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.digest import sha256

KEY = b"\x07" * 32
CREATOR = NoteSigner("saksi-installation-tests", bytes(range(3, 35)))
MARIA = NoteSigner("maria", bytes(range(4, 36)))
JOSE = NoteSigner("jose", bytes(range(5, 37)))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
counts = st.integers(0, 2**63 - 1)
digests = st.binary(max_size=4).map(lambda content: str(sha256(content)))
hmacs = st.text(max_size=4, alphabet="ab").map(lambda text: hmac_of(KEY, "test", text))
objects = st.integers(0, 2**160 - 1).map("{:040x}".format)
tables = st.dictionaries(texts, texts, max_size=4).map(lambda table: dict(sorted(table.items())))


def maybe(strategy):
    return st.none() | strategy


def tuples(strategy):
    return st.lists(strategy, max_size=4).map(tuple)


files = st.builds(SealedFile, path=texts, digest=maybe(digests | hmacs), size=maybe(counts), reason=maybe(texts))
changes = st.builds(
    Change,
    path=texts,
    status=st.sampled_from(["added", "deleted", "modified", "type", "unmerged"]),
    executable=st.booleans(),
    digest=maybe(digests),
    reason=maybe(texts),
)
gits = st.builds(
    Git,
    commit=maybe(objects),
    tree=maybe(objects),
    branch=maybe(texts),
    dirty=maybe(st.booleans()),
    dirty_digest=maybe(digests),
    changed=tuples(changes),
    changed_total=maybe(counts),
    untracked=tuples(files),
    untracked_total=maybe(counts),
)
interpreters = st.builds(
    Interpreter,
    path=texts,
    real_path=texts,
    digest=digests,
    version=texts,
    implementation=texts,
    cache_tag=maybe(texts),
    prefix=texts,
    base_prefix=texts,
    flags=tuples(texts),
)
distributions = st.sets(st.builds(Distribution, name=texts, version=texts), max_size=4).map(lambda s: tuple(sorted(s)))
hardware = st.builds(
    Hardware, host=texts, machine=texts, cpu=maybe(texts), cores=counts, memory_bytes=maybe(counts), gpus=tuples(texts),
    processors=st.just(msgspec.UNSET) | counts, cpu_features=st.just(msgspec.UNSET) | tuples(texts),
)  # fmt: skip
launch_keys = st.builds(
    LaunchKey,
    kind=st.sampled_from(["named", "torchelastic", "slurm"]),
    label=texts,
    restarts=maybe(counts),
    joined=st.booleans(),
)
rates = st.floats(0, 1e100)
values = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.none()
    | st.lists(st.floats(-1, 1), max_size=3).map(tuple)
)
hyper_parameters = st.dictionaries(texts.filter(lambda name: name not in {"lr", "lr_scale"}), values, max_size=3).map(
    lambda table: dict(sorted(table.items()))
)


def curve(points):
    """What a plan says of its learning rate, the first point at the end of the warm-up."""
    points = sorted(points.items())
    warm_up = points[0][0] if points else 0
    return {"lr": tuple(points), "warm_up": warm_up, "warm_up_from": 0.125 if warm_up else 0.0}


plans = st.builds(
    lambda points, **others: Plan(**curve(points), **others),
    points=st.dictionaries(st.integers(0, 2**53), rates, max_size=4),
    optimizer=maybe(texts),
    steps=maybe(st.integers(1, 2**53)),
    between=st.sampled_from(["linear", "cosine", "hold"]),
    max_norm=maybe(st.floats(1e-9, 1e9)),
    hyper_parameters=hyper_parameters,
    groups=tuples(hyper_parameters),
    accumulation=st.just(msgspec.UNSET) | st.integers(1, 2**53),
    trained=st.just(msgspec.UNSET) | st.lists(texts.filter(bool), min_size=1, max_size=3).map(tuple),
    longest_update=st.just(msgspec.UNSET) | st.floats(1e-6, 1e9),
    reported=st.just(msgspec.UNSET) | st.lists(texts.filter(bool), min_size=1, max_size=3).map(tuple),
)
data_plans = st.builds(
    DataPlan,
    items=maybe(st.integers(1, 2**53)),
    order=st.sampled_from(["shuffled", "sequential", "any"]),
    each=st.sampled_from(["once", "any"]),
    drop_last=maybe(st.booleans()),
    content=st.sampled_from(["same", "any"]),
    batch=maybe(st.integers(1, 2**53)),
)
seals = st.builds(
    Seal,
    run=st.integers(0, 2**64 - 1).map("{:016x}".format),
    attempt=counts,
    name=maybe(texts),
    project=maybe(texts),
    created_ns=counts,
    level=st.sampled_from(["standard", "full"]),
    segment=maybe(st.integers(1, 2**63 - 1)),
    plan=maybe(plans),
    approved=st.booleans(),
    redaction_key=st.just(key_id(KEY)),
    command=st.builds(Command, argv=tuples(texts), total=counts, hmac=hmacs),
    working_directory=texts,
    seeds=tables,
    script=maybe(files),
    git=maybe(gits),
    files=tuples(files),
    distributions=distributions,
    environment=tables,
    environment_changed_by_saksi=tables,
    interpreter=maybe(interpreters),
    hardware=hardware,
    kernel=texts,
    unobserved=tables,
    launch_key=st.just(msgspec.UNSET) | launch_keys,
    expect=st.just(msgspec.UNSET) | declared,
    data=st.just(msgspec.UNSET) | data_plans,
)


trees = st.builds(EnvironmentTree, digest=digests, files=counts, manifest=st.just(msgspec.UNSET) | digests)
numbers = st.integers(0, 2**63 - 1)
hexes = st.binary(max_size=4).map(lambda content: str(sha256(content)).removeprefix("sha256:"))
settings = st.dictionaries(
    texts, st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts, max_size=3
).map(plain)


def sorted_by(key, strategy):
    return st.lists(strategy, max_size=3, unique_by=key).map(lambda found: tuple(sorted(found, key=key)))


rehearsed_ranks = st.builds(
    RehearsedRank,
    rank=numbers,
    world_size=numbers,
    python=texts,
    torch=texts,
    threads=numbers,
    deterministic=st.booleans(),
    flags=settings,
    loads=numbers,
    seeded=st.sets(
        st.builds(RehearsedSeed, generator=st.sampled_from(["python", "numpy", "torch"]), seed=texts), max_size=3
    ).map(lambda found: tuple(sorted(found))),
    optimizers=sorted_by(
        lambda each: each.ordinal,
        st.builds(RehearsedOptimizer, ordinal=numbers, class_name=texts, defaults=settings),
    ),
    hooks=sorted_by(
        lambda each: (each.table, each.name), st.builds(RehearsedHook, table=texts, name=texts, step=numbers)
    ),
    updates=sorted_by(
        lambda each: (each.optimizer, each.update),
        st.builds(
            RehearsedUpdate,
            optimizer=numbers,
            update=numbers,
            groups=st.lists(settings, max_size=2).map(tuple),
            groups_omitted=numbers,
            batches=tuples(
                st.builds(RehearsedBatch, loader=numbers, ordinal=numbers, digest=maybe(texts), ids=maybe(hexes))
            ),
            batches_omitted=numbers,
            rng=st.dictionaries(texts, hexes, max_size=2).map(plain),
            loss=maybe(texts),
        ),
    ),
    roots=sorted_by(
        lambda each: each.step,
        st.builds(RehearsedRoot, step=st.integers(-1, 2**63 - 1), root=hexes, layout=hexes),
    ),
)
rehearsals = st.builds(
    Rehearsal,
    steps=st.integers(1, MAX_STEPS),
    ranks=st.lists(rehearsed_ranks, min_size=1, max_size=2, unique_by=lambda each: each.rank).map(
        lambda found: tuple(sorted(found, key=lambda each: each.rank))
    ),
)
seal_files = st.builds(
    lambda seal, tree, rehearsal: msgspec.structs.replace(
        seal_file_of(seal), environment_tree=tree, rehearsal=rehearsal
    ),
    seals,
    st.just(msgspec.UNSET) | trees,
    st.just(msgspec.UNSET) | rehearsals,
)


def signed_file(file: SealFile, *signers: NoteSigner) -> SignedSealFile:
    return format_seal_file(sign(IN_TOTO, make_file_statement(file), signers or (CREATOR,)))


def plain_seal_file(**changed: Any) -> SealFile:
    return msgspec.structs.replace(seal_file_of(plain_seal()), **changed)


def plain_seal() -> Seal:
    script = SealedFile(path="train.py", digest=str(sha256(b"train")), size=5, reason=None)
    change = Change(path="model.py", status="modified", executable=False, digest=str(sha256(b"model")), reason=None)
    return Seal(
        run="00112233445566aa",
        attempt=0,
        name="baseline",
        project=None,
        created_ns=1_700_000_000_000_000_000,
        level="standard",
        segment=None,
        plan=None,
        approved=False,
        redaction_key=key_id(KEY),
        command=Command(
            argv=("python", "train.py", "--lr", "0.1"), total=4, hmac=hmac_of(KEY, "command", "python", "train.py")
        ),
        working_directory="/home/a/project",
        seeds={"PYTHONHASHSEED": "0"},
        script=script,
        git=Git(
            commit="a" * 40,
            tree="b" * 40,
            branch="main",
            dirty=True,
            dirty_digest=str(digest_of_changes([change])),
            changed=(change,),
            changed_total=1,
            untracked=(SealedFile(path="notes.txt", digest=str(sha256(b"notes")), size=5, reason=None),),
            untracked_total=1,
        ),
        files=(SealedFile(path="config.toml", digest=str(sha256(b"config")), size=6, reason=None),),
        distributions=(Distribution(name="numpy", version="2.0.0"), Distribution(name="torch", version="2.5.0")),
        environment={"HOME": hmac_of(KEY, "environment", "HOME", "/home/a"), "OMP_NUM_THREADS": "2", "SHLVL": "1"},
        environment_changed_by_saksi={"PYTHONPATH": "/opt/saksi/path"},
        interpreter=Interpreter(
            path="/venv/bin/python",
            real_path="/usr/bin/python3.11",
            digest=str(sha256(b"python")),
            version="3.11.7",
            implementation="cpython",
            cache_tag="cpython-311",
            prefix="/venv",
            base_prefix="/usr",
            flags=("-u",),
        ),
        hardware=Hardware(
            host="node1",
            machine="x86_64",
            cpu="A CPU",
            cores=8,
            memory_bytes=2**36,
            gpus=("A GPU", "A GPU"),
            processors=64,
            cpu_features=("avx", "avx2", "fma"),
        ),
        kernel="Linux 6.1",
        unobserved={},
    )
