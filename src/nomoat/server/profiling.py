"""Having contents profiled: the profiler's process is started when there is something to look at, and asked.

Rules: as of a scan (`nomoat.server.scanning`): what comes back is parsed as strictly as a stranger's, and no proper
answer is a profile that says so.
"""

import asyncio
import base64
from typing import Final, final

from nomoat.core import claims
from nomoat.core.errors import Corrupt, Unavailable
from nomoat.core.profile import LONGEST, Profile, parse_profile
from nomoat.core.verdict import Scannable
from nomoat.server.scanning import LONGEST_ANSWER, ScannerProcess, asked

MODULE: Final = "nomoat.server.profiler"
UNPROFILED: Final = ""  # the format of what nobody looked at: somebody will
LONGEST_S: Final = 120.0


@final
class Profiler:
    """Has contents profiled, one at a time. `key` is of the hashes: rows are alike under the same key only."""

    def __init__(self, process: ScannerProcess, key: bytes) -> None:
        self._process = process
        self._key = key
        self._room = asyncio.Semaphore(1)

    async def profile(self, content: Scannable) -> Profile:
        """Profile a content. Raises `Corrupt` or `Unavailable` when it cannot be read."""
        async with self._room:
            try:
                async with asyncio.timeout(LONGEST_S):
                    return await self._asked(content)
            except (Corrupt, Unavailable):
                raise
            except TimeoutError:
                why = f"looking at it took longer than {LONGEST_S:.0f} s"
            except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
                why = f"the profiler gave no answer ({type(error).__name__})"
        return Profile(UNPROFILED, why=why[: 2 * LONGEST])

    async def _asked(self, content: Scannable) -> Profile:
        line = await asked(self._process, {"size": content.size, "key": self._key.hex()}, [content])
        (answer,) = map(claims.table, claims.items(claims.parse(line), 1))
        signatures = claims.text(answer["signatures"], LONGEST_ANSWER)
        return parse_profile(answer, base64.b64decode(signatures, validate=True))
