"""What the pickle in a torch file says of tensors. Its opcodes are read one by one; nothing is imported or called.

Rules: of all that a pickle can name, torch's functions that put a tensor or a parameter together and ordered
dictionaries mean something here; whatever else it makes is `None`, and is named. What could bring tensors past this
reading (into objects by ways that torch does not write, nested deeper than is read) is refused. Limits on everything.

Known weakness: tensors in objects of other classes are not found; what a pickle names is told for that reason.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from saksi.edges.tensors.form import MAX_DIMENSIONS, MAX_TENSORS, NotTensors, spelled

__all__ = ["Pickled", "tensors_of_pickle"]

MAX_OPCODES: Final = 5_000_000
MAX_DEPTH: Final = 24
MAX_VISITED: Final = 1_000_000
MAX_KEY: Final = 200
MAX_NAMED: Final = 32
_STORAGES: Final = {
    "BoolStorage": "bool", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16",
    "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "IntStorage": "int32", "FloatStorage": "float32",
    "LongStorage": "int64", "DoubleStorage": "float64", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip
_DICTIONARY: Final = "collections.OrderedDict"
_TENSOR: Final = "torch._utils._rebuild_tensor_v2"
_PARAMETER: Final = "torch._utils._rebuild_parameter"
_KNOWN: Final = frozenset({_DICTIONARY, _TENSOR, _PARAMETER})
_ARGUMENTS: Final = 6
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES: Final = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LITERALS: Final = frozenset({
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINUNICODE", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES",
    "BYTEARRAY8",
})  # fmt: skip
_SIMPLE: Final = (str, bytes, int, float, bool, type(None))
_LARGEST_KEY: Final = 1 << 60
"""Of numbers: larger ones can be made to fall into one place of a dictionary, each slower than the one before."""
_SILENT: Final = frozenset({"PROTO", "FRAME"})


class Pickled(NamedTuple):
    """A tensor as the pickle says it: in which storage, from which element on, how its elements are apart."""

    dtype: str
    storage: str
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """A class or function, by what it is called."""

    text: str


class _Storage(NamedTuple):
    dtype: str
    key: str


def tensors_of_pickle(content: bytes) -> tuple[list[tuple[str, Pickled]], tuple[str, ...]]:
    """The tensors in it with the path to each, joined by dots; and what else it names, cut. Raises `NotTensors`."""
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of texts that no Python would write so
            said = machine.run(content)
    except NotTensors:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotTensors(f"its pickle cannot be read: {type(error).__name__}") from None
    found: list[tuple[str, Pickled]] = []
    for number, (path, value) in enumerate(_leaves(said, "", 0)):
        if number >= MAX_VISITED or len(found) >= MAX_TENSORS:
            raise NotTensors("there is more in it than is read")
        if isinstance(value, Pickled):
            found.append((spelled(path), value))
    return found, tuple(sorted(machine.named)[:MAX_NAMED])


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Everything in nested dictionaries, lists and tuples. Raises `NotTensors` where they nest deeper than is read."""
    if depth > MAX_DEPTH:
        raise NotTensors(f"something in it nests deeper than {MAX_DEPTH} times")
    if isinstance(value, dict) or type(value) in (list, tuple):
        yield path, None
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            part = str(key)[:MAX_KEY]
            yield from _leaves(item, f"{path}.{part}" if path else part, depth + 1)
    else:
        yield path, value


