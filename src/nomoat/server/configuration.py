"""The configuration of a data directory: `nomoat.toml`, read strictly.

Rules: an unknown or missing field refuses to start; so does a file that others may write.
"""

import ipaddress
import json
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, cast

from nomoat.audit.checkpoint import WITNESS_KEY, VerifierKey, parse_verifier_key
from nomoat.audit.quorum import Quorum
from nomoat.core.errors import Malformed, Unavailable
from nomoat.core.names import parse_subject_name, parse_trust_domain
from nomoat.identity.proofs import parse_origin
from nomoat.identity.tokens import TOKEN_LIFE
from nomoat.server.admission import Limits
from nomoat.server.forgetting import parse_retention
from nomoat.server.forwards import Forward, parse_forwards
from nomoat.server.keeping import KeySettings, parse_keys
from nomoat.server.postgres import PostgresSettings, parse_postgres

FILE: Final = "nomoat.toml"
USUAL_LIMITS: Final = Limits()
SHORTEST_TOKEN_LIFE: Final = 10  # seconds: clients renew at half of it
REEXAMINE: Final = 5  # seconds
LONGEST_REEXAMINE: Final = 60


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Where a witness is (its submission prefix, c2sp.org/tlog-witness) and the text of its verifier key."""

    url: str
    key: str

    @property
    def verifier_key(self) -> VerifierKey:
        """Its key, parsed. Raises `Malformed`."""
        return parse_verifier_key(self.key, WITNESS_KEY)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What `nomoat.toml` says.

    `host` and `port` are where to listen, `hosts` the names and addresses in the server's certificate,
    `kek` the file of the key-encryption key, `enforcer` this gateway's name in records. `witness` is
    the URL of a witness ('' for none) and `witness_key` its verifier key, `witnesses` are further ones;
    `witness_quorum` of all of them make a checkpoint a witnessed one (0: all). `token_lifetime_s` is
    how long access tokens live, in seconds, `reexamine_s` after how many an access in flight is decided
    again. `origins` are further addresses (`https://HOST[:PORT]`) by which clients reach this gateway, where
    something in between maps its port: DPoP proofs name one.
    `forwards` are who is sent the log, `retention` after how many days what records say is forgotten, by
    action or group of actions. `keys` is who keeps the key-encryption key, `postgres` where indexes are kept that say so.
    `limits` bound the connections; `traces` is where OpenTelemetry traces go over OTLP ('' for nowhere).
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
    reexamine_s: int = REEXAMINE
    limits: Limits = USUAL_LIMITS
    traces: str = ""
    origins: tuple[str, ...] = ()
    witnesses: tuple[WitnessAddress, ...] = ()
    witness_quorum: int = 0

    @property
    def all_witnesses(self) -> tuple[WitnessAddress, ...]:
        """Every witness."""
        return ((WitnessAddress(self.witness, self.witness_key),) if self.witness else ()) + self.witnesses

    forwards: tuple[Forward, ...] = ()
    retention: Mapping[str, int] = field(default_factory=dict[str, int])
    keys: KeySettings = field(default_factory=KeySettings)
    postgres: PostgresSettings | None = None

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
        if self.reexamine_s != REEXAMINE:
            lines += [f"reexamine_s = {self.reexamine_s}"]
        for limit in fields(Limits):
            if (value := getattr(self.limits, limit.name)) != getattr(USUAL_LIMITS, limit.name):
                lines += [f"{limit.name} = {value}"]
        if self.traces:
            lines += [f"traces = {json.dumps(self.traces)}"]
        if self.origins:
            lines += [f"origins = {json.dumps(list(self.origins))}"]
        if self.witness_quorum:
            lines += [f"witness_quorum = {self.witness_quorum}"]
        return "\n".join([*lines, *self._tables()]) + "\n"

    def _tables(self) -> list[str]:
        """The lines of what is a table, which comes after all fields."""
        lines: list[str] = []
        for each in self.witnesses:
            lines += ["", "[[witnesses]]", f"url = {json.dumps(each.url)}", f"key = {json.dumps(each.key)}"]
        for forward in self.forwards:
            lines += forward.dump()
        if self.retention:
            lines += ["", "[retention]", *(f"{name} = {days}" for name, days in sorted(self.retention.items()))]
        if self.postgres:
            lines += self.postgres.dump()
        return lines + self.keys.dump()


_REQUIRED: Final = frozenset({"trust_domain", "listen", "hosts", "kek"})
_LIMITS: Final = tuple(limit.name for limit in fields(Limits))
_OPTIONAL: Final = frozenset(
    {
        *{"enforcer", "witness", "witness_key", "witnesses", "witness_quorum", "token_lifetime_s", "origins"},
        *{"forward", "retention", "traces", "keys", "postgres", "reexamine_s"},
        *_LIMITS,
    }
)
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
    return _parse(table, directory)


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts that is not empty; () for anything else."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    texts = tuple(text for text in listed if isinstance(text, str))
    return texts if len(texts) == len(listed) else ()


def _hosts(value: object) -> tuple[str, ...]:
    if not (names := _texts(value)):
        raise Malformed(f"{FILE}: hosts is a list of names and addresses")
    return names


def _origins(value: object) -> tuple[str, ...]:
    origins = _texts(value)
    try:
        for origin in origins:
            parse_origin(origin)
    except ValueError:
        origins = ()
    if not origins:
        raise Malformed(f"{FILE}: origins is a list of addresses such as https://data.acme.example:8443")
    return origins


def _parse(table: dict[str, object], directory: Path) -> Configuration:
    if unknown := set(table) - _REQUIRED - _OPTIONAL:
        raise Malformed(f"{FILE}: the field {min(unknown)!r} is not known; remove or correct it")
    if missing := _REQUIRED - set(table):
        raise Malformed(f"{FILE} lacks the field {min(missing)!r}")
    hosts = _hosts(table.pop("hosts"))
    retention = parse_retention(table.pop("retention", {}))
    keys = parse_keys(table.pop("keys", {"kms": "local"}))
    forwards = parse_forwards(table.pop("forward", []), directory)
    postgres = parse_postgres(table.pop("postgres"), directory) if "postgres" in table else None
    token_lifetime = _seconds(table, "token_lifetime_s", TOKEN_LIFE, SHORTEST_TOKEN_LIFE, TOKEN_LIFE)
    reexamine = _seconds(table, "reexamine_s", REEXAMINE, 1, LONGEST_REEXAMINE)
    limits = _parse_limits(table)
    origins = _origins(table.pop("origins")) if "origins" in table else ()
    further, quorum = _witnesses(table.pop("witnesses", [])), _quorum(table)
    texts = {name: value for name, value in table.items() if isinstance(value, str)}
    if len(texts) != len(table):
        raise Malformed(f"{FILE}: {min(set(table) - set(texts))} is a text")
    host, port = parse_listen(texts["listen"])
    if bool(texts.get("witness")) != bool(texts.get("witness_key")):
        raise Malformed(f"{FILE}: witness and witness_key belong together")
    configuration = Configuration(
        trust_domain=parse_trust_domain(texts["trust_domain"]),
        host=host,
        port=port,
        hosts=hosts,
        kek=Path(texts["kek"]),
        enforcer=parse_subject_name(texts.get("enforcer", "gateway-1")),
        witness=texts.get("witness", ""),
        witness_key=texts.get("witness_key", ""),
        token_lifetime_s=token_lifetime,
        reexamine_s=reexamine,
        origins=origins,
        witnesses=further,
        witness_quorum=quorum,
        forwards=forwards,
        retention=retention,
        keys=keys,
        postgres=postgres,
        limits=limits,
        traces=_parse_url(texts.get("traces", "")),
    )
    require_policy(configuration)
    return configuration


def _seconds(table: dict[str, object], name: str, usual: int, least: int, most: int) -> int:
    """Take a number of seconds out of a table."""
    value = table.pop(name, usual)
    if type(value) is not int or not least <= value <= most:
        raise Malformed(f"{FILE}: {name} is a number from {least} to {most}")
    return value


def _quorum(table: dict[str, object]) -> int:
    """Take the quorum out of a table; 0 where there is none, which nobody may write."""
    if "witness_quorum" not in table:
        return 0
    quorum = table.pop("witness_quorum")
    if type(quorum) is not int or quorum < 1:
        raise Malformed(f"{FILE}: witness_quorum is a number from 1 to that of the witnesses")
    return quorum


def _witnesses(value: object) -> tuple[WitnessAddress, ...]:
    listed = cast("list[object]", value) if isinstance(value, list) else [None]
    found: list[WitnessAddress] = []
    for each in listed:
        fields = cast("dict[str, object]", each) if isinstance(each, dict) else {}
        url, key = fields.get("url"), fields.get("key")
        if fields.keys() != {"url", "key"} or not isinstance(url, str) or not isinstance(key, str):
            raise Malformed(f"{FILE}: each of [[witnesses]] has a url and a key, and nothing else")
        found.append(WitnessAddress(url, key))
    return tuple(found)


def require_policy(configuration: Configuration) -> None:
    """Raise `Malformed` unless the witnesses are few and apart, can be asked, and the quorum can be reached."""
    witnesses = configuration.all_witnesses
    keys = tuple(witness.verifier_key for witness in witnesses)
    try:
        Quorum(keys, configuration.witness_quorum or len(keys))
    except Malformed as error:
        raise Malformed(f"{FILE}: {error.reason}") from None
    if any(not witness.url.startswith(("https://", "http://")) for witness in witnesses):
        raise Malformed(f"{FILE}: the url of a witness begins with https:// or http://")


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
