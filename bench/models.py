"""A server of models that says the same at once: whole, or as a stream of 64 events. Prints its address.

The model `lasting` says one event and then nothing, `endless` as much as is read.
"""

import asyncio
import sys
from typing import Final, cast

import httptools
import uvloop

CHUNKS: Final = 64
WHOLE: Final = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
)
EVENT: Final = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":'
    b'"word "},"finish_reason":null}]}\n\n'
)
JSON: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE)
STREAM: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK: Final = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


class Models(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._full = False

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._endlessly()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        streamed = b'"stream":true' in body
        if not streamed:
            self._transport.write(JSON)
            return
        self._transport.write(STREAM)
        if b'"lasting"' in body:
            self._transport.write(CHUNK)
            return
        if b'"endless"' in body:
            self._endlessly()
            return
        asyncio.get_running_loop().call_soon(self._more, CHUNKS)

    def _endlessly(self) -> None:
        while not self._full and not self._transport.is_closing():
            self._transport.write(CHUNK * 64)

    def _more(self, left: int) -> None:
        if self._transport.is_closing():
            return
        # One event a turn, as a model's come: together they would be one packet.
        self._transport.write(CHUNK if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_soon(self._more, left - 1)


async def serve(port: int) -> None:
    """Serve until the end."""
    server = await asyncio.get_running_loop().create_server(Models, "127.0.0.1", port)
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
