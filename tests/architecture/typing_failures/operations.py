"""An operation is made whole, from parsed names, and stays as it was decided."""

from nomoat.core.connection import Bearer, Connection, Presented
from nomoat.core.names import RepositoryName
from nomoat.core.operation import Operation, ReadFile, Resolved, Target


def names_are_parsed_before_they_are_used(repository: RepositoryName) -> list[ReadFile]:
    return [
        ReadFile("acme/digits", "main", "train.parquet"),  # E: arg-type
        ReadFile(repository, "main"),  # E: call-arg
        ReadFile(repository, "main", b"train.parquet"),  # E: arg-type
        ReadFile(repository, "main", "train.parquet"),
    ]


def nothing_moves_after_the_decision(operation: ReadFile, resolved: Resolved[ReadFile], target: Target) -> None:
    operation.path = "other.parquet"  # E: misc
    resolved.operation = operation  # E: misc
    resolved.coordinates["blob"] = "other"  # E: index
    target.classification = target.classification.PUBLIC  # E: misc


def an_operation_of_no_kind_names_no_file(operation: Operation) -> object:
    return operation.path  # E: attr-defined


def a_credential_says_what_it_is(connection: Connection, token: str) -> list[Presented]:
    return [
        Presented(connection, token, "hub", "GET"),  # E: arg-type
        Presented(connection, Bearer(token), "hub", "GET"),
    ]
