"""Pickles: followed operation by operation, on a stack and a memo that hold what is known of each value.

Rules: nothing is imported, called or built. Clean is only a pickle that was followed to its end, that names nothing
but what `allowed` lists, and that uses it as libraries do. What cannot be followed is not clean.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from nomoat.core.verdict import Finding
from nomoat.inspection.allowed import Kind, classify
from nomoat.inspection.content import Bytes, Exhausted, Inspection, Malformed
from nomoat.inspection.opcodes import Long, Operation, Reader
from nomoat.inspection.values import (
    Global,
    Made,
    holds_objects,
    is_usual,
    itemsize,
    mapping_of,
    paired,
    shown,
    tuple_of,
)

_MOST_MEMO: Final = 2_000_000
_MOST_STACK: Final = 2_000_000


class _Mark:
    """Where a group of values begins on the stack."""


_MARK: Final = _Mark()
_UNKNOWN: Final = object()


@dataclass(slots=True)
class Followed:
    """What is known of a pickle that was followed: where it ended, what it returned, what it referred to."""

    end: int = 0
    value: object = None
    persistent: list[object] = field(default_factory=list[object])
    named: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    arrays: bool = False  # raw data of arrays lies between the operations, as joblib writes it
    called: int = 0  # how often something was called that is not allowed, or that is no global
    operations: int = 0


class Interpreter:
    """Follows one pickle. `persistent` says that references are to be expected, as in a checkpoint."""

    def __init__(
        self, content: Bytes, inspection: Inspection, reader: Reader | None = None, *, persistent: bool = False
    ) -> None:
        self.followed = Followed()
        self._content = content
        self._inspection = inspection
        self._reader = reader or Reader(content)
        self._persistent = persistent
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def follow(self) -> Followed:
        """Follow the pickle to its end. Raises `Malformed` or `Exhausted`; what was found until then stays found."""
        budget, stack = self._inspection.budget, self._stack
        for operation in self._reader:
            self.followed.operations += 1
            budget.opcodes -= 1
            if budget.opcodes < 0 or len(stack) > _MOST_STACK or len(self._memo) > _MOST_MEMO:
                self._inspection.find("pickle.budget", f"{self.followed.operations} operations")
                raise Exhausted("a pickle that goes on and on")
            try:
                self._take(operation)
            except IndexError:
                raise Malformed(f"the stack is empty at byte {operation.at}") from None
        self.followed.end = self._reader.at
        return self.followed

    def _take(self, operation: Operation) -> None:
        code, argument = operation.code, operation.argument
        if code in _PUSHED:
            self._stack.append(_PUSHED[code](argument))
        elif code in _GROUPS:
            self._group(code)
        elif code in _CALLS:
            self._call_of(code, argument)
        elif code in b"qrp\x94":
            self._put(len(self._memo) if code == 0x94 else int(str(argument)))
        elif code in b"hjg":
            index = int(str(argument))
            if index not in self._memo:
                raise Malformed(f"memo {index} is empty at byte {operation.at}")
            self._stack.append(self._memo[index])
        elif code == 0x2E:
            self._stop(operation)
        else:
            self._odd(code, argument)

    def _stop(self, operation: Operation) -> None:
        self.followed.value = self._pop()
        if self._stack:
            # Loaders ignore what is left; no library leaves any.
            raise Malformed(f"{len(self._stack)} values are left at byte {operation.at}")

    def _odd(self, code: int, argument: object) -> None:
        """What is none of a value, a group, a call or the memo."""
        if code == 0x30:  # POP also takes a mark
            self._stack.pop()
        elif code == 0x32:
            self._stack.append(self._top())
        elif code == 0x31:
            self._marked()
        elif code == 0x80:
            if not isinstance(argument, int) or argument > 5:
                raise Malformed(f"protocol {argument}")
        elif code != 0x95:
            self._from_outside(code, argument)

    def _from_outside(self, code: int, argument: object) -> None:
        """Extension codes, buffers and references: what they mean does not stand in the pickle."""
        find = self._inspection.find
        if code in {0x50, 0x51}:  # PERSID, BINPERSID
            reference = argument if code == 0x50 else self._pop()
            self.followed.persistent.append(reference)
            if not self._persistent:
                find("pickle.persistent-id", reference if isinstance(reference, str) else "")
        elif code in {0x82, 0x83, 0x84}:
            find("pickle.extension", f"extension code {argument}")
        else:
            find("pickle.out-of-band")
            if code == 0x98:  # READONLY_BUFFER changes the one on the stack
                return
        self._stack.append(_UNKNOWN)

    def _pop(self) -> object:
        value = self._stack.pop()
        if value is _MARK:
            raise Malformed("a mark where a value is wanted")
        return value

    def _top(self) -> object:
        if self._stack[-1] is _MARK:
            raise Malformed("a mark where a value is wanted")
        return self._stack[-1]

    def _marked(self) -> list[object]:
        """The values since the last mark, which goes too."""
        stack = self._stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is _MARK:
                values = stack[place + 1 :]
                del stack[place:]
                return values
        raise Malformed("no mark")

    def _put(self, index: int) -> None:
        if not 0 <= index <= _MOST_MEMO:
            self._inspection.find("pickle.budget", f"memo {index}")
            raise Exhausted(f"memo {index}")
        self._memo[index] = self._top()

    def _group(self, code: int) -> None:
        """Tuples, lists, dictionaries and sets."""
        stack = self._stack
        if code in b"\x85\x86\x87":  # TUPLE1 to TUPLE3
            count = code - 0x84
            values = stack[-count:]
            if len(values) < count or any(value is _MARK for value in values):
                raise Malformed("too few values for a tuple")
            stack[-count:] = [tuple(values)]
        elif code == 0x74:
            stack.append(tuple(self._marked()))
        elif code == 0x6C:
            stack.append(self._marked())
        elif code == 0x64:
            stack.append(paired(self._marked()))
        elif code == 0x91:
            self._marked()
            stack.append(set[object]())
        elif code == 0x61:  # APPEND
            values = [self._pop()]
            self._changed(values)
        elif code in b"e\x90":
            values = self._marked()
            self._changed(values)
        else:  # SETITEM, SETITEMS
            values = self._marked() if code == 0x75 else [self._pop(), self._pop()][::-1]
            target = self._top()
            self._changed([])
            if isinstance(target, dict):
                cast("dict[str, object]", target).update(paired(values))

    def _changed(self, values: list[object]) -> None:
        target = self._top()
        if isinstance(target, list):
            cast("list[object]", target).extend(values)
        elif isinstance(target, (Global, str, int, bytes, Long)) or tuple_of(target) is not None:
            self._inspection.find("pickle.suspicious-call", f"changes {shown(target)}")

    # -- globals and calls

    def _call_of(self, code: int, argument: object) -> None:
        stack = self._stack
        if code == 0x63:  # GLOBAL
            stack.append(self._global(*_names(argument)))
        elif code == 0x93:  # STACK_GLOBAL
            name, module = self._pop(), self._pop()
            stack.append(self._global(module, name))
        elif code == 0x69:  # INST
            values = tuple(self._marked())
            stack.append(self._call(self._global(*_names(argument)), values))
        elif code == 0x6F:  # OBJ
            values = tuple(self._marked())
            if not values:
                raise Malformed("OBJ without a class")
            stack.append(self._call(values[0], values[1:]))
        elif code == 0x62:
            self._build()
        else:  # REDUCE, NEWOBJ, NEWOBJ_EX
            named = self._pop() if code == 0x92 else None
            given = self._arguments(self._pop())
            stack.append(self._call(self._pop(), (*given, named) if named else given))

    def _arguments(self, given: object) -> tuple[object, ...]:
        """The arguments of a call. A call may have made them: then they can be a tuple, and go on."""
        if isinstance(given, Made) or given is _UNKNOWN:
            self._inspection.find("pickle.suspicious-call", f"calls with {shown(given)}")
            return (given,)
        found = tuple_of(given)
        if found is None:
            raise Malformed("a call whose arguments are no tuple")
        return found

    def _global(self, module: object, name: object) -> object:
        if not isinstance(module, str) or not isinstance(name, str):
            self._inspection.find("pickle.unresolved-global", f"{shown(module)} {shown(name)}")
            return _UNKNOWN
        rule, kind, today = classify(module, name)
        if rule is not None and (module, name) not in self.followed.named:
            self._inspection.find(rule, f"{module}.{name}")
        self.followed.named.add((module, name))
        return Global(*today, kind)

    def _call(self, called: object, arguments: tuple[object, ...]) -> Made:
        if not isinstance(called, Global):
            self.followed.called += 1
            self._inspection.find("pickle.suspicious-call", f"calls {shown(called)}")
            return Made(None, ())
        if called.kind is None:
            self.followed.called += 1
        elif not is_usual(called, arguments):
            self._inspection.find("pickle.suspicious-call", f"{shown(called)}({', '.join(map(shown, arguments[:4]))})")
        return Made(called, arguments)

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if not isinstance(target, Made):
            self._inspection.find("pickle.suspicious-call", f"sets the state of {shown(target)}")
            return
        for part in tuple_of(state) or (state,):
            collection = isinstance(part, Made) and part.by is not None and part.by.module == "collections"
            if collection or any(key.startswith("__") for key in mapping_of(part)):
                self._inspection.find("pickle.suspicious-call", f"sets internals of {shown(target)}")
        target.state[:] = [state]
        if target.by is not None and target.by.kind is Kind.ARRAY:
            self._stack[-1] = self._array(state)

    def _array(self, state: object) -> Made:
        """Data of an array, which joblib writes where its wrapper's state was set."""
        held = mapping_of(state)
        if not self.followed.arrays:
            self.followed.arrays = True
            self._as_plain_pickle()
        shape, dtype, alignment = (
            tuple_of(held.get("shape")),
            held.get("dtype"),
            held.get("numpy_array_alignment_bytes"),
        )
        size = itemsize(dtype)
        if size is None or shape is None:
            raise Malformed("an array of joblib of no known type")
        if holds_objects(dtype):  # a pickle of its own
            Interpreter(self._content, self._inspection, self._reader).follow()
            return Made(None, ())
        if alignment is not None:
            self._reader.pass_over(1 + self._content.at(self._reader.at, 1)[0])
        for length in shape:
            if not isinstance(length, int) or length < 0:
                raise Malformed("an array of joblib of no known shape")
            size *= length
        self._reader.pass_over(size)
        return Made(None, ())

    def _as_plain_pickle(self) -> None:
        """What `pickle.load` would make of the data: it does not know joblib's arrays and takes them for operations."""
        aside = self._inspection.aside()
        plain = Interpreter(self._content, aside, Reader(self._content, self._reader.at))
        plain._stack, plain._memo = list(self._stack), dict(self._memo)
        with contextlib.suppress(Malformed, Exhausted):
            plain.follow()
        self._inspection.found.extend(each for each in aside.found if names_something(each) is True)


def names_something(finding: Finding) -> bool | None:
    """Whether a finding is of a name that may exist; None where it is of no name.

    Bytes of an array, and lines of a text, can look like a global of a module that no import finds.
    """
    if finding.rule not in {"pickle.dangerous-global", "pickle.unknown-global", "pickle.dotted-name"}:
        return None
    return all(part.isidentifier() for part in finding.what.split("."))


def _names(argument: object) -> tuple[object, ...]:
    return tuple_of(argument) or (None, None)


def _same(argument: object) -> object:
    return argument


_PUSHED: Final[dict[int, Callable[[object], object]]] = {
    **dict.fromkeys(b"KMJ\x8a\x8bILGFSVTUBC\x8e\x96X\x8c\x8d", _same),
    0x28: lambda _: _MARK,
    0x4E: lambda _: None,
    0x88: lambda _: True,
    0x89: lambda _: False,
    0x29: lambda _: (),
    0x5D: lambda _: list[object](),
    0x7D: lambda _: dict[str, object](),
    0x8F: lambda _: set[object](),
}
_GROUPS: Final = b"\x85\x86\x87tld\x91ae\x90su"
_CALLS: Final = b"c\x93ioR\x81\x92b"
