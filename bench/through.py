"""A bare pass-through over TLS: the gateway's server and its connections to servers, and nothing between them."""

import sys
import tempfile
from pathlib import Path
from typing import final

from bench.bare import serve
from nomoat.protocols.http.asgi import Receive, Scope, Send
from nomoat.wire.connections import Pool


@final
class Through:
    """Passes every request on."""

    def __init__(self, url: str) -> None:
        self._pool = Pool(url, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        path: bytes = scope["raw_path"]
        connection = await self._pool.take()
        connection.begin("POST", owes_body=False)
        await connection.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (path, len(body), body))
        head = await connection.answer()
        headers = [(name, value) for name, value in head.headers if name != b"transfer-encoding"]
        await send({"type": "http.response.start", "status": head.status, "headers": headers})
        async for part in connection.parts():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self._pool.give_back(connection)


def main() -> None:
    """Serve on the port that the command line names, for the server that it names."""
    with tempfile.TemporaryDirectory() as name:
        serve(Through(sys.argv[2]), int(sys.argv[1]), Path(name))


if __name__ == "__main__":
    main()
