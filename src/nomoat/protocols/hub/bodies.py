"""Bodies of the Hub's smaller requests → the parts of Operations; what only the Hub knows is ignored."""

import asyncio
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import parse_qsl

import orjson

from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, RepositoryName, parse_digest, parse_path, parse_repository_name
from nomoat.protocols.http.exchange import JSON_LIMIT, Exchange
from nomoat.protocols.http.fields import text, whole
from nomoat.protocols.hub.commits import LARGEST_FILE
from nomoat.protocols.hub.ignoring import LONGEST_TEXT, IgnoreRules

MOST_PLANNED: Final = 256  # files in one preupload request, as the Hub has it
MOST_GRANTED: Final = 1000  # objects in one LFS batch request
MOST_PATHS: Final = 1000  # paths in one paths-info request, as the Hub has it


async def parse_named(exchange: Exchange) -> RepositoryName:
    """The repository that `create_repo` or `delete_repo` names. Raises `Malformed` for kinds that there are not here."""
    body = await exchange.json()
    kind = _kind(body)
    if not isinstance(body.get("organization"), str):
        raise Malformed("name the repository with its namespace, as namespace/name")
    named = f"{text(body, 'organization', longest=128)}/{text(body, 'name', longest=128)}"
    return parse_repository_name(kind, named)


async def parse_card(exchange: Exchange) -> str:
    """The README.md that a client asks about. For which kind of repository it is makes no difference here."""
    return text(await exchange.json(), "content", longest=JSON_LIMIT)


async def parse_move(exchange: Exchange) -> RepositoryName:
    """The repository that `move_repo` is to move."""
    body = await exchange.json()
    return parse_repository_name(_kind(body), text(body, "fromRepo", longest=256))


def _kind(body: Mapping[str, object]) -> RepositoryKind:
    kind = text(body, "type", RepositoryKind.MODEL, longest=32) if body.get("type") is not None else "model"
    if kind not in set(RepositoryKind):
        raise Malformed(f"there are datasets and models here, no {kind!r:.40}")
    return RepositoryKind(kind)


async def parse_preupload(exchange: Exchange) -> tuple[tuple[tuple[str, int], ...], list[str]]:
    """The (path, size in bytes) of files that are to be uploaded, and the paths that are to be left out."""
    body = await exchange.json()
    listed = _objects(body, "files", MOST_PLANNED)
    rules = IgnoreRules(text(body, "gitIgnore", longest=LONGEST_TEXT) if body.get("gitIgnore") is not None else "")
    planned: list[tuple[str, int]] = []
    ignored: list[str] = []
    for file in listed:
        path, size = parse_path(text(file, "path", longest=512)), whole(file, "size", least=0, most=LARGEST_FILE)
        if rules.ignores(path):
            ignored.append(path)
        else:
            planned.append((path, size))
        await asyncio.sleep(0)  # many rules on many files must not starve small requests
    return tuple(planned), ignored


async def parse_batch(exchange: Exchange) -> tuple[tuple[str, int], ...]:
    """The (SHA-256, size in bytes) of contents that are to be uploaded (Git LFS API, `batch`)."""
    body = await exchange.json()
    if text(body, "operation", longest=32) != "upload":
        raise Malformed("LFS contents are downloaded by their path, not by their digest")
    if text(body, "hash_algo", "sha256", longest=32) != "sha256":
        raise Malformed("contents are named by their SHA-256")
    listed = _objects(body, "objects", MOST_GRANTED)
    contents = {
        (parse_digest(text(each, "oid", longest=64)), whole(each, "size", least=0, most=LARGEST_FILE))
        for each in listed
    }
    return tuple(sorted(contents))


async def parse_paths(exchange: Exchange) -> tuple[list[str], bool]:
    """The paths of a paths-info request, a form or JSON, and whether more is to be said of them (`expand`)."""
    body = await exchange.body(JSON_LIMIT)
    listed: object
    expand: object
    try:
        if (exchange.header("content-type") or "").startswith("application/json"):
            parsed: object = orjson.loads(body)
            said = cast("dict[str, object]", parsed) if isinstance(parsed, dict) else {}
            listed, expand = said.get("paths"), said.get("expand")
            listed = [listed] if isinstance(listed, str) else listed
        else:
            fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_PATHS + 8)
            listed = [value for name, value in fields if name == "paths"]
            expand = dict(fields).get("expand", "").lower() in {"true", "1"}
    except ValueError:
        raise Malformed("the body is neither a form nor JSON") from None
    paths = cast("list[object]", listed) if isinstance(listed, list) else []
    texts = [path for path in paths if isinstance(path, str)]
    if not isinstance(listed, list) or len(texts) != len(paths) or len(paths) > MOST_PATHS:
        raise Malformed(f"paths is a list of at most {MOST_PATHS} texts")
    return texts, expand is True


def _objects(body: Mapping[str, object], name: str, most: int) -> list[Mapping[str, object]]:
    value = body.get(name)
    listed = cast("list[object]", value) if isinstance(value, list) else []
    objects = [cast("Mapping[str, object]", each) for each in listed if isinstance(each, dict)]
    if not isinstance(value, list) or len(objects) != len(listed) or len(listed) > most:
        raise Malformed(f"{name} is a list of at most {most} objects")
    return objects
