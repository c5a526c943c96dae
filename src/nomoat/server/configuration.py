"""The configuration of a data directory: `nomoat.toml`, read strictly.

Rules: an unknown or missing field refuses to start; so does a file that others may write.
"""

import ipaddress
import json
import stat
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, cast

from nomoat.core.errors import Malformed, Unavailable
from nomoat.core.names import parse_subject_name, parse_trust_domain
from nomoat.identity.tokens import TOKEN_LIFE
from nomoat.server.admission import Limits

FILE: Final = "nomoat.toml"
USUAL_LIMITS: Final = Limits()
SHORTEST_TOKEN_LIFE: Final = 10  # seconds: clients renew at half of it


@dataclass(frozen=True, slots=True)
class Configuration:
    """What `nomoat.toml` says.

    `host` and `port` are where to listen, `hosts` the names and addresses in the server's certificate,
    `kek` the file of the key-encryption key, `enforcer` this gateway's name in records. `witness` is
    the URL of a witness ('' for none) and `witness_key` its verifier key. `token_lifetime_s` is how
    long access tokens live, in seconds. `limits` bound the connections; `traces` is where OpenTelemetry
    traces go over OTLP ('' for nowhere).
    """

    trust_domain: str
    host: str
    port: int
    hosts: tuple[str, ...]
    kek: Path
    enforcer: str = "gateway-1"
    witness: str = ""
    witness_key: str = ""
    token_lifetime_s: int = TOKEN_LIFE
    limits: Limits = USUAL_LIMITS
    traces: str = ""

    def dump(self) -> str:
        """The text of `nomoat.toml` for this configuration (JSON strings are TOML basic strings)."""
        lines = [
            "# NoMoat: what this data directory is. Unknown fields refuse to start.",
            f"trust_domain = {json.dumps(self.trust_domain)}",
            f"listen = {json.dumps(f'{self.host}:{self.port}')}",
            f"hosts = {json.dumps(list(self.hosts))}",
            f"kek = {json.dumps(str(self.kek))}",
            f"enforcer = {json.dumps(self.enforcer)}",
        ]
        if self.witness:
            lines += [f"witness = {json.dumps(self.witness)}", f"witness_key = {json.dumps(self.witness_key)}"]
        if self.token_lifetime_s != TOKEN_LIFE:
            lines += [f"token_lifetime_s = {self.token_lifetime_s}"]
        for field in fields(Limits):
            if (value := getattr(self.limits, field.name)) != getattr(USUAL_LIMITS, field.name):
                lines += [f"{field.name} = {value}"]
        if self.traces:
            lines += [f"traces = {json.dumps(self.traces)}"]
        return "\n".join(lines) + "\n"


_REQUIRED: Final = frozenset({"trust_domain", "listen", "hosts", "kek"})
_LIMITS: Final = tuple(field.name for field in fields(Limits))
_OPTIONAL: Final = frozenset({"enforcer", "witness", "witness_key", "token_lifetime_s", "traces", *_LIMITS})
MOST_CONNECTIONS: Final = 1 << 20


def is_unfinished(directory: Path) -> bool:
    """Whether a directory holds what `nomoat init` makes first, and not what it makes last."""
    return (directory / "keys").is_dir() and not (directory / FILE).exists()


def load_configuration(directory: Path) -> Configuration:
    """Read a data directory's configuration.

    Raises `Unavailable` when there is none, `Malformed` when it is not exactly a configuration.
    """
    path = directory / FILE
    try:
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Malformed(f"{FILE} can be written by others; run: chmod 600 {FILE}")
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if is_unfinished(directory):
            raise Unavailable(
                "configuration",
                f"{directory} was left by a nomoat init that did not finish, so nothing was ever kept in it; remove "
                "it and the key-encryption key that was made for it, and run: nomoat init DIR",
            ) from None
        raise Unavailable("configuration", f"{directory} is not a data directory; run: nomoat init DIR") from None
    except OSError as error:
        raise Unavailable("configuration", f"{FILE} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{FILE} is not TOML: {error}") from None
    return _parse(table)


def _hosts(value: object) -> tuple[str, ...]:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    names = tuple(host for host in listed if isinstance(host, str))
    if not names or len(names) != len(listed):
        raise Malformed(f"{FILE}: hosts is a list of names and addresses")
    return names


def _parse(table: dict[str, object]) -> Configuration:
    if unknown := set(table) - _REQUIRED - _OPTIONAL:
        raise Malformed(f"{FILE}: the field {min(unknown)!r} is not known; remove or correct it")
    if missing := _REQUIRED - set(table):
        raise Malformed(f"{FILE} lacks the field {min(missing)!r}")
    hosts = _hosts(table.pop("hosts"))
    token_lifetime = table.pop("token_lifetime_s", TOKEN_LIFE)
    if type(token_lifetime) is not int or not SHORTEST_TOKEN_LIFE <= token_lifetime <= TOKEN_LIFE:
        raise Malformed(f"{FILE}: token_lifetime_s is a number from {SHORTEST_TOKEN_LIFE} to {TOKEN_LIFE}")
    limits = _parse_limits(table)
    texts = {name: value for name, value in table.items() if isinstance(value, str)}
    if len(texts) != len(table):
        raise Malformed(f"{FILE}: {min(set(table) - set(texts))} is a text")
    host, port = parse_listen(texts["listen"])
    if bool(texts.get("witness")) != bool(texts.get("witness_key")):
        raise Malformed(f"{FILE}: witness and witness_key belong together")
    return Configuration(
        trust_domain=parse_trust_domain(texts["trust_domain"]),
        host=host,
        port=port,
        hosts=hosts,
        kek=Path(texts["kek"]),
        enforcer=parse_subject_name(texts.get("enforcer", "gateway-1")),
        witness=texts.get("witness", ""),
        witness_key=texts.get("witness_key", ""),
        token_lifetime_s=token_lifetime,
        limits=limits,
        traces=_parse_url(texts.get("traces", "")),
    )


def _parse_limits(table: dict[str, object]) -> Limits:
    """Take the limits out of a table."""
    given: dict[str, int] = {}
    for name in _LIMITS:
        if name in table:
            value = table.pop(name)
            if type(value) is not int or not 1 <= value <= MOST_CONNECTIONS:
                raise Malformed(f"{FILE}: {name} is a number from 1 to {MOST_CONNECTIONS}")
            given[name] = value
    return Limits(**given)


def _parse_url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise Malformed(f"{FILE}: traces is a URL, such as http://127.0.0.1:4318/v1/traces")
    return text


def parse_listen(text: str) -> tuple[str, int]:
    """Parse `ADDRESS:PORT` (`[::1]:8443` for IPv6). Raises `Malformed`."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise Malformed(f"{text!r:.60} is not ADDRESS:PORT, such as 127.0.0.1:8443") from None
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Malformed(f"{text!r:.60} is not ADDRESS:PORT, such as 127.0.0.1:8443")
    return host, int(port)
