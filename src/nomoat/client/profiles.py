"""Profiles: what one identity at one gateway needs, in files that only its owner can read.

Rules: directories are 0700 and files 0600, from the moment they exist; files that others could
read are refused, not repaired. A file is replaced whole or not at all, and `profile.toml` is written
last, so that its presence means that a log-in was finished.

    <home>/profiles/<name>/  device.key       P-256 private key (PEM)
                             certificate.pem  the newest X.509-SVID for it
                             ca.pem           the trust domain's CA, pinned at log-in
                             profile.toml     where, who, and the key that signs the gateway's log
                             checkpoint       the newest checkpoint of that log ever seen
                             checkpoint.contradicting  the last one that could not be of the same log, if any
                             hub/token        the access token that Hugging Face clients read
                             hub/proxies/     the addresses and keys of proxies that run for it
                             hub/cache/       what they keep, in one folder for each identity
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from nomoat.client.errors import OWN_HOME, BadProfile, NotLoggedIn, Unwritable
from nomoat.core.errors import Malformed

DEFAULT: Final = "default"
CONTRADICTING: Final = "checkpoint.contradicting"

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")


def home(environment: Mapping[str, str]) -> Path:
    """Return where profiles live: `NOMOAT_HOME`, else `nomoat` under the XDG configuration directory.

    Raises `Malformed` where there is no home directory to begin at.
    """
    if chosen := environment.get("NOMOAT_HOME"):
        return _expanded(chosen)
    return _expanded(environment.get("XDG_CONFIG_HOME") or "~/.config") / "nomoat"


def _expanded(directory: str) -> Path:
    try:
        return Path(directory).expanduser().absolute()
    except RuntimeError:  # nobody knows this user's home directory
        raise Malformed(f"{directory}: there is no home directory here; {OWN_HOME}") from None


def parse_profile_name(text: str) -> str:
    """Parse a profile's name (64 characters; letters, digits, `._@-`); raise `Malformed` otherwise."""
    if not is_profile_name(text):
        raise Malformed("a profile's name has at most 64 letters, digits and '._@-'")
    return text


