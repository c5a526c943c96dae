"""Requests that wait for a person to log in again, instead of failing a job of hours.

Rules: a request waits only if nothing of it is lost by that, so few at a time and for a bounded time; then it is
made again once, or its first answer is passed on. Nobody logs in here: the proxy watches for what a person does
with `nomoat login`, and a profile that is somebody else's by then is none of its.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from nomoat.client.errors import NotLoggedIn
from nomoat.client.proxy.holder import Holder
from nomoat.core.errors import NoMoatError
from nomoat.wire.connections import Broken, Head

LONGEST_S: Final = 120.0  # how long a request waits if nothing else is said
MOST: Final = 64  # requests that wait together; a further one is answered at once
LOOK_S: Final = 0.25  # between two looks at the profile
STILL_S: Final = 4.0  # between two signs of life: stock clients give up after 10 seconds of silence


class Waiting:
    """The requests of one proxy that wait, each at most `longest` seconds. `tell` hears what has to be done."""

    def __init__(self, holder: Holder, tell: Callable[[NoMoatError], None], longest: float) -> None:
        self._holder = holder
        self._tell = tell
        self._longest = longest
        self._held = 0

    async def for_log_in(self, why: str, session: str, is_gone: Callable[[], bool], still: Callable[[], None]) -> bool:
        """Wait until the profile has another session than `session`; return whether it has, in time.

        `still` is called now and then, to tell the client that it is not forgotten. Raises `Broken` when it left.
        """
        if self._longest <= 0 or self._held >= MOST or not self._holder.is_person:
            return False
        self._held += 1
        try:
            if self._held == 1:
                self._tell(self._what_to_do(why))
            async with asyncio.timeout(self._longest):
                await self._other_session(session, is_gone, still)
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._held -= 1

    async def _other_session(self, session: str, is_gone: Callable[[], bool], still: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        told = loop.time()
        while self._holder.session_at_hand() in {session, ""}:
            await asyncio.sleep(LOOK_S)
            if is_gone():
                raise Broken("the client left")
            if loop.time() - told >= STILL_S:
                still()
                told = loop.time()

    def _what_to_do(self, why: str) -> NotLoggedIn:
        name = self._holder.profile.name
        reason = f"{why}; a request waits up to {self._longest:.0f} seconds for a new log-in"
        return NotLoggedIn(name, reason, advice=f"nomoat login --profile {name}")


def asks_for_log_in(head: Head) -> str:
    """What an answer says is needed, if it is a new log-in (RFC 9470, section 3); '' otherwise."""
    challenge = head.get(b"www-authenticate") if head.status == 401 else b""
    if b'error="insufficient_user_authentication"' not in challenge:
        return ""
    age = challenge.partition(b'max_age="')[2].partition(b'"')[0]
    least = f" that is at most {int(age)} seconds old" if age.isdigit() and len(age) < 10 else " that is newer"
    return f"the gateway asks for a log-in{least}"
