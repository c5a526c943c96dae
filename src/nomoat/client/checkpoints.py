"""The kept checkpoint: what this profile knows of the gateway's log, which must never be taken back.

Rules: a checkpoint counts only with a signature of the log's key, pinned at log-in. The kept one only
ever moves forward, and only to one that is proven to extend it (RFC 9162, section 2.1.4): a log that
was rolled back and has grown past the kept size again has the size, but no proof. A smaller one means
that the log was rolled back, another root at the same size that it was forked, no proof either of the
two. All are refused, loudly; the kept one stays as evidence, and the one that contradicts it beside it.

A request reads the kept size before it is sent. Answers of several processes that share a profile may
arrive in another order than they were signed, so only that size may not be undercut, not the newest.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from nomoat.audit.checkpoint import Checkpoint, VerifierKey, parse_verifier_key, verify_checkpoint
from nomoat.audit.tree import verify_consistency
from nomoat.client.errors import BadProfile, LogContradicted, Unintelligible, Untrusted, Unwritable
from nomoat.client.profiles import CONTRADICTING, Identity, Profile
from nomoat.core.errors import Corrupt, Malformed, Refused, Unavailable

Prove = Callable[[int, int], Sequence[bytes]]
"""Ask the gateway for the proof between two sizes of its log, smaller first."""


class Watch:
    """One request's view of the log: what was known before it was sent."""

    def __init__(self, keeper: "Keeper", before: Checkpoint | None) -> None:
        self._keeper = keeper
        self._before = before

    def keep(self, note: str, prove: Prove) -> Checkpoint:
        """Verify the checkpoint that came with an answer, and keep it if it is the newest.

        Raises `LogContradicted` if it takes back what was known, or nothing proves that it does not,
        and `Unavailable` if it does not parse or the gateway cannot be asked for the proof now.
        """
        return self._keeper.accept(note, self._before, prove)


class Keeper:
    """The checkpoint that a profile keeps of its gateway's log."""

    def __init__(self, profile: Profile, identity: Identity) -> None:
        """Raises `BadProfile` if the profile's log key does not parse."""
        self._profile = profile
        try:
            self._key: VerifierKey = parse_verifier_key(identity.log_key)
        except Malformed as error:
            raise BadProfile(profile.name, f"its log key does not parse: {error.reason}") from None

    def watch(self) -> Watch:
        """Remember what is known now, before a request is sent."""
        return Watch(self, self.kept())

    def kept(self) -> Checkpoint | None:
        """Return the kept checkpoint, verified; None if there never was one. Raises `BadProfile`."""
        try:
            return verify_checkpoint(self._profile.read("checkpoint"), self._key)
        except FileNotFoundError:
            return None
        except (Malformed, Corrupt) as error:
            raise BadProfile(
                self._profile.name,
                f"its kept checkpoint does not verify ({error})",
                advice=f"find out who changed {self._profile.checkpoint_path}",
            ) from None

    def accept(self, note: str, before: Checkpoint | None, prove: Prove) -> Checkpoint:
        """Verify `note`, have it proven against what was known, and keep it if it is the newest."""
        try:
            offered = verify_checkpoint(note.encode(), self._key)
        except Malformed as error:
            raise Unavailable("gateway", f"its checkpoint does not parse: {error.reason}") from None
        except Corrupt as error:
            raise LogContradicted(
                f"the gateway's log is not signed by the key that this profile pinned ({error})"
            ) from None
        if before is not None and offered.size < before.size:
            raise self._contradicted(
                f"the log was rolled back: this profile saw {before.size} records, "
                f"the gateway now signs a log of {offered.size}",
                before,
                offered,
            )
        known = self.kept()
        self._require_one_log(known, offered, prove)
        # Another process may have moved on meanwhile; each turn its checkpoint is larger, so this ends.
        while (kept := self._move_on(known, offered)) is not known:
            known = kept
            self._require_one_log(known, offered, prove)
        return offered

    def require_one_log(self, checkpoint: Checkpoint, prove: Prove) -> None:
        """Raise `LogContradicted` unless a verified checkpoint, older or newer, is of the log that is known."""
        self._require_one_log(self.kept(), checkpoint, prove)

    def _move_on(self, known: Checkpoint | None, offered: Checkpoint) -> Checkpoint | None:
        """Keep `offered`, proven against `known`, unless something else is kept by now; return what that was.

        The gateway is never asked under the lock: a slow one would stop every process of the profile.
        """
        with self._profile.locked():
            kept = self.kept()
            if kept is not None and (known is None or kept.head != known.head):
                return kept
            if kept is None or offered.size > kept.size:
                self._profile.write("checkpoint", offered.note)
        return known

    def _require_one_log(self, known: Checkpoint | None, offered: Checkpoint, prove: Prove) -> None:
        """Raise `LogContradicted` unless the smaller of the two is proven to be the beginning of the larger."""
        if known is None or known.head == offered.head:
            return
        if known.size == offered.size:
            raise self._contradicted(
                f"the log was forked: two different logs of {offered.size} records are signed", known, offered
            )
        old, new = sorted((known.head, offered.head), key=lambda head: head.size)
        try:
            # Everything extends the empty log, without a proof.
            verify_consistency(old, new, prove(old.size, new.size) if old.size else ())
        except Untrusted:
            raise
        except Corrupt:
            raise self._contradicted(
                f"the log was rolled back or forked: the gateway signs {offered.size} records, and its proof "
                f"does not join them to the {known.size} that this profile saw",
                known,
                offered,
            ) from None
        except (Refused, Unintelligible) as error:
            raise self._contradicted(
                f"the log was rolled back or forked: the gateway signs {offered.size} records, and gives no proof "
                f"that joins them to the {known.size} that this profile saw ({error.reason})",
                known,
                offered,
            ) from None

    def _contradicted(self, reason: str, known: Checkpoint, offered: Checkpoint) -> LogContradicted:
        """Keep the checkpoint that contradicts the kept one as well: both are signed, and together they convict."""
        kept = self._profile.checkpoint_path
        evidence = f"{kept}"
        with suppress(Unwritable):  # a full disk must not keep anybody from being told
            self._profile.write(CONTRADICTING, offered.note)
            evidence += f" and {kept.with_name(CONTRADICTING)}"
        return LogContradicted(
            reason,
            kept=known.size,
            offered=offered.size,
            advice=f"stop trusting this gateway, keep {evidence}, tell your security team, "
            f"and have a copy of the log checked: nomoat audit verify COPY --checkpoint {kept}",
        )
