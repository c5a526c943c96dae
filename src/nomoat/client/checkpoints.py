"""The kept checkpoint: what this profile knows of the gateway's log, which must never be taken back.

Rules: a checkpoint counts only with a signature of the log's key, pinned at log-in. The kept one only
ever moves forward. A smaller one means that the log was rolled back, another root at the same size
that it was forked: both are refused, loudly, and the kept one stays as evidence.

A request reads the kept size before it is sent. Answers of several processes that share a profile may
arrive in another order than they were signed, so only that size may not be undercut, not the newest.
"""

from nomoat.audit.checkpoint import Checkpoint, VerifierKey, parse_verifier_key, verify_checkpoint
from nomoat.client.errors import BadProfile, LogContradicted
from nomoat.client.profiles import Identity, Profile
from nomoat.core.errors import Corrupt, Malformed, Unavailable


class Watch:
    """One request's view of the log: what was known before it was sent."""

    def __init__(self, keeper: "Keeper", before: Checkpoint | None) -> None:
        self._keeper = keeper
        self._before = before

    def keep(self, note: str) -> Checkpoint:
        """Verify the checkpoint that came with an answer and keep it if it is the newest.

        Raises `LogContradicted` if it takes back what was known before the request.
        """
        return self._keeper.accept(note, self._before)


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

    def accept(self, note: str, before: Checkpoint | None) -> Checkpoint:
        """Verify `note`, compare it with what was known, and keep it if it is the newest."""
        try:
            offered = verify_checkpoint(note.encode(), self._key)
        except Malformed as error:
            raise Unavailable("gateway", f"its checkpoint does not parse: {error.reason}") from None
        except Corrupt as error:
            raise LogContradicted(
                f"the gateway's log is not signed by the key that this profile pinned ({error})"
            ) from None
        with self._profile.locked():
            kept = self.kept()
            for known in (before, kept):
                if known is not None and known.size == offered.size and known.head.root != offered.head.root:
                    raise LogContradicted(
                        f"the log was forked: two different logs of {offered.size} records are signed",
                        kept=known.size,
                        offered=offered.size,
                    )
            if before is not None and offered.size < before.size:
                raise LogContradicted(
                    f"the log was rolled back: this profile saw {before.size} records, "
                    f"the gateway now signs a log of {offered.size}",
                    kept=before.size,
                    offered=offered.size,
                )
            if kept is None or offered.size > kept.size:
                self._profile.write("checkpoint", offered.note)
        return offered
