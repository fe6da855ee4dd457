"""Found first on PYTHONPATH: lets the user's own sitecustomize run as if this one were not here, and arms the recorder.

Rules: an interpreter without SAKSI_SOCKET, or with SAKSI_DISABLE=1, behaves as without this folder; the folder ends up
last on sys.path, so that nothing in it can shadow a module of the user; whatever the user's sitecustomize raises is
raised here too, and `site` reports it in its own words; where the user has none, this import fails as it would have.
"""

# ruff: noqa: PTH100, PTH120  (plain os: light, and also what old interpreters know)

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _step_aside():  # noqa: ANN202  (read by interpreters that saksi does not support)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]


def _arm():  # noqa: ANN202
    if os.environ.get("SAKSI_DISABLE") == "1" or not os.environ.get("SAKSI_SOCKET"):
        return
    try:
        from saksi_recorder import arm

        arm.arm()
    except Exception:
        pass  # a guest that cannot come in stays outside


def _make_way():  # noqa: ANN202
    """The user's own sitecustomize, executed under its name; ModuleNotFoundError where there is none."""
    _step_aside()
    try:
        spec = None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec("sitecustomize", None) if find_spec is not None else None
            if spec is not None:
                break
    finally:
        sys.path.append(_HERE)
    if spec is None or spec.loader is None:
        # `site` passes over exactly this error in silence: the natural state of an interpreter without one.
        raise ModuleNotFoundError("No module named 'sitecustomize'", name="sitecustomize")
    from importlib.util import module_from_spec

    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module  # the import machinery hands out what it finds here in the end
    spec.loader.exec_module(module)


if sys.version_info < (3, 6):  # a tool of the job may be that old: there is nothing to record, and little to chain with
    raise ImportError("No module named sitecustomize")
_arm()  # while this folder is still the first on the path
_make_way()
