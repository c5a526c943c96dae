"""What is known of the values of a pickle while it is followed: globals, what calls made, texts, numbers, containers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from nomoat.inspection.allowed import Kind
from nomoat.inspection.content import Malformed
from nomoat.inspection.opcodes import Long

LARGEST_SIZE: Final = 1 << 20  # that a call may make out of a number


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that a pickle names. `kind` is None where it is not allowed."""

    module: str
    name: str
    kind: Kind | None


@dataclass(frozen=True, slots=True)
class Made:
    """What a call returned. `state` is the list that holds the last state it was given, if any."""

    by: Global | None
    arguments: tuple[object, ...]
    state: list[object] = field(default_factory=list[object])


def is_usual(called: Global, arguments: tuple[object, ...]) -> bool:
    """Whether an allowed global is called as libraries call it."""
    usual = _USUAL.get(called.kind or Kind.DATA, _takes_values)
    return usual(called, arguments)


def _is_named_only(called: Global, arguments: tuple[object, ...]) -> bool:
    return not arguments and called.name in {"object", "ndarray"}


def _takes_type_first(_: Global, arguments: tuple[object, ...]) -> bool:
    rest = (each for each in arguments[1:] if not (isinstance(each, Global) and each.name == "object"))
    return not arguments or (isinstance(arguments[0], Global) and not any(isinstance(each, Global) for each in rest))


def _takes_contents(_: Global, arguments: tuple[object, ...]) -> bool:
    return all(isinstance(each, (str, bytes, list, tuple, dict, set, Long)) for each in arguments)


def _encodes(_: Global, arguments: tuple[object, ...]) -> bool:
    encoding = arguments[1] if len(arguments) == 2 else ""
    return isinstance(arguments[0] if arguments else None, (str, Long)) and encoding in {"latin1", "latin-1", "utf-8"}


def _takes_values(called: Global, arguments: tuple[object, ...]) -> bool:
    if called.name == "range":
        return all(isinstance(each, int) and abs(each) <= LARGEST_SIZE for each in arguments)
    if called.module == "builtins" and called.name in {"int", "str"}:
        return all(isinstance(each, (int, str, float)) for each in arguments)
    functions = (each for each in arguments if isinstance(each, Global) and each.kind is not Kind.DATA)
    return called.name.startswith("_rebuild") or all(each.name == "OrderedDict" for each in functions)


_USUAL: Final[dict[Kind, Callable[[Global, tuple[object, ...]], bool]]] = {
    Kind.DATA: _is_named_only,
    Kind.SUBTYPE: _takes_type_first,
    Kind.SIZED: _takes_contents,
    Kind.ENCODE: _encodes,
}


def tuple_of(value: object) -> tuple[object, ...] | None:
    """A value if it is a tuple."""
    return cast("tuple[object, ...]", value) if isinstance(value, tuple) else None


def mapping_of(value: object) -> dict[str, object]:
    """A value if it is a dictionary of which the texts among the keys are known, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def paired(values: list[object]) -> dict[str, object]:
    """Keys and values; of the keys, texts are kept."""
    if len(values) % 2:
        raise Malformed("a key without a value")
    return {key: value for key, value in zip(values[::2], values[1::2], strict=True) if isinstance(key, str)}


def shown(value: object) -> str:
    """A value as a finding names it."""
    if isinstance(value, Global):
        return f"{value.module}.{value.name}"
    if isinstance(value, Made):
        return f"what {shown(value.by)} made" if value.by else "what a call made"
    return repr(value[:40]) if isinstance(value, (str, bytes)) else type(value).__name__


def itemsize(dtype: object) -> int | None:
    """The bytes of one item of a `numpy.dtype` that a pickle made; 0 for objects, None if it cannot be told."""
    if not isinstance(dtype, Made) or dtype.by is None or (dtype.by.module, dtype.by.name) != ("numpy", "dtype"):
        return None
    named = dtype.arguments[0] if dtype.arguments else None
    state = (tuple_of(dtype.state[0]) if dtype.state else None) or ()
    if len(state) >= 7 and isinstance(state[5], int) and state[5] >= 0:
        return state[5]
    return itemsize_of(named) if isinstance(named, str) else None


def holds_objects(dtype: object) -> bool:
    """Whether it is a type of objects, or of fields of which one may be."""
    if not isinstance(dtype, Made) or not dtype.arguments:
        return True
    state = (tuple_of(dtype.state[0]) if dtype.state else None) or ()
    flags = state[7] if len(state) > 7 else 0
    named = dtype.arguments[0]
    return not isinstance(named, str) or named.lstrip("<>=|")[:1] == "O" or bool(isinstance(flags, int) and flags & 1)


def itemsize_of(code: str) -> int | None:
    """The bytes of one item of a NumPy type by its code, as '<f8'; 0 for objects, None if it cannot be told."""
    code = code.lstrip("<>=|")
    if code[:1] == "O":
        return 0
    if code in {"b", "?", "B"}:
        return 1
    digits = code[1:].partition("[")[0]  # '<M8[ns]'
    if code[:1] not in set("biufcmMSUVa") or not digits.isdecimal() or not digits.isascii() or len(digits) > 9:
        return None
    return int(digits) * (4 if code[0] == "U" else 1)
