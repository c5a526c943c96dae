"""The only road to data: every public method of a resource takes a Permit of one Operation first, and claims it."""

import ast
import inspect
import textwrap
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from nomoat.core.operation import Operation, ReadFile, Resolved
from nomoat.core.permit import Permit
from tests.architecture.tree import modules

OPERATIONS = {
    operation.__name__: operation
    for operation in Operation.__subclasses__()
    if operation.__module__.startswith("nomoat.core.operation.")
}

# Public methods that give access to nothing and so need no permit, each with its reason. Besides these,
# a resolver (it returns `Resolved`: what a name means, for the guard to decide on) needs none.
EXEMPT = {
    "nomoat.resources.directory.directory.Declarations.listen": "tells the guard when to look again, and nothing else",
    "nomoat.resources.policies.Policies.listen": "the same",
    **dict.fromkeys(
        [f"nomoat.resources.inference.offers.Offers.{name}" for name in ("memorised", "targets", "of")],
        "says for resolvers what would be asked, and gives nothing out",
    ),
    "nomoat.resources.inference.weights.Weights.loaded": "says which version a server has loaded, and gives none of it out",
    "nomoat.resources.inference.answers.Answer.part": "is of an answer that a permit was claimed for, and asks it each time",
    "nomoat.resources.inference.answers.Answer.end": "ends that answer, and gives nothing out",
    "nomoat.resources.inference.answers.Answer.go_on": "is called for a permit to release it, and gives nothing out",
    "nomoat.resources.inference.inference.Inference.look": "says what is in a prompt that its sender has, and gives nothing out",
    "nomoat.resources.inference.inference.Inference.health": "is told by the gateway's status, which has a permit of its own",
    "nomoat.resources.inference.inference.Inference.close": "ends connections and stores what was counted, at the end",
    **dict.fromkeys(
        [
            f"nomoat.resources.inference.charging.Account.{name}"
            for name in ("answered", "feed", "settle", "refuse", "lose")
        ],
        "counts what passes, and gives nothing out",
    ),
    **dict.fromkeys(
        [
            "nomoat.resources.retrieval.retrieval.Retrieval.open",
            "nomoat.resources.retrieval.retrieval.Retrieval.read_file",
            "nomoat.resources.retrieval.collection.Collection.load",
            "nomoat.resources.retrieval.collection.Collection.prepare",
            "nomoat.resources.retrieval.collection.Collection.put",
            *(
                f"nomoat.resources.retrieval.{each}.{name}"
                for each in ("collection.Collection", "postgres.PostgresCollection")
                for name in ("is_fit", "fit", "at")
            ),
            "nomoat.resources.retrieval.collection.Collection.takes",
            "nomoat.resources.retrieval.opening.Opening.open",
        ],
        "brings documents into memory, for resolvers to say what there is, and gives none out",
    ),
    **dict.fromkeys(
        [
            f"nomoat.resources.retrieval.{each}.{name}"
            for each in ("collection.Collection", "postgres.PostgresCollection")
            for name in ("require", "change", "destroy")
        ],
        "keeps what a permit was claimed for, and gives nothing out",
    ),
    **dict.fromkeys(
        [
            f"nomoat.resources.retrieval.shut.Shut.{name}"
            for name in ("refuse", "is_fit", "fit", "at", "search", "names", "whole", "require", "change", "destroy")
        ],
        "stands for an index that cannot be had, and has nothing",
    ),
    "nomoat.resources.retrieval.retrieval.Retrieval.close": "lets go of connections, at the end",
    "nomoat.resources.retrieval.opening.Opening.close": "the same",
    "nomoat.resources.retrieval.opened.Opened.close": "the same",
    **dict.fromkeys(
        [
            f"nomoat.resources.retrieval.opened.Opened.{name}"
            for name in ("have", "find", "place", "read_by_policies", "is_open", "anew", "let_go", "changed", "lock")
        ],
        "says for resolvers which indexes are in memory, and gives nothing out",
    ),
    "nomoat.resources.retrieval.uploads.Uploads.of": "is what somebody uploaded in this session, for their own request",
    "nomoat.resources.retrieval.uploads.Uploads.forget": "lets go of what sessions that have ended had uploaded",
    "nomoat.resources.retrieval.collection.Table.scope": "says which rows an obligation of a permit means",
    **dict.fromkeys(
        [f"nomoat.resources.retrieval.retrieval.Retrieval.{name}" for name in ("declared", "grid_ms")],
        "is told to who parses a request or times its answer, and says what is declared",
    ),
    "nomoat.resources.repositories.lifecycle.Lifecycle.listen": "tells the guard what to cut, and nothing else",
    "nomoat.resources.repositories.publishing.Publishing.sign": "signs what a commit would leave, and makes none",
    "nomoat.resources.repositories.signatures.Signatures.require": "refuses what does not verify, and gives nothing out",
    "nomoat.resources.repositories.signatures.Signatures.require_version": "the same",
    "nomoat.resources.repositories.shredding.Shredder.listen": "tells the guard what to cut, and nothing else",
}


