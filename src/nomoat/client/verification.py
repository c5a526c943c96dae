"""Offline verification at the caller's side: which key, which kept checkpoints, and what they prove.

Rules: a key that this user pinned or gave comes before one that lies beside the log, because whoever
could rewrite the log could have replaced that one too. Every checkpoint that a profile of this user
keeps of the log is brought to bear, whether it was asked for or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import WITNESS_KEY, VerifierKey, parse_checkpoint, parse_verifier_key
from nomoat.audit.copies import prove_from_copy
from nomoat.audit.quorum import NOBODY, Quorum
from nomoat.audit.receipt import (
    OPENING_LIMIT,
    RECEIPT_LIMIT,
    Proven,
    parse_opening,
    parse_receipt,
    verify_opening,
    verify_receipt,
)
from nomoat.audit.report import Report
from nomoat.audit.segments import CHECKPOINT_FILE, list_segments
from nomoat.audit.verification import verify_directory
from nomoat.client.profiles import Profile, all_profiles
from nomoat.core.errors import Malformed, NoMoatError

KEY_BESIDE: Final = Path("public") / "log.vkey"
LONGEST_TEXT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified with what. `trusted_key` is False if the key lay beside the log itself.

    `key_from` and `kept_from` say where the key and the kept checkpoints came from.
    """

    report: Report
    trusted_key: bool
    key_from: str
    kept_from: tuple[str, ...]


def verify(
    directory: Path,
    environment: Mapping[str, str],
    *,
    key: str = "",
    checkpoints: Sequence[Path] = (),
    quorum: Quorum = NOBODY,
) -> Verified:
    """Verify a log, a data directory or a copy of either.

    `key` is a verifier key or a file with one, `checkpoints` files with checkpoints that somebody kept, of which
    or of the log's own `quorum` must have cosigned one. Raises `Malformed` when there is no log, or no key for it.
    """
    log = directory / "log" if (directory / "log").is_dir() else directory
    if not list_segments(log):
        raise Malformed(f"{directory} holds no log; give a data directory, its log, or a copy of either")
    profiles = _followers(environment)
    chosen, source, trusted = _choose_key(directory, log, key, profiles)
    kept = {str(path): _read(path) for path in checkpoints}
    for profile, followed in profiles:
        if followed == chosen and profile.checkpoint_path.is_file():
            kept[f"profile {profile.name!r}"] = profile.read("checkpoint")
    report = verify_directory(log, chosen, list(kept.values()), quorum)
    return Verified(report, trusted, source, tuple(kept))


def _followers(environment: Mapping[str, str]) -> list[tuple[Profile, VerifierKey]]:
    """Return the profiles that can be read, with the log key that each pinned."""
    found: list[tuple[Profile, VerifierKey]] = []
    for profile in all_profiles(environment):
        try:
            found.append((profile, parse_verifier_key(profile.identity().log_key)))
        except NoMoatError:
            continue  # a damaged profile knows nothing; the command that uses it says so
    return found


def _choose_key(
    directory: Path, log: Path, given: str, profiles: Sequence[tuple[Profile, VerifierKey]]
) -> tuple[VerifierKey, str, bool]:
    """Return the key to verify with, where it is from, and whether it is independent of the log."""
    if given:
        return parse_verifier_key(read_key(given)), "given", True
    if pinned := _pinned(_origin(log), profiles):
        return *pinned, True
    if (directory / KEY_BESIDE).is_file():
        return parse_verifier_key(read_key(str(directory / KEY_BESIDE))), f"{KEY_BESIDE} beside the log", False
    raise Malformed("the log's public key is needed: --key KEY (a verifier key, or a file with one)")


def pinned_keys(origin: str, environment: Mapping[str, str]) -> set[VerifierKey]:
    """Return the keys that this user's profiles pinned for a log."""
    return {key for _, key in _followers(environment) if key.name == origin}


def _pinned(origin: str, profiles: Sequence[tuple[Profile, VerifierKey]]) -> tuple[VerifierKey, str] | None:
    """Return the one key that profiles pinned for a log, and who did. Raises `Malformed` when they disagree."""
    pinned = {str(key): (key, profile) for profile, key in profiles if key.name == origin}
    if len(pinned) > 1:
        raise Malformed(f"profiles pinned different keys for the log {origin!r}; say which: --key KEY")
    for key, profile in pinned.values():
        return key, f"pinned by profile {profile.name!r}"
    return None


def _origin(log: Path) -> str:
    """Return what the log calls itself; '' if it does not say. Nothing is believed because of it."""
    try:
        return parse_checkpoint(_read(log / CHECKPOINT_FILE)).origin
    except (OSError, Malformed):
        return ""


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt that verified. `content` is its readable content where an opening was given, `key_from` says whose key."""

    proven: Proven
    content: Mapping[str, object] | None
    key_from: str


def verify_receipt_file(
    receipt: Path,
    environment: Mapping[str, str],
    *,
    key: str = "",
    opening: Path | None = None,
    quorum: Quorum = NOBODY,
) -> VerifiedReceipt:
    """Verify a receipt offline, and that `opening` is what its record says.

    Raises `Malformed` for what does not parse or when no key is known for its log, `Corrupt` when it does not verify.
    """
    data = _read(receipt, RECEIPT_LIMIT + 1)
    if key:
        chosen, source = parse_verifier_key(read_key(key)), "given"
    else:
        found = _pinned(parse_checkpoint(parse_receipt(data).note).origin, _followers(environment))
        if found is None:
            raise Malformed("the log's public key is needed: --key KEY (a verifier key, or a file with one)")
        chosen, source = found
    proven = verify_receipt(data, chosen, quorum)
    content = None if opening is None else verify_opening(parse_opening(_read(opening, OPENING_LIMIT + 1)), proven)
    return VerifiedReceipt(proven, content, source)


def prove_offline(directory: Path, number: int, environment: Mapping[str, str], *, key: str = "") -> bytes:
    """Return the receipt of a record from a log, a data directory or a copy of either. Raises as `verify` does."""
    log = directory / "log" if (directory / "log").is_dir() else directory
    if not list_segments(log):
        raise Malformed(f"{directory} holds no log; give a data directory, its log, or a copy of either")
    chosen, _, _ = _choose_key(directory, log, key, _followers(environment))
    return prove_from_copy(log, number, chosen)


def read_quorum(witnesses: Sequence[str], needed: int | None = None) -> Quorum:
    """Return the quorum of witnesses, given as verifier keys or files with one; all of them without `needed`.

    Raises `Malformed`.
    """
    keys = tuple(parse_verifier_key(read_key(witness), WITNESS_KEY) for witness in witnesses)
    return Quorum(keys, len(keys) if needed is None else needed)


def read_key(given: str) -> str:
    """Return the text of a verifier key, which is given as text or as a file's name. Raises `Malformed`."""
    if "+" in given and not Path(given).exists():
        return given
    try:
        return _read(Path(given)).decode()
    except (Malformed, UnicodeDecodeError):
        raise Malformed(f"{given!r:.80} is neither a verifier key nor a file with one") from None


def _read(path: Path, most: int = LONGEST_TEXT) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(most)
    except OSError as error:
        raise Malformed(f"{path} cannot be read: {error.strerror}") from None
