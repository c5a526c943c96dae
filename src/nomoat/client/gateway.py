"""The gateway's own routes (besides the protocols of stock clients), as typed calls.

Rules: one method for each route; it parses the answer completely or raises. It decides nothing: who
may do what is the gateway's to say, what an answer proves is `session`'s.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

from nomoat.audit.checkpoint import parse_hash
from nomoat.client.errors import Unintelligible
from nomoat.client.proofs import ProofKey
from nomoat.client.transport import PATIENCE_S, Answer, Transport
from nomoat.core.errors import Malformed, Unauthenticated
from nomoat.core.names import RepositoryName

WAIT_S: Final = 660.0  # a minute more than the gateway lets a report wait
REPLAY_S: Final = 3600.0  # a log of millions of records is decided again at some ten thousand a second


ValueT = TypeVar("ValueT", str, int, bool)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and what belongs to it, as issued at log-in and at renewal (PEM and text)."""

    certificate: str
    ca: str
    subject: str
    device: str
    session: str
    spiffe_id: str
    trust_domain: str
    log_key: str
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, its life in seconds, and the checkpoint that came with it."""

    access_token: str = field(repr=False)
    expires_in: int
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of a plan: `change` is `add`, `change` or `remove`; `kind`, `name`, `detail` say of what."""

    change: str
    kind: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """The directory's plan; `generation` is the one it was made against, or the new one once applied."""

    generation: int
    plan: tuple[Planned, ...]
    applied: bool


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """The policies' plan; `digest` is the proposed set's, `active` the one in force."""

    digest: str
    active: str
    plan: tuple[Planned, ...]
    applied: bool