class Door(NamedTuple):
    """A public method of a public class, by its dotted name."""

    name: str
    function: Callable[..., object]


def doors(namespace: object, module: str) -> Iterator[Door]:
    """The public methods, of classes and static ones too, of the public classes that a module defines."""
    for class_name, defined in vars(namespace).items():
        if not inspect.isclass(defined) or defined.__module__ != module or class_name.startswith("_"):
            continue
        if getattr(defined, "_is_protocol", False):  # a port: what a resource needs, not what it offers
            continue
        for name, attribute in vars(defined).items():
            function = attribute.__func__ if isinstance(attribute, classmethod | staticmethod) else attribute
            if inspect.isfunction(function) and not name.startswith("_"):
                yield Door(f"{module}.{class_name}.{name}", function)


def permitted(function: Callable[..., object]) -> type[Operation] | None:
    """The Operation whose Permit a method's first parameter demands, if it does."""
    parameters = [name for name in inspect.signature(function).parameters if name not in {"self", "cls"}]
    hint = typing.get_type_hints(function).get(parameters[0]) if parameters else None
    if typing.get_origin(hint) is not Permit:
        return None
    (operation,) = typing.get_args(hint)
    return operation if operation in OPERATIONS.values() else None


def is_resolver(function: Callable[..., object]) -> bool:
    """Whether a method only says what a name means."""
    return typing.get_origin(typing.get_type_hints(function).get("return")) is Resolved


def claimed(function: Callable[..., object]) -> list[str]:
    """What a method's own body claims from its permit."""
    permit = next(name for name in inspect.signature(function).parameters if name not in {"self", "cls"})
    return [
        ast.unparse(node.args[0])
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{permit}.claim"
    ]


@pytest.fixture(scope="module")
def resources() -> list[Door]:
    """Every public method of every resource."""
    return [door for module in modules("nomoat.resources") for door in doors(module, module.__name__)]


def test_every_public_method_demands_a_permit(resources: list[Door]) -> None:
    without = {door.name for door in resources if not permitted(door.function) and not is_resolver(door.function)}
    assert without == set(EXEMPT)


def test_every_method_claims_the_permit_that_it_demands_once(resources: list[Door]) -> None:
    wrong = {
        door.name: claims
        for door in resources
        if (operation := permitted(door.function)) and (claims := claimed(door.function)) != [operation.__name__]
    }
    assert wrong == {}


def test_every_operation_is_served_by_exactly_one_method(resources: list[Door]) -> None:
    served = Counter(operation.__name__ for door in resources if (operation := permitted(door.function)))
    assert served == dict.fromkeys(OPERATIONS, 1)


class Leaky:
    """A resource as it must not be."""

    def by_name(self, path: str) -> bytes:
        """Take coordinates from the caller."""
        return path.encode()

    async def of_anything(self, permit: Permit[Operation]) -> bytes:
        """Take a permit of no kind."""
        return permit.receipt.leaf

    def permit_second(self, path: str, permit: Permit[ReadFile]) -> bytes:
        """Let the caller say more than the permit does."""
        return path.encode() + permit.receipt.leaf

    @staticmethod
    def beside() -> bytes:
        """Stand beside the road."""
        return b""

    def unclaimed(self, permit: Permit[ReadFile]) -> bytes:
        """Never spend the permit."""
        return permit.receipt.leaf

    def resolve(self, operation: ReadFile) -> Resolved[ReadFile]:
        """Say what a name means: allowed."""
        return Resolved(operation, ())


def test_a_method_without_a_permit_is_found() -> None:
    namespace = type("Namespace", (), {"Leaky": Leaky})
    found = list(doors(namespace, Leaky.__module__))
    unguarded = [
        door.function.__name__ for door in found if not permitted(door.function) and not is_resolver(door.function)
    ]
    assert unguarded == ["by_name", "of_anything", "permit_second", "beside"]
    assert claimed(Leaky.unclaimed) == []
