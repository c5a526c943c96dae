"""What a request only names: what a server kept, and addresses that a server would go to for a client.

Rules: only what protocols have for it counts, not what a tool's arguments or its schema call so. What a server kept may be
another caller's, as the gateway's credential is one for all; what an address has in it is told to who answers there.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from nomoat.core.inference import Call

_KEPT: Final = {
    Call.RESPONSE: ("previous_response_id", "conversation", "background", "prompt"),
    Call.MESSAGE: ("container",),
}
_REFERENCE: Final = "item_reference"  # the type of an input of Responses that stands for one; it may be left out
_FILES: Final = ("file_id", "file_ids", "vector_store_ids", "container_id", "skill_id")
_SAID: Final = frozenset({"code_execution_output", "bash_code_execution_output"})
"""What tells of a file that a server made, and asks for none."""
_FETCHED: Final = ("image_url", "file_url", "video_url", "audio_url")
_CALLED: Final = ("server_url", "connector_id")  # of a tool that the server calls
_OWN: Final = frozenset({None, "function", "custom"})  # types of tools that the client runs
_DATA: Final = "data:"
_GIVEN: Final = ("messages", "input", "system")
_WITHIN: Final = ("content", "output")
_PLAIN: Final = frozenset(
    {"role", "content", "type", "text", "name", "id", "tool_calls", "tool_call_id", "tool_use_id", "call_id"}
    | {"output", "arguments", "input", "is_error", "cache_control", "status", "annotations", "thinking", "signature"}
)

_VERSION: Final = re.compile(r"20\d\d-[01]\d-[0-3]\d", re.ASCII)
_TEXT: Final = {Call.COMPLETION: "prompt", Call.EMBEDDING: "input"}

Object = Mapping[str, object]


def kept(call: Call, body: Object) -> str:
    """The field of a request that stands for what a server keeps, or has it keep more; '' without one."""
    named = next((name for name in _KEPT.get(call, ()) if body.get(name)), "")
    if not named and call is Call.RESPONSE and any(map(_refers, _objects(body.get("input")))):
        named = _REFERENCE
    return named or next((name for part in _parts(body) if (name := _file(part))), "")


def fetched(body: Object) -> str:
    """The field of a request with an address that a server would read; '' without one."""
    return next((name for part in _parts(body) if (name := _address(part))), "")


def called(body: Object) -> str:
    """The field of a request with a server that the model would call; '' without one."""
    if body.get("mcp_servers"):
        return "mcp_servers"
    return next((name for tool in _tools(body.get("tools")) for name in _CALLED if tool.get(name)), "")


def is_version(value: str) -> bool:
    """Whether a header has a date, as Anthropic's versions are named, and so nothing that is looked for."""
    return _VERSION.fullmatch(value) is not None


def tokens(call: Call, body: Object) -> bool:
    """Whether a request has numbers of tokens in the place of a text, in which nothing can be found."""
    if body.get("prompt_token_ids") or body.get("prompt_embeds"):  # of vLLM
        return True
    given = body.get(_TEXT.get(call, ""))
    return isinstance(given, list) and any(isinstance(each, (int, float, list)) for each in cast("list[object]", given))


def _objects(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield cast("dict[str, object]", value)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            if isinstance(each, dict):
                yield cast("dict[str, object]", each)


def _refers(item: Object) -> bool:
    """Whether an item is nothing but the name of one: what else it has is empty."""
    if item.get("type") == _REFERENCE or item.keys() <= {"id", "type"}:
        return True
    return bool(item.get("id")) and all(not value or name in {"id", "type", "status"} for name, value in item.items())


def _parts(body: Object) -> Iterator[dict[str, object]]:
    """Messages, what they are made of, the results of tools among them, and what the server's own tools are told.

    What has nothing but text and names is left out: nearly all has not.
    """
    left = [
        cast("list[object]", given) if isinstance(given, list) else [cast("object", given)]
        for name in _GIVEN
        if isinstance(given := body.get(name), (list, dict))
    ]
    while left:
        for part in left.pop():
            if isinstance(part, dict):
                part = cast("dict[str, object]", part)
                for within in _WITHIN:
                    held = part.get(within)
                    if isinstance(held, (list, dict)):
                        left.append(cast("list[object]", held) if isinstance(held, list) else [held])
                if not part.keys() <= _PLAIN:
                    yield part
    if given := body.get("tools"):
        yield from _tools(given)


def _tools(given: object) -> Iterator[dict[str, object]]:
    """Tools, and whatever is declared of those that the server runs."""
    left = list(_objects(given))
    while left:
        each = left.pop()
        yield each
        if each.get("type") in _OWN:  # what follows is a schema, in which a parameter may be called so
            continue
        for value in each.values():
            if isinstance(value, dict):
                left.append(cast("dict[str, object]", value))
            elif isinstance(value, list):  # tools may be grouped
                left += _objects(cast("object", value))


def _file(part: Object) -> str:
    if part.get("type") in _SAID:
        return ""
    for name in _FILES:
        if part.get(name):
            return name
    for holder in ("file", "source"):
        held = part.get(holder)
        if isinstance(held, dict) and cast("Object", held).get("file_id"):
            return "file_id"
    audio = part.get("audio")
    if isinstance(audio, dict) and cast("Object", audio).get("id"):
        return "audio"
    return "container" if isinstance(part.get("container"), str) else ""


def _address(part: Object) -> str:
    for name in _FETCHED:
        value = part.get(name)
        url = cast("Object", value).get("url") if isinstance(value, dict) else value
        if isinstance(url, str) and url and not url.startswith(_DATA):
            return name
    source = part.get("source")
    return "source" if isinstance(source, dict) and cast("Object", source).get("url") else ""
