"""Who is sent the log: the `[[forward]]` tables of `nomoat.toml`, read strictly.

Rules: a token never stands in the configuration: it has a file of its own outside the data directory,
which its owner alone may read. Without encryption the log goes no further than this machine.
"""

import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from nomoat.core.errors import Malformed, Unavailable
from nomoat.stores.keys import read_secret

KINDS: Final = ("otlp", "splunk", "syslog")
MOST: Final = 16
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FIELDS: Final = frozenset({"name", "kind", "url", "token_file", "ca", "query", "acknowledge"})
_SCHEMES: Final = {"otlp": ("https", "http"), "splunk": ("https", "http"), "syslog": ("tls", "tcp")}
_PORTS: Final = {"https": 443, "http": 80, "tls": 6514, "tcp": 601}  # RFC 5425, RFC 6587


@dataclass(frozen=True, slots=True)
class Forward:
    """One receiver: its name, which protocol it speaks (`KINDS`), its address, and which records it gets.

    `token_file` and `ca` are None where there is none; `acknowledge` is Splunk's indexer acknowledgement.
    """

    name: str
    kind: str
    url: str
    token_file: Path | None = None
    ca: Path | None = None
    query: str = ""
    acknowledge: bool = True

    @property
    def host(self) -> str:
        """Where it is, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """At which port."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def secure(self) -> bool:
        """Whether it is verified and spoken to in TLS."""
        return urlsplit(self.url).scheme in {"https", "tls"}

    @property
    def place(self) -> str:
        """Host and port: what may be recorded of its address."""
        return f"{self.host}:{self.port}"

    def dump(self) -> list[str]:
        """The lines of its table in `nomoat.toml`."""
        texts = {"name": self.name, "kind": self.kind, "url": self.url, "query": self.query}
        texts |= {"token_file": str(self.token_file or ""), "ca": str(self.ca or "")}
        lines = [f"{field} = {json.dumps(text)}" for field, text in texts.items() if text]
        return ["", "[[forward]]", *lines, f"acknowledge = {json.dumps(self.acknowledge)}"]


def parse_forwards(tables: object, directory: Path) -> tuple[Forward, ...]:
    """Parse the value of `forward` in the configuration of `directory`. Raises `Malformed`."""
    if not isinstance(tables, list) or len(cast("list[object]", tables)) > MOST:
        raise Malformed(f"forward: write each receiver as a table [[forward]], at most {MOST}")
    forwards = tuple(_parse(table, directory) for table in cast("list[object]", tables))
    if len({forward.name for forward in forwards}) != len(forwards):
        raise Malformed("forward: two receivers have the same name")
    return forwards


def read_token(forward: Forward) -> str:
    """Return the receiver's token, '' when it has none. Raises `Unavailable`, saying what to do."""
    if forward.token_file is None:
        return ""
    try:
        token = read_secret(forward.token_file).decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    except OSError as error:
        raise Unavailable("forward", f"the token of {forward.name} cannot be read ({error.strerror})") from None
    if not token or not token.isprintable():
        raise Unavailable("forward", f"the token file of {forward.name} holds no token")
    return token


def _parse(value: object, directory: Path) -> Forward:
    table = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    name, kind, url = table.get("name"), table.get("kind"), table.get("url")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Malformed("forward: each has a name of lower-case letters, digits and '-'")
    if unknown := set(table) - _FIELDS:
        raise Malformed(f"forward {name}: the field {min(unknown)!r} is not known")
    if kind not in KINDS:
        raise Malformed(f"forward {name}: its kind is one of {', '.join(KINDS)}")
    texts = {field: table.get(field, "") for field in ("url", "token_file", "ca", "query")}
    for field, text in texts.items():
        if not isinstance(text, str):
            raise Malformed(f"forward {name}: {field} is a text")
    acknowledge = table.get("acknowledge", True)
    if not isinstance(acknowledge, bool):
        raise Malformed(f"forward {name}: acknowledge is true or false")
    forward = Forward(
        name,
        kind,
        _parse_url(str(url or ""), name, kind),
        _file(str(texts["token_file"])),
        _file(str(texts["ca"])),
        str(texts["query"]),
        acknowledge,
    )
    if kind == "splunk" and forward.token_file is None:
        raise Malformed(f"forward {name}: Splunk wants a token: token_file")
    if forward.token_file is not None and forward.token_file.resolve().is_relative_to(directory.resolve()):
        raise Malformed(f"forward {name}: a token does not lie in the data directory; name a file outside of it")
    return forward


def _parse_url(url: str, name: str, kind: str) -> str:
    schemes = _SCHEMES[kind]
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in schemes or not parts.hostname or port == -1 or parts.username or parts.query:
        raise Malformed(f"forward {name}: its url is {schemes[0]}://HOST:PORT")
    if parts.scheme == schemes[1] and not _is_here(parts.hostname):
        raise Malformed(f"forward {name}: without encryption the log goes to 127.0.0.1 only; write {schemes[0]}://")
    return url


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _file(text: str) -> Path | None:
    return Path(text) if text else None
