"""Operations: one frozen class for each verb, and what a name resolved to.

Rules: an Operation says what the caller wants in the caller's words; `Resolved` says what that is
right now, by immutable ids. Every class here has an action of the same name in the Cedar schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple

from typing_extensions import TypeVar

from nomoat.core.names import Classification, RepositoryName

OPERATIONS: dict[str, type["Operation"]] = {}


@dataclass(frozen=True, slots=True)
class Operation:
    """Base of every verb. `action` is its name in policies and records.

    `priority` operations (revocation, administration) may use the space that the log reserves for
    a full disk.
    """

    action: ClassVar[str] = ""
    priority: ClassVar[bool] = False

    def __init_subclass__(cls, **arguments: object) -> None:
        # dataclass(slots=True) makes a second class of the same name; the later one is the one in use.
        cls.action = cls.__name__
        OPERATIONS[cls.__name__] = cls

    @property
    def requested(self) -> str:
        """What was asked for, as a person would write it; for records of what never resolved."""
        return ""


class Target(NamedTuple):
    """One thing that a decision is about.

    `kind` is the Cedar entity type (`Dataset`, `Model`, `File`, `Directory`, `PolicySet`, `Log`,
    `Identity`), `id` the entity's id, `name` what a person calls it, `version` the commit or
    content digest, `parents` (type, id) pairs above it. `facts` are further attributes that the
    schema declares for this kind.
    """

    kind: str
    id: str
    name: str
    version: str = ""
    classification: Classification = Classification.PUBLIC
    labels: frozenset[str] = frozenset()
    owner_group: str = ""
    owner_person: str = ""
    parents: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str | int | bool], ...] = ()


OpT = TypeVar("OpT", bound=Operation)
OpT_co = TypeVar("OpT_co", bound=Operation, covariant=True)


@dataclass(frozen=True, slots=True)
class Resolved(Generic[OpT_co]):
    """An operation and what its names meant at one instant.

    `targets` has at least one target and every one of them must be allowed. `coordinates` is what
    the resource needs to find it again without looking a name up. `discovery` is the thing whose
    existence is itself confidential (the repository), `missing` the words for its absence.
    """

    operation: OpT_co
    targets: tuple[Target, ...]
    coordinates: Mapping[str, object] = field(default_factory=dict[str, object])
    discovery: Target | None = None
    missing: str = ""

    @property
    def target(self) -> Target:
        """The first target: the one that a record shows."""
        return self.targets[0]


# -- Reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DescribeRepository(Operation):
    """See a repository's revision: its commit, date and the names of its files."""

    repository: RepositoryName
    revision: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class ListFiles(Operation):
    """List the files of a revision under a path ('' for all), with sizes and digests."""

    repository: RepositoryName
    revision: str
    under: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.under}"


@dataclass(frozen=True, slots=True)
class DescribeFile(Operation):
    """See one file's size and digest, not its content."""

    repository: RepositoryName
    revision: str
    path: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.path}"


@dataclass(frozen=True, slots=True)
class ReadFile(Operation):
    """Read one file's content, whole or a range (`first`, `last` inclusive; None: open).

    A negative `first` with `last` None asks for that many last bytes (RFC 9110, section 14.1.2).
    """

    repository: RepositoryName
    revision: str
    path: str
    first: int | None = None
    last: int | None = None

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.path}"


# -- Writing ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateRepository(Operation):
    """Create an empty repository that the directory declares."""

    repository: RepositoryName

    @property
    def requested(self) -> str:
        return str(self.repository)


@dataclass(frozen=True, slots=True)
class PlanUpload(Operation):
    """Ask how files of these paths and sizes are to be uploaded."""

    repository: RepositoryName
    revision: str
    files: tuple[tuple[str, int], ...]

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class GrantUpload(Operation):
    """Ask for one-use upload URLs for contents given by (SHA-256, size in bytes)."""

    repository: RepositoryName
    contents: tuple[tuple[str, int], ...]

    @property
    def requested(self) -> str:
        return str(self.repository)


@dataclass(frozen=True, slots=True)
class UploadBlob(Operation):
    """Store one content of exactly this SHA-256 and size in a repository, not yet in any revision."""

    repository: RepositoryName
    digest: str
    size: int

    @property
    def requested(self) -> str:
        return f"{self.repository} sha256:{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Change:
    """One file's part of a commit: new inline content, an uploaded (digest, size), or removal."""

    path: str
    content: bytes | None = field(default=None, repr=False)
    digest: str = ""
    size: int = 0
    removal: bool = False
    folder: bool = False


@dataclass(frozen=True, slots=True)
class WriteFile(Operation):
    """Commit changes to files of a branch, all or none; every file is decided on its own labels.

    `parent` is the commit that the author believes to be the newest ('' for don't care).
    """

    repository: RepositoryName
    revision: str
    changes: tuple[Change, ...]
    title: str
    parent: str = ""

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


# -- Being someone ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whoami(Operation):
    """See how the gateway knows the caller."""


@dataclass(frozen=True, slots=True)
class RegisterDevice(Operation):
    """Turn a person's one-time code into a registered device key, a session and a certificate.

    `request` is a certificate signing request (PEM) that proves possession of the device key.
    """

    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinWorkload(Operation):
    """Turn a workload's one-time join code into a session and an X.509-SVID."""

    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RenewCertificate(Operation):
    """Issue the caller's next certificate within the same session.

    `restart` starts a new session for a device whose last one ended (a person's explicit log-in).
    """

    request: bytes = field(repr=False)
    restart: bool = False


@dataclass(frozen=True, slots=True)
class IssueToken(Operation):
    """Issue an access token; `bound` ties it to the caller's certificate (RFC 8705, section 3)."""

    bound: bool


# -- Administering ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enroll(Operation):
    """Make a one-time code for a declared person or workload (`person:NAME`, `workload:NAME`)."""

    subject: str

    @property
    def requested(self) -> str:
        return self.subject


@dataclass(frozen=True, slots=True)
class Revoke(Operation):
    """End a `person`, `workload`, `device` or `session` (`kind`) called `name`, everywhere, now."""

    priority: ClassVar[bool] = True
    kind: str
    name: str

    @property
    def requested(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class ApplyDirectory(Operation):
    """Declare people, groups, workloads, repositories and labels; only plan it when `dry_run`.

    `document` is the TOML text; `base` the directory generation that a plan was made against
    (None: any).
    """

    priority: ClassVar[bool] = True
    document: str = field(repr=False)
    dry_run: bool
    base: int | None = None


@dataclass(frozen=True, slots=True)
class ApplyPolicy(Operation):
    """Replace the active policies; only plan it when `dry_run`.

    `files` are (name, Cedar text) pairs; `base` the digest of the set that the plan was made
    against ('' : any).
    """

    priority: ClassVar[bool] = True
    files: tuple[tuple[str, str], ...] = field(repr=False)
    dry_run: bool
    base: str = ""


@dataclass(frozen=True, slots=True)
class ReadLog(Operation):
    """Read records, newest `limit` matching `query` after index `after` (-1: from the start)."""

    query: str
    after: int
    limit: int

    @property
    def requested(self) -> str:
        return self.query
