"""The gateway's own routes (besides the protocols of stock clients), as typed calls.

Rules: one method for each route; it parses the answer completely or raises. It decides nothing: who
may do what is the gateway's to say, what an answer proves is `session`'s.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import quote, urlencode

from nomoat.audit.checkpoint import parse_hash
from nomoat.client.answers import field_of, optional, rows_of
from nomoat.client.datasets import DatasetManifest, Difference, read_manifest
from nomoat.client.errors import Unintelligible
from nomoat.client.proofs import ProofKey
from nomoat.client.transport import PATIENCE_S, Answer, Transport
from nomoat.client.versions import StandingVersion, read_versions
from nomoat.core.errors import Malformed, Unauthenticated
from nomoat.core.names import RepositoryName

QUERY_S: Final = 400.0  # making the view may take most of it
WAIT_S: Final = 660.0  # a minute more than the gateway lets a report wait
DIFF_S: Final = 300.0  # a minute of profiling, and what was begun then
REPLAY_S: Final = 3600.0  # a log of millions of records is decided again at some ten thousand a second


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
        if (field_of(answer, "old", int), field_of(answer, "new", int)) != (old, new):
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
        return field_of(answer, "code", str), field_of(answer, "expires_in", int)

    def revoke(self, kind: str, name: str) -> Answer:
        """End a person, workload, device or session; returns what ended."""
        return self._transport.call("POST", "/v1/revoke", {"kind": kind, "name": name})

    def apply_directory(self, document: str, *, dry_run: bool, base: int | None = None) -> DirectoryAnswer:
        """Plan or apply a directory (TOML); `base` is the generation that the shown plan was made against."""
        body = {"document": document, "dry_run": dry_run, "base": base}
        answer = self._transport.call("POST", "/v1/directory", body)
        plan = tuple(
            Planned(
                field_of(row, "change", str),
                field_of(row, "kind", str),
                field_of(row, "name", str),
                optional(row, "detail"),
            )
            for row in rows_of(answer, "plan")
        )
        return DirectoryAnswer(field_of(answer, "generation", int), plan, field_of(answer, "applied", bool))

    def apply_policy(self, files: Mapping[str, str], *, dry_run: bool, base: str = "") -> PolicyAnswer:
        """Plan or apply policies; `base` is the digest of the set that the shown plan was made against."""
        body = {"files": dict(files), "dry_run": dry_run, "base": base}
        answer = self._transport.call("POST", "/v1/policy", body)
        plan = tuple(
            Planned(field_of(row, "change", str), "policy", field_of(row, "id", str), field_of(row, "file", str))
            for row in rows_of(answer, "plan")
        )
        digest, active = field_of(answer, "digest", str), field_of(answer, "active", str)
        return PolicyAnswer(digest, active, plan, field_of(answer, "applied", bool))

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
            opening = b64decode(optional(answer, "opening"), validate=True)
        except ValueError:
            raise Unintelligible("its answer has no proper 'opening'") from None
        return field_of(answer, "receipt", str).encode(), opening

    def own_receipt(self, number: int) -> bytes:
        """Return the receipt of a record of an access of the caller's own, unverified."""
        return field_of(
            self._transport.call("POST", "/v1/log/receipt/own", {"record": number}), "receipt", str
        ).encode()

    def log(self, query: str, *, after: int = -1, limit: int, scan: bool = False) -> Records:
        """Read records that match `query`: the newest `limit`, or the next ones after index `after`."""
        body: dict[str, object] = {"query": query, "after": after, "limit": limit}
        answer = self._transport.call("POST", "/v1/log", {**body, "scan": True} if scan else body)
        return Records(tuple(rows_of(answer, "records")), field_of(answer, "size", int))

    def export(self, form: str, query: str, *, after: int = -1) -> Iterator[bytes]:
        """Yield every record that matches `query`, after index `after`, in a format (see `nomoat.audit.export`)."""
        return self._transport.stream("POST", "/v1/log/export", {"form": form, "query": query, "after": after})

    def report(self, by: str, query: str, *, limit: int, wait: bool = False) -> Aggregate:
        """Count the accesses that match `query` by names with commas between; with `wait`, when all can be counted."""
        body = {"by": by, "query": query, "limit": limit, **({"wait": True} if wait else {})}
        answer = self._transport.call("POST", "/v1/log/report", body, patience=WAIT_S if wait else PATIENCE_S)
        return Aggregate(
            rows_of(answer, "rows"),
            field_of(answer, "groups", int),
            field_of(answer, "counted", int),
            field_of(answer, "size", int),
            optional(answer, "missing_since"),
        )

    def erase(self, subject: str) -> tuple[str, int]:
        """Destroy what the log says of `person:NAME` or `workload:NAME`; returns its pseudonym and the record."""
        answer = self._transport.call("POST", "/v1/log/erase", {"subject": subject})
        return field_of(answer, "pseudonym", str), field_of(answer, "record", int)

    def versions(self, repository: RepositoryName) -> list[StandingVersion]:
        """Return the versions of a repository's main branch, newest first."""
        return read_versions(self._transport.call("GET", _versions_of(repository)))

    def approve(self, repository: RepositoryName, commit: str, checks: Sequence[str], reason: str) -> Answer:
        """Approve a version, by its whole commit id; returns where it stands now."""
        body = {"checks": list(checks), "reason": reason}
        return self._transport.call("POST", f"{_versions_of(repository)}/{commit}/approve", body)

    def withdraw(self, repository: RepositoryName, commit: str, reason: str) -> Answer:
        """Withdraw a version, by its whole commit id; returns where it stands now."""
        return self._transport.call("POST", f"{_versions_of(repository)}/{commit}/withdraw", {"reason": reason})

    def lineage(self, repository: RepositoryName, **narrowed: str) -> Answer:
        """Return what went into a version and what came of it; `narrowed` by revision, path and contributor."""
        query = urlencode({name: value for name, value in narrowed.items() if value})
        return self._transport.call("GET", f"/v1/lineage/{repository.kind}/{repository}?{query}")

    def lower(self, repository: RepositoryName, commit: str, label: Mapping[str, object], reason: str) -> Answer:
        """Let a version inherit a weaker label (`classification` and `labels`); returns what it inherits now."""
        return self._transport.call("POST", f"{_versions_of(repository)}/{commit}/label", {**label, "reason": reason})

    def loaded(self, repository: RepositoryName, commit: str, files: Mapping[str, str]) -> Answer:
        """Report which files (path → SHA-256 hex) of a version were loaded; returns whether that is verified."""
        return self._transport.call("POST", f"{_versions_of(repository)}/{commit}/load", {"files": dict(files)})

    def manifest(self, dataset: RepositoryName, revision: str) -> DatasetManifest:
        """Return the manifest of a version of a dataset, unverified."""
        return read_manifest(self._transport.call("POST", f"/v1/datasets/{dataset}/manifest", {"revision": revision}))

    def diff(self, dataset: RepositoryName, base: str, revision: str) -> Difference:
        """Compare two versions of a dataset; `base` is '' for the last approved one before."""
        body = {"base": base, "revision": revision}
        return Difference(self._transport.call("POST", f"/v1/datasets/{dataset}/diff", body, patience=DIFF_S))

    def query(self, repository: RepositoryName, view: str, sql: str, revision: str) -> bytes:
        """Run SQL over a view of a dataset; returns its rows as an Arrow stream, unparsed."""
        path = f"/v1/views/{repository}/{quote(view, safe='')}/query"
        return self._transport.post_bytes(path, {"sql": sql, "revision": revision}, patience=QUERY_S)