@dataclass(frozen=True, slots=True)
class HeldPolicies:
    """A set of policies at the gateway: texts by file name, since when (Unix seconds) and by whom."""

    digest: str
    version: int
    since: float
    by: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Records:
    """Readable records, oldest first, and the number of records in the whole log."""

    records: tuple[Mapping[str, object], ...]
    size: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A row for each of the largest groups, of `groups`, over the first `counted` records of `size`.

    Where some are not in it yet, `missing_since` is the time from which on ('' otherwise).
    """

    rows: Sequence[Answer]
    groups: int
    counted: int
    size: int
    missing_since: str


@dataclass(frozen=True, slots=True)
class StandingVersion:
    """A commit of the main branch, and where it stands: since `at`, by whose word and why (Unix seconds, texts).

    `served` says whether it is what the branch means now.
    """

    commit: str
    title: str
    author: str
    published: float
    served: bool
    stage: str
    by: str
    at: float
    reason: str


class Gateway:
    """The routes of one gateway over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """Make one request over this connection, for what has a module of its own."""
        return self._transport.call(method, path, body)

    def register(self, kind: str, code: str, request: str) -> Issued:
        """Turn a one-time code and a signing request (PEM) into a certificate; `kind` is `device` or `workload`."""
        body = {"csr": request}
        return _issued(self._transport.call("POST", f"/v1/{kind}", body, authorization=f"NoMoat-Code {code}"))

    def renew(self, request: str, *, assertion: str = "", restart: bool = False) -> Issued:
        """Issue the next certificate, over mutual TLS or by a device's assertion.

        `restart` starts a new session (a person's explicit log-in).
        """
        authorization = f"NoMoat-Device {assertion}" if assertion else ""
        body = {"csr": request, "restart": restart}
        return _issued(self._transport.call("POST", "/v1/certificate", body, authorization=authorization))

    def token(self, *, bound: bool = False, key: ProofKey | None = None) -> Token:
        """Issue an access token: bound to `key`, which this proves (RFC 9449, section 5), to the certificate, or to nothing."""
        if key is None:
            return _token(self._transport.call("POST", "/v1/token", {"bound": bound}))
        try:
            return _token(self._prove(key))
        except Unauthenticated:
            if key.nonce == self._transport.nonce:
                raise
            return _token(self._prove(key))  # the gateway had not told its nonce before

    def _prove(self, key: ProofKey) -> Answer:
        key.nonce = self._transport.nonce or key.nonce
        proof = key.prove("POST", f"{self._transport.url}/v1/token")
        return self._transport.call("POST", "/v1/token", {"bound": False}, proof=proof)

    def checkpoint(self) -> str:
        """Return the log's newest checkpoint (a C2SP signed note), unverified."""
        return self._transport.get_text("/v1/checkpoint", limit=64 * 1024)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the log of `new` records extends that of `old`, unverified (hashes)."""
        answer = self._transport.call("GET", f"/v1/consistency?old={old}&new={new}", limit=64 * 1024)
        if (_field(answer, "old", int), _field(answer, "new", int)) != (old, new):
            raise Unintelligible(f"it gave a proof between other sizes than {old} and {new}")
        steps = answer.get("proof")
        try:
            return [parse_hash(str(step)) for step in cast("list[object]", steps if isinstance(steps, list) else [""])]
        except Malformed:
            raise Unintelligible("its answer has no proper 'proof'") from None

    def shown_checkpoint(self) -> str:
        """Return the newest checkpoint that enough witnesses cosigned, the newest one without witnesses; unverified."""
        return self._transport.get_text("/v1/log/checkpoint", limit=64 * 1024)

    def tile(self, path: str) -> bytes:
        """Return a tile or entry bundle of the log by its path (c2sp.org/tlog-tiles), unverified."""
        return self._transport.get_bytes(f"/v1/log/{path}")

    def whoami(self) -> Answer:
        """Return how the gateway knows the caller."""
        return self._transport.call("GET", "/v1/whoami")

    def enroll(self, subject: str) -> tuple[str, int]:
        """Make a one-time code for `person:NAME` or `workload:NAME`; returns it and its life in seconds."""
        answer = self._transport.call("POST", "/v1/enroll", {"subject": subject})
        return _field(answer, "code", str), _field(answer, "expires_in", int)

    def revoke(self, kind: str, name: str) -> Answer:
        """End a person, workload, device or session; returns what ended."""
        return self._transport.call("POST", "/v1/revoke", {"kind": kind, "name": name})

    def apply_directory(self, document: str, *, dry_run: bool, base: int | None = None) -> DirectoryAnswer:
        """Plan or apply a directory (TOML); `base` is the generation that the shown plan was made against."""
        body = {"document": document, "dry_run": dry_run, "base": base}
        answer = self._transport.call("POST", "/v1/directory", body)
        plan = tuple(
            Planned(
                _field(row, "change", str), _field(row, "kind", str), _field(row, "name", str), _optional(row, "detail")
            )
            for row in _rows(answer, "plan")
        )
        return DirectoryAnswer(_field(answer, "generation", int), plan, _field(answer, "applied", bool))

    def apply_policy(self, files: Mapping[str, str], *, dry_run: bool, base: str = "") -> PolicyAnswer:
        """Plan or apply policies; `base` is the digest of the set that the shown plan was made against."""
        body = {"files": dict(files), "dry_run": dry_run, "base": base}
        answer = self._transport.call("POST", "/v1/policy", body)
        plan = tuple(
            Planned(_field(row, "change", str), "policy", _field(row, "id", str), _field(row, "file", str))
            for row in _rows(answer, "plan")
        )
        digest, active = _field(answer, "digest", str), _field(answer, "active", str)
        return PolicyAnswer(digest, active, plan, _field(answer, "applied", bool))

    def policies(self) -> tuple[HeldPolicies, HeldPolicies | None]:
        """Return the policies in force, and those on trial if there are any."""
        answer = self._transport.call("GET", "/v1/policy")
        return _held(answer.get("active")), None if answer.get("candidate") is None else _held(answer["candidate"])

    def status(self) -> Answer:
        """Return how the gateway itself is, by name."""
        return self._transport.call("GET", "/v1/status")

    def explain(self, record: int, *, own: bool) -> Answer:
        """Explain a record: the caller's `own` refusal, or anybody's decision."""
        return self._transport.call("POST", "/v1/policy/explain", {"record": record, "own": own})

    def simulate(self, files: Mapping[str, str], base: Mapping[str, str] | None, query: str) -> Answer:
        """Decide the recorded decisions that match again under `files`; compare with `base` or what was recorded."""
        body = {"files": dict(files), "base": dict(base) if base is not None else None, "query": query}
        return self._transport.call("POST", "/v1/policy/simulate", body, patience=REPLAY_S)

    def try_policy(self, files: Mapping[str, str]) -> Answer:
        """Put policies on trial; none of them ends the trial."""
        return self._transport.call("POST", "/v1/policy/try", {"files": dict(files)})

    def differences(self, query: str) -> Answer:
        """Tell what the policies on trial decided otherwise, of the records that match."""
        return self._transport.call("POST", "/v1/policy/differences", {"query": query}, patience=REPLAY_S)

    def unused(self, days: int) -> Answer:
        """Find the grants that nobody used in so many days."""
        return self._transport.call("POST", "/v1/policy/unused", {"days": days}, patience=REPLAY_S)

    def receipt(self, number: int, *, disclose: bool) -> tuple[bytes, bytes]:
        """Return a record's receipt and, with `disclose`, its opening (b"" without), both unverified."""
        answer = self._transport.call("POST", "/v1/log/receipt", {"record": number, "disclose": disclose})
        try:
            opening = b64decode(_optional(answer, "opening"), validate=True)
        except ValueError:
            raise Unintelligible("its answer has no proper 'opening'") from None
        return _field(answer, "receipt", str).encode(), opening

    def own_receipt(self, number: int) -> bytes:
        """Return the receipt of a record of an access of the caller's own, unverified."""
        return _field(self._transport.call("POST", "/v1/log/receipt/own", {"record": number}), "receipt", str).encode()

    def log(self, query: str, *, after: int = -1, limit: int, scan: bool = False) -> Records:
        """Read records that match `query`: the newest `limit`, or the next ones after index `after`."""
        body: dict[str, object] = {"query": query, "after": after, "limit": limit}
        answer = self._transport.call("POST", "/v1/log", {**body, "scan": True} if scan else body)
        return Records(tuple(_rows(answer, "records")), _field(answer, "size", int))

    def export(self, form: str, query: str, *, after: int = -1) -> Iterator[bytes]:
        """Yield every record that matches `query`, after index `after`, in a format (see `nomoat.audit.export`)."""
        return self._transport.stream("POST", "/v1/log/export", {"form": form, "query": query, "after": after})

    def report(self, by: str, query: str, *, limit: int, wait: bool = False) -> Aggregate:
        """Count the accesses that match `query` by names with commas between; with `wait`, when all can be counted."""
        body = {"by": by, "query": query, "limit": limit, **({"wait": True} if wait else {})}
        answer = self._transport.call("POST", "/v1/log/report", body, patience=WAIT_S if wait else PATIENCE_S)
        return Aggregate(
            _rows(answer, "rows"),
            _field(answer, "groups", int),
            _field(answer, "counted", int),
            _field(answer, "size", int),
            _optional(answer, "missing_since"),
        )

    def erase(self, subject: str) -> tuple[str, int]:
        """Destroy what the log says of `person:NAME` or `workload:NAME`; returns its pseudonym and the record."""
        answer = self._transport.call("POST", "/v1/log/erase", {"subject": subject})
        return _field(answer, "pseudonym", str), _field(answer, "record", int)

    def versions(self, repository: RepositoryName) -> list[StandingVersion]:
        """Return the versions of a repository's main branch, newest first."""
        answer = self._transport.call("GET", _versions_of(repository))
        return [
            StandingVersion(
                **{name: _field(row, name, str) for name in ("commit", "title", "author", "stage", "by", "reason")},
                published=_instant(row, "published"),
                served=_field(row, "served", bool),
                at=_instant(row, "at"),
            )
            for row in _rows(answer, "versions")
        ]

    def approve(self, repository: RepositoryName, commit: str, checks: Sequence[str], reason: str) -> Answer:
        """Approve a version, by its whole commit id; returns where it stands now."""
        body = {"checks": list(checks), "reason": reason}
        return self._transport.call("POST", f"{_versions_of(repository)}/{commit}/approve", body)

    def withdraw(self, repository: RepositoryName, commit: str, reason: str) -> Answer:
        """Withdraw a version, by its whole commit id; returns where it stands now."""
        return self._transport.call("POST", f"{_versions_of(repository)}/{commit}/withdraw", {"reason": reason})