def is_profile_name(text: str) -> bool:
    """Whether a profile can be called `text`."""
    return bool(_NAME.fullmatch(text)) and ".." not in text


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a profile is logged in, as whom, and whose log it follows.

    `device` is empty for a workload. `log_key` is the verifier key (C2SP signed-note) of the
    gateway's log, pinned at log-in.
    """

    url: str
    trust_domain: str
    subject: str
    spiffe_id: str
    device: str
    session: str
    log_key: str

    @property
    def is_person(self) -> bool:
        """Whether a person's device is logged in (and not a workload)."""
        return self.subject.startswith("person:")


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile's directory. Nothing is read or written until a method is called."""

    name: str
    directory: Path

    @classmethod
    def named(cls, name: str, environment: Mapping[str, str]) -> "Profile":
        """Return the profile called `name` ('' for `NOMOAT_PROFILE`, else `default`)."""
        chosen = parse_profile_name(name or environment.get("NOMOAT_PROFILE") or DEFAULT)
        return cls(chosen, home(environment) / "profiles" / chosen)

    @property
    def key_path(self) -> Path:
        """The device key's file."""
        return self.directory / "device.key"

    @property
    def certificate_path(self) -> Path:
        """The certificate's file."""
        return self.directory / "certificate.pem"

    @property
    def ca_path(self) -> Path:
        """The file of the trust domain's CA."""
        return self.directory / "ca.pem"

    @property
    def token_path(self) -> Path:
        """The token file, alone in its directory: clients keep other files beside it."""
        return self.directory / "hub" / "token"

    @property
    def checkpoint_path(self) -> Path:
        """The file of the kept checkpoint."""
        return self.directory / "checkpoint"

    @property
    def exists(self) -> bool:
        """Whether a log-in was finished here."""
        return (self.directory / "profile.toml").is_file()

    def create(self) -> None:
        """Make the profile's directory, private to its owner; raise `BadProfile` where that is impossible."""
        try:
            for directory in (
                self.directory.parent.parent,
                self.directory.parent,
                self.directory,
                self.token_path.parent,
            ):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.directory, self.token_path.parent):
                directory.chmod(0o700)
        except OSError as error:
            reason = f"{error.filename or self.directory} cannot be made: {error.strerror}"
            raise BadProfile(self.name, reason, advice=OWN_HOME) from None

    def discard(self) -> None:
        """Remove the directories that `create` made, as far as nothing was kept in them."""
        with suppress(OSError):
            self.token_path.parent.rmdir()
            (self.directory / ".lock").unlink(missing_ok=True)
            self.directory.rmdir()

    def create_cache(self, subject: str) -> Path:
        """Make the folder of what stock clients keep for `subject`, private to its owner, and return it.

        A profile that is logged in anew as somebody else gets another one: a cache answers where the
        gateway refuses, so it must hold only what this very identity was given.
        """
        root = self.token_path.parent / "cache"
        # A digest, because the subject is the gateway's text and must not become a path.
        cache = root / hashlib.sha256(subject.encode()).hexdigest()[:16]
        for directory in (root, cache):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        return cache

    def create_folder(self, folder: str) -> None:
        """Make a folder of this profile and those above it, private to their owner."""
        path = self.directory
        for part in folder.split("/"):
            path /= part
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(0o700)

    def identity(self) -> Identity:
        """Read who is logged in; raise `NotLoggedIn` or `BadProfile`."""
        try:
            document = tomllib.loads(self.read("profile.toml").decode())
        except FileNotFoundError:
            raise NotLoggedIn(self.name, advice=self.login(replace="")) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise self._unreadable(f"profile.toml does not parse: {error}") from None
        expected = {field.name for field in fields(Identity)}
        if set(document) != expected or not all(isinstance(value, str) for value in document.values()):
            raise self._unreadable(f"profile.toml must hold exactly {', '.join(sorted(expected))}")
        return Identity(**document)

    def keep_identity(self, identity: Identity) -> None:
        """Write who is logged in; this finishes a log-in."""
        lines = [f"{key} = {_toml_string(value)}\n" for key, value in asdict(identity).items()]
        self.write("profile.toml", "".join(lines).encode())

    def login(self, url: str = "URL", *, replace: str = " --replace") -> str:
        """The command that logs in under this profile with a new code, in place of what there is."""
        own = "" if self.name == DEFAULT else f" --profile {self.name}"
        return f"nomoat login {url} --code CODE{replace}{own}"

    def damaged(self, file: str, what: str) -> BadProfile:
        """The error for a file that is missing or holds something else: only a new log-in helps."""
        advice = f"ask an administrator for a new code, then: {self.login()}"
        return BadProfile(self.name, f"{self.directory / file} {what}", advice=advice)

    def _unreadable(self, reason: str) -> BadProfile:
        """The error for a `profile.toml` of which not even a new log-in can learn whose profile it was."""
        advice = f"move {self.directory} away, ask an administrator for a new code, then: {self.login()}"
        return BadProfile(self.name, reason, advice=advice)

    def require(self, file: str) -> bytes:
        """Read a file that every profile has; raise `BadProfile` also if it is missing."""
        try:
            return self.read(file)
        except FileNotFoundError:
            raise self.damaged(file, "is missing") from None

    def read(self, file: str) -> bytes:
        """Read one of the profile's files; raise `BadProfile` if that fails or others could read it too.

        Only of a file that is missing, `FileNotFoundError` tells.
        """
        path = self.directory / file
        try:
            return self._read(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BadProfile(self.name, f"{path} cannot be read: {error.strerror}", advice=OWN_HOME) from None

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid != os.geteuid():
                raise BadProfile(self.name, f"{path} belongs to another user")
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise BadProfile(self.name, f"{path} can be read by others", advice=f"chmod 600 {path}")
            return stream.read()

    def write(self, file: str, data: bytes) -> None:
        """Replace one of the profile's files, whole or not at all, and durably; raise `Unwritable` if that fails."""
        path = self.directory / file
        try:
            self._write(path, data)
        except OSError as error:
            raise Unwritable(self.name, path, error.strerror or type(error).__name__) from error

    def _write(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Exclude other processes that use this profile, for the time of a read and a write; raise `Unwritable`."""
        path = self.directory / ".lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Unwritable(self.name, path, error.strerror or type(error).__name__) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def all_profiles(environment: Mapping[str, str]) -> list[Profile]:
    """Return every profile of this user with a finished log-in, by name."""
    root = home(environment) / "profiles"
    if not root.is_dir():
        return []
    found = (Profile(entry.name, entry) for entry in sorted(root.iterdir()) if _NAME.fullmatch(entry.name))
    return [profile for profile in found if profile.exists]


def _toml_string(value: str) -> str:
    """Write a TOML basic string. A JSON string is one, as long as nothing needs a surrogate pair."""
    if not value.isprintable():
        raise Malformed("a profile holds printable text only")
    return json.dumps(value, ensure_ascii=False)