def _versions_of(repository: RepositoryName) -> str:
    return f"/v1/versions/{repository.kind}/{repository}"


def _held(value: object) -> HeldPolicies:
    row = cast("Answer", value if isinstance(value, dict) else {})
    files, since = row.get("files"), row.get("since")
    texts = cast("dict[str, object]", files if isinstance(files, dict) else {"": None})
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(since, (int, float)):
        raise Unintelligible("its answer has no proper policies")
    by, version = field_of(row, "by", str), field_of(row, "version", int)
    return HeldPolicies(field_of(row, "digest", str), version, since, by, cast("dict[str, str]", texts))


def _issued(answer: Answer) -> Issued:
    return Issued(
        certificate=field_of(answer, "certificate", str),
        ca=field_of(answer, "ca", str),
        subject=field_of(answer, "subject", str),
        device=optional(answer, "device"),  # a workload has none
        session=field_of(answer, "session", str),
        spiffe_id=field_of(answer, "spiffe_id", str),
        trust_domain=field_of(answer, "trust_domain", str),
        log_key=field_of(answer, "log_key", str),
        checkpoint=field_of(answer, "checkpoint", str),
    )


def _token(answer: Answer) -> Token:
    return Token(
        field_of(answer, "access_token", str), field_of(answer, "expires_in", int), field_of(answer, "checkpoint", str)
    )