class _Machine:
    """A pickle machine that knows values and no objects."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.named: set[str] = set()

    def run(self, content: bytes) -> Any:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if number >= MAX_OPCODES:
                raise NotTensors(f"its pickle has more than {MAX_OPCODES:,} opcodes")
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise NotTensors("its pickle does not end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name not in _SILENT:
            getattr(self, f"_{name.lower()}", self._unknown)(argument)

    def _unknown(self, _: Any) -> None:
        raise NotTensors("its pickle has an opcode that torch does not write")

    def _mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _taken(self) -> list[Any]:
        """What stands above the last mark."""
        taken, self.stack = self.stack, self.marked.pop()
        return taken

    def _tuple(self, _: Any) -> None:
        taken = self._taken()
        self.stack.append(tuple(taken))

    def _list(self, _: Any) -> None:
        taken = self._taken()
        self.stack.append(taken)

    def _dict(self, _: Any) -> None:
        taken = self._taken()
        self.stack.append({})
        self._put(taken)

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_set(self, _: Any) -> None:
        self.stack.append(None)

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._taken()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def _setitems(self, _: Any) -> None:
        self._put(self._taken())

    def _put(self, pairs: list[Any]) -> None:
        table = self.stack[-1]
        if isinstance(table, dict) and all(_may_be_a_key(each) for each in pairs[::2]):
            table.update(zip(pairs[::2], pairs[1::2], strict=True))
        elif table is not None:  # an object that is named is not looked into
            raise NotTensors("its pickle puts something where torch puts nothing")

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self._extend([value])

    def _appends(self, _: Any) -> None:
        self._extend(self._taken())

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)
        elif self.stack[-1] is not None:
            raise NotTensors("its pickle puts something where torch puts nothing")

    def _additems(self, _: Any) -> None:
        if not all(isinstance(each, _SIMPLE) for each in self._taken()):
            raise NotTensors("there is a set in it of more than simple values")

    def _global(self, argument: str) -> None:
        self._name(argument.replace(" ", ".", 1))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(f"{module}.{name}")

    def _name(self, text: str) -> None:
        self.stack.append(_Name(text))
        if text not in _KNOWN and not (text.startswith("torch.") and text.removeprefix("torch.") in _STORAGES):
            self.named.add("".join(each if each.isprintable() else "?" for each in text[:MAX_KEY]))

    def _binpersid(self, _: Any) -> None:
        said = self.stack.pop()
        if not isinstance(said, tuple) or said[:1] != ("storage",) or not isinstance(said[1], _Name):
            raise NotTensors("its pickle asks for something other than a storage")
        dtype = _STORAGES.get(said[1].text.rpartition(".")[2])
        self.stack.append(None if dtype is None else _Storage(dtype, str(said[2])))

    def _reduce(self, _: Any) -> None:
        given, called = self.stack.pop(), self.stack.pop()
        self.stack.append(_called(called, given))

    def _newobj(self, _: Any) -> None:
        given, kind = self.stack.pop(), self.stack.pop()
        self.stack.append(_empty(given) if kind == _Name(_DICTIONARY) else None)

    def _newobj_ex(self, _: Any) -> None:
        self.stack[-3:] = [None]

    def _build(self, _: Any) -> None:
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | None):  # of a tensor this would put other bytes in its place
            raise NotTensors("its pickle puts something where torch puts nothing")


def _may_be_a_key(value: Any) -> bool:
    if isinstance(value, int):
        return -_LARGEST_KEY < value < _LARGEST_KEY
    return value is None or isinstance(value, str | bytes)


def _empty(given: Any) -> dict[Any, Any]:
    if given != ():
        raise NotTensors("its pickle makes a dictionary in a way that torch does not write")
    return {}


def _called(called: Any, given: Any) -> Any:
    """What torch's own functions and an ordered dictionary make of what they are given; `None` of any other."""
    name = called.text if isinstance(called, _Name) else ""
    if name == _DICTIONARY:
        return _empty(given)
    if name == _PARAMETER:
        return given[0]
    if name != _TENSOR or not isinstance(given[0], _Storage):
        return None
    if len(given) not in (_ARGUMENTS, _ARGUMENTS + 1) or given[5] != {} or given[6:] not in ((), (None,), ({},)):
        raise NotTensors("its pickle says more of a tensor than is read")
    storage, first, shape, strides = given[:4]
    numbers = (first, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise NotTensors("its pickle says a tensor of no shape that can be")
    if not all(type(each) is int and 0 <= each < 1 << 62 for each in numbers):
        raise NotTensors("its pickle says a tensor of no size that can be")
    return Pickled(storage.dtype, storage.key, first, tuple(shape), tuple(strides))
