"""Files that were uploaded and are in no index yet: held in memory for whoever uploaded them, until they put them into one.

Rules: a file is its session's own and is found by nobody else, not even by its name. It is never on disk. How many there are, how
large, and for how long is bounded, for a session and for all of them together; what is in an index already makes room first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from nomoat.core.decision import Withhold, withheld_parts
from nomoat.core.directory import Directory
from nomoat.core.errors import NotFound, NotPermitted, TooLarge, Unavailable
from nomoat.core.operation import ListUploads, Operation, RemoveUpload, Resolved, UploadFile
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.identities import target_of
from nomoat.resources.repositories.resolution import Resolver
from nomoat.resources.retrieval.targets import index_target

LARGEST: Final = 16 << 20  # bytes of a file
MOST_FILES: Final = 100  # of one session
MOST_BYTES: Final = 32 << 20  # of one session's files
MOST_OF_ALL: Final = 128 << 20  # bytes of everybody's
LIFE_S: Final = 3600.0
UNKNOWN: Final = "no file of that name was uploaded in this session, or its time is over: upload it"


class Owner(NamedTuple):
    """Whose a file is: who uploaded it, in which session."""

    subject: str
    session: str


@dataclass(slots=True)
class Upload:
    """A file that is held, by the name that it will have in an index; `at` and `until` in seconds since 1970."""

    name: str
    content: bytes = field(repr=False)
    at: float
    until: float
    used: bool = False


@final
class Uploads:
    """The files that are held. Owned by the event loop."""

    def __init__(self, directory: Callable[[], Directory], clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._held: dict[Owner, OrderedDict[str, Upload]] = {}

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            UploadFile: self.resolve_upload,
            ListUploads: self.resolve_list,
            RemoveUpload: self.resolve_remove,
        }

    def resolve_upload(self, who: Principal, operation: UploadFile) -> Resolved[UploadFile]:
        """Resolve to the caller, who uploads for itself; the parts are the indexes that the file could be for."""
        indexes = [index_target(index) for _, index in sorted(self._directory().indexes.items())]
        return Resolved(operation, (target_of(who),), parts=tuple(indexes))

    def resolve_list(self, who: Principal, operation: ListUploads) -> Resolved[ListUploads]:
        """Resolve to the caller, who asks for itself."""
        return Resolved(operation, (target_of(who),))

    def resolve_remove(self, who: Principal, operation: RemoveUpload) -> Resolved[RemoveUpload]:
        """Resolve to the caller, who asks for itself."""
        return Resolved(operation, (target_of(who),))

    def hold(self, permit: Permit[UploadFile]) -> Upload:
        """Hold a file, in the place of one of that name; for who may write into some index.

        Raises `NotPermitted` for who may write into none, `TooLarge`, `Unavailable` when others hold too much.
        """
        resolved = permit.claim(UploadFile, Withhold)
        if len(withheld_parts(permit.allow.obligations)) >= len(resolved.parts):
            raise NotPermitted("you may put documents into no index, so there is nothing to upload a file for")
        operation, now, owner = resolved.operation, self._clock(), _owner(permit.principal)
        if len(operation.content) > LARGEST:
            raise TooLarge(f"a file has at most {LARGEST:,} bytes")
        self._expire(now)
        own = self._held.get(owner, OrderedDict())
        own.pop(operation.name, None)
        self._make_room(own, len(operation.content))
        upload = own[operation.name] = Upload(operation.name, operation.content, now, now + LIFE_S)
        self._held[owner] = own
        permit.note(bytes=len(operation.content), sha256=hashlib.sha256(operation.content).hexdigest())
        return upload

    def list_uploads(self, permit: Permit[ListUploads]) -> list[Upload]:
        """The files that the caller's session holds, or the one that is asked for. Raises `NotFound` for one that it does not."""
        operation = permit.claim(ListUploads).operation
        own = self._own(permit.principal)
        if not operation.name:
            return list(own.values())
        if operation.name not in own:
            raise NotFound(UNKNOWN, kind="file")
        return [own[operation.name]]

    def remove(self, permit: Permit[RemoveUpload]) -> None:
        """Hold a file no more. Raises `NotFound` when the caller's session holds none of that name."""
        name, own = permit.claim(RemoveUpload).operation.name, self._own(permit.principal)
        if own.pop(name, None) is None:
            raise NotFound(UNKNOWN, kind="file")

    def of(self, who: Principal, name: str) -> Upload:
        """A file that somebody uploaded in this session, for what they put into an index. Raises `NotFound`."""
        upload = self._own(who).get(name)
        if upload is None:
            raise NotFound(UNKNOWN, kind="file")
        return upload

    def forget(self, sessions: Collection[str]) -> None:
        """Hold nothing for sessions that have ended."""
        for owner in [each for each in self._held if each.session and each.session in sessions]:
            del self._held[owner]

    def _own(self, who: Principal) -> OrderedDict[str, Upload]:
        self._expire(self._clock())
        return self._held.get(_owner(who), OrderedDict())

    def _expire(self, now: float) -> None:
        for owner, held in list(self._held.items()):
            for name in [each.name for each in held.values() if each.until <= now]:
                del held[name]
            if not held:
                del self._held[owner]

    def _make_room(self, own: OrderedDict[str, Upload], size: int) -> None:
        """Let go of what is in an index already, the oldest first, as far as that is needed. Raises `TooLarge`, `Unavailable`."""

        def is_full() -> bool:
            return len(own) >= MOST_FILES or _size(own) + size > MOST_BYTES

        for name in [each.name for each in own.values() if each.used]:
            if not is_full():
                break
            del own[name]
        if is_full():
            raise TooLarge(
                f"a session holds at most {MOST_FILES} files and {MOST_BYTES:,} bytes that are in no index: put some into one, or "
                "delete them"
            )
        if sum(map(_size, self._held.values())) + size > MOST_OF_ALL:
            raise Unavailable("uploads", "too many files are held for others; try again later")


def _owner(who: Principal) -> Owner:
    return Owner(who.subject, who.session)


def _size(held: Mapping[str, Upload]) -> int:
    return sum(len(each.content) for each in held.values())