def _versions_of(repository: RepositoryName) -> str:
    return f"/v1/versions/{repository.kind}/{repository}"


def _instant(answer: Answer, name: str) -> float:
    value = answer.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return value


def _held(value: object) -> HeldPolicies:
    row = cast("Answer", value if isinstance(value, dict) else {})
    files, since = row.get("files"), row.get("since")
    texts = cast("dict[str, object]", files if isinstance(files, dict) else {"": None})
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(since, (int, float)):
        raise Unintelligible("its answer has no proper policies")
    by, version = _field(row, "by", str), _field(row, "version", int)
    return HeldPolicies(_field(row, "digest", str), version, since, by, cast("dict[str, str]", texts))


def _issued(answer: Answer) -> Issued:
    return Issued(
        certificate=_field(answer, "certificate", str),
        ca=_field(answer, "ca", str),
        subject=_field(answer, "subject", str),
        device=_optional(answer, "device"),  # a workload has none
        session=_field(answer, "session", str),
        spiffe_id=_field(answer, "spiffe_id", str),
        trust_domain=_field(answer, "trust_domain", str),
        log_key=_field(answer, "log_key", str),
        checkpoint=_field(answer, "checkpoint", str),
    )


def _token(answer: Answer) -> Token:
    return Token(
        _field(answer, "access_token", str), _field(answer, "expires_in", int), _field(answer, "checkpoint", str)
    )


def _field(answer: Answer, name: str, kind: type[ValueT]) -> ValueT:
    value = answer.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return value


def _optional(answer: Answer, name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def _rows(answer: Answer, name: str) -> Sequence[Answer]:
    rows = answer.get(name)
    if not isinstance(rows, list):
        raise Unintelligible(f"its answer has no proper {name!r}")
    checked: list[Answer] = []
    for row in cast("list[object]", rows):
        if not isinstance(row, dict):
            raise Unintelligible(f"its answer has no proper {name!r}")
        checked.append(cast("dict[str, object]", row))
    return checked
