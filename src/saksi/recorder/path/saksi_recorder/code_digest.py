"""What a piece of Python code is, as one digest, and what a default is, in words that are the same in every process.

Rules: standard library alone and nothing of this package, because the agent hands this very file to the interpreter
that compiles the sources; what only tells where code stands (file, lines, columns) is no part of a digest; the bytecode
is the one that the compiler made, whatever the interpreter has specialised or instrumented since.
"""

from __future__ import annotations

import hashlib
from types import CodeType
from typing import Any

MAX_DEPTH = 64  # of code in code, and of tuples among its constants: compilers nest less, and a stack is finite
MAX_WORDS = 80  # of a value; longer ones are said by their digest
LONG = 4096  # bits of an integer: of longer ones Python spells out no decimal digits
MAX_ITEMS = 32  # of a tuple that counts as a literal, and of each one in it
DEEPEST = 3
MAX_LITERAL = 4096  # characters or bytes of a text: a program may keep a whole data set in a cell of a closure

_PLAIN = frozenset(map(id, (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))))
"""By number: to look a class itself up is to ask its metaclass for a hash."""
_MODULE: Any = type.__dict__["__module__"].__get__
_QUALNAME: Any = type.__dict__["__qualname__"].__get__


def code_digest(code: CodeType) -> str:
    """The first 128 bits of SHA-256, in hexadecimal. Raises `ValueError` for what no compiler makes."""
    return _hashed(b"saksi.code/v1\n", _form(code, 0))


def _form(code: CodeType, depth: int) -> tuple[Any, ...]:
    """Code as constants and tuples of them, whose ASCII spelling is the same in every process and of nothing else."""
    return (
        code.co_name,
        getattr(code, "co_qualname", ""),
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        code.co_code,  # the property undoes what the interpreter did to it
        getattr(code, "co_exceptiontable", b""),
        tuple([_constant(each, depth) for each in code.co_consts]),
    )


def _constant(value: Any, depth: int) -> Any:
    """A constant as it is, if that is plain; anything else as a tuple whose first part says what it was."""
    kind = type(value)
    if id(kind) in _PLAIN:
        return ("int", hex(value)) if kind is int and value.bit_length() > LONG else value
    if depth > MAX_DEPTH:
        raise ValueError("nested deeper than compilers do")
    if kind is CodeType:
        return ("code", _form(value, depth + 1))
    if kind is tuple:
        return ("tuple", tuple([_constant(each, depth + 1) for each in value]))
    if kind is frozenset:  # in an order of its own in every process
        return ("set", tuple(sorted([ascii(_constant(each, depth + 1)) for each in value])))
    if kind is slice:
        return ("slice", tuple([_constant(each, depth + 1) for each in (value.start, value.stop, value.step)]))
    raise ValueError("a constant of another class")


def _hashed(what: bytes, form: Any) -> str:
    return hashlib.sha256(what + ascii(form).encode("ascii")).hexdigest()[:32]


def is_literal(value: Any, depth: int = 0) -> bool:
    """Whether a value is one that source spells out: a constant that is not huge, or a few of them together."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) <= MAX_LITERAL
    if kind is int:
        return bool(value.bit_length() <= 8 * MAX_LITERAL)
    if id(kind) in _PLAIN:
        return True
    if kind is tuple and depth < DEEPEST and len(value) <= MAX_ITEMS:
        return all(is_literal(each, depth + 1) for each in value)
    return False


def described(value: Any) -> str:
    """A literal as source says it, or its digest where that is long; of anything else the name of its class."""
    if not is_literal(value):
        names = [_MODULE(type(value)), _QUALNAME(type(value))]
        module, name = [str.__str__(one) if issubclass(type(one), str) else "" for one in names]
        return ("<%s.%s>" % (module, name))[:MAX_WORDS]
    try:
        words = ascii(value)
    except ValueError:  # an integer of more digits than Python spells out
        words = ascii(_constant(value, 0))
    return words if len(words) <= MAX_WORDS else "sha256:" + _hashed(b"saksi.value/v1\n", words)
