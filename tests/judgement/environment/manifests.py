"""Manifests for tests: a plain one, and any one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from saksi.judgement.environment.against_manifest import Against
from saksi.judgement.environment.comparison import compare
from saksi.judgement.environment.manifest import (
    Distribution,
    ExpectedFile,
    ExpectedRoot,
    GeneratedScript,
    Manifest,
    NotCovered,
    PythonParts,
    RewrittenScript,
    Wheel,
)
from saksi.words.digest import sha256

NO_PYTHON = PythonParts(implementation=None, version=None, cache_tag=None, platform=None)


def digest(text: str) -> str:
    return str(sha256(text.encode()))


def distribution(name: str = "demo", version: str = "1.0") -> Distribution:
    wheel = Wheel(file=f"{name}-{version}-py3-none-any.whl", digest=digest(name), size=9)
    return Distribution(name=name, version=version, metadata_folder=f"{name}-{version}.dist-info", wheel=wheel)


def file(path: str, content: str = "x", owner: int | None = 0) -> ExpectedFile:
    return ExpectedFile(path=path, digest=digest(content), size=len(content), owner=owner)


def plain_manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "source": "wheels",
        "python": PythonParts(
            implementation="cpython", version="3.11", cache_tag="cpython-311", platform="linux_x86_64"
        ),
        "distributions": (distribution(),),
        "roots": (ExpectedRoot(label="purelib", files=(file("demo/__init__.py"), file("demo/a.py", "yy"))),),
        "generated": (GeneratedScript(path="demo", owner=0, module="demo.cli", attribute="main"),),
        "rewritten": (RewrittenScript(path="old", owner=0, digest=digest("rest"), size=4),),
        "not_covered": (NotCovered(name="mine", version=None, reason="editable"),),
    }
    return Manifest(**fields | changes)


def against(observed, expected, source="wheels"):
    """The comparison with a manifest of these digests, by label and path."""
    files = {}
    for (label, path), digest in sorted(expected.items()):
        files.setdefault(label, []).append(ExpectedFile(path=path, digest=digest, size=0, owner=None))
    manifest = Manifest(
        source=source,
        python=NO_PYTHON,
        distributions=(),
        roots=tuple(ExpectedRoot(label=label, files=tuple(each)) for label, each in files.items()),
        generated=(),
        rewritten=(),
        not_covered=(),
    )
    comparison = compare(manifest, observed.tree, scripts={}, interpreters=(), python=None)
    return Against(manifest=manifest, comparison=comparison, said=("a manifest, signed by somebody",))


_names = st.from_regex(r"[a-z0-9]{1,4}(-[a-z0-9]{1,3})?", fullmatch=True)
_paths = st.lists(st.text('abé_—.\u2028"\\', min_size=1, max_size=4).filter(lambda part: part not in {".", ".."}),
                  min_size=1, max_size=3).map("/".join)  # fmt: skip
_digests = st.text(max_size=3).map(lambda text: digest(repr(text)))
_sizes = st.integers(0, 2**63 - 1)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_maybe = st.none() | st.text("ab1.é", max_size=5)
_pythons = st.builds(PythonParts, implementation=_maybe, version=_maybe, cache_tag=_maybe, platform=_maybe)


@st.composite
def manifests(draw: Any) -> Manifest:
    wheels = draw(st.booleans())
    names = sorted(draw(st.sets(_names, max_size=3)))
    owners = st.none() | (st.integers(0, len(names) - 1) if names else st.none())

    def placed(count: int = 4) -> list[tuple[str, int | None]]:
        found = draw(st.sets(st.tuples(_paths, owners), max_size=count))
        return sorted(found, key=lambda each: (each[0], -1 if each[1] is None else each[1]))

    labels = sorted(draw(st.sets(st.sampled_from(["purelib", "platlib", "scripts", "data", "headers", "stdlib"]))))
    distributions = []
    for name in names:
        wheel = draw(st.builds(Wheel, file=_texts, digest=_digests, size=_sizes)) if wheels else None
        version = draw(_texts)
        distributions.append(Distribution(name=name, version=version, metadata_folder=draw(_paths), wheel=wheel))
    return Manifest(
        source="wheels" if wheels else "reference",
        python=draw(_pythons),
        distributions=tuple(distributions),
        roots=tuple(
            ExpectedRoot(
                label=label,
                files=tuple(
                    ExpectedFile(path=path, digest=draw(_digests), size=draw(_sizes), owner=owner)
                    for path, owner in placed()
                ),
            )
            for label in labels
        ),
        generated=tuple(
            GeneratedScript(path=path, owner=owner, module=draw(_texts), attribute=draw(_texts))
            for path, owner in placed(2)
        ),
        rewritten=tuple(
            RewrittenScript(path=path, owner=owner, digest=draw(_digests), size=draw(_sizes))
            for path, owner in placed(2)
        ),
        not_covered=tuple(
            NotCovered(name=name, version=draw(_maybe), reason=draw(st.text("ab é", min_size=1, max_size=5)))
            for name in sorted(draw(st.sets(_names, max_size=2)))
        ),
    )
