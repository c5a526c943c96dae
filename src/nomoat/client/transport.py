"""HTTPS to a gateway: TLS 1.3 only, trust pinned to one CA, answers mapped to the errors of the path.

Rules: the one unverified connection is `UnsafeUnverified`, which can fetch the public CA and nothing
else. Trust never comes from the system's certificate store or from the environment. An answer is
read up to a limit and parsed as JSON before anybody trusts a field of it.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import urlsplit

import httpx2

from nomoat import __version__
from nomoat.client.errors import NoGateway, Unintelligible, Untrusted
from nomoat.core.errors import (
    Conflict,
    Malformed,
    NotFound,
    NotPermitted,
    Refused,
    TooLarge,
    Unanswered,
    Unauthenticated,
    Unavailable,
)

LIMIT: Final = 64 * 1024 * 1024
CA_LIMIT: Final = 64 * 1024
_NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID of OpenSSL
PATIENCE_S: Final = 30.0
CONNECT_S: Final = 10.0

Answer = Mapping[str, object]


def parse_url(text: str) -> str:
    """Parse a gateway's address into `https://host[:port]`; raise `Malformed` for anything else."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if (
        parts.scheme != "https"
        or not parts.hostname
        or port == -1
        or parts.username is not None
        or parts.path not in {"", "/"}
        or parts.query
        or parts.fragment
    ):
        raise Malformed("a gateway's address is https://HOST or https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" if port is None else f"https://{host}:{port}"


def pinned_context(ca: str) -> ssl.SSLContext:
    """Return a TLS 1.3 context that trusts exactly the CA certificate `ca` (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the chain and the host's name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=ca)
    return context


class Transport:
    """Requests to one gateway over one context. Close it, or use it as a context manager.

    `nonce` is the newest that an answer brought for DPoP proofs (RFC 9449, section 8), '' before that.
    """

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self.url = url
        self.nonce = ""
        headers = {"user-agent": f"nomoat/{__version__}", "accept": "application/json"}
        self._client = httpx2.Client(base_url=url, verify=context, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get_bytes(self, path: str, *, limit: int = LIMIT) -> bytes:
        """GET what is not JSON; raises as `call` does."""
        return self._bytes("GET", path, None, limit, PATIENCE_S)

    def post_bytes(self, path: str, body: Mapping[str, object], *, patience: float, limit: int = LIMIT) -> bytes:
        """POST for what is not JSON, and wait for it `patience` seconds; raises as `call` does."""
        return self._bytes("POST", path, body, limit, patience)

    def _bytes(self, method: str, path: str, sent: Mapping[str, object] | None, limit: int, patience: float) -> bytes:
        status, body, retry = self._exchange(method, path, sent, {}, limit, patience)
        if status != 200:
            if not body.startswith(b"{"):
                raise NoGateway(f"what answers at {self.url} is no gateway (status {status} for {path})")
            raise _refusal(status, _parse(body), retry)
        return body

    def get_text(self, path: str, *, limit: int = LIMIT) -> str:
        """GET a public text; raises as `call` does."""
        try:
            return self.get_bytes(path, limit=limit).decode()
        except UnicodeDecodeError:
            raise _unintelligible(f"{path} is not text") from None

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        authorization: str = "",
        proof: str = "",
        limit: int = LIMIT,
        patience: float = PATIENCE_S,
    ) -> Answer:
        """Make one request, with a DPoP `proof` if there is one, and return its JSON object.

        It has at most `limit` bytes, and is waited for `patience` seconds.

        Raises a `Refused` for what the gateway refused (its sentence and record number), `Unavailable`
        when it or a part of it is, `Untrusted` when the other side is not the gateway.
        """
        headers = {"authorization": authorization} if authorization else {}
        if proof:
            headers["dpop"] = proof
        status, content, retry = self._exchange(method, path, body, headers, limit, patience)
        answer = _parse(content)
        if status != 200:
            raise _refusal(status, answer, retry)
        return answer

    def stream(self, method: str, path: str, body: Mapping[str, object]) -> Iterator[bytes]:
        """Make one request and yield its answer as it arrives, however long it is.

        Raises as `call` does, also in the middle: what was yielded before is then not all of it.
        """
        headers = {"content-type": "application/json"}
        try:
            with self._client.stream(method, path, content=json.dumps(body).encode(), headers=headers) as response:
                if response.status_code == 200:
                    yield from response.iter_bytes()
                    return
                refused = response.read()[:LIMIT]
        except httpx2.TransportError as error:
            raise self._unreached(error) from error
        except httpx2.HTTPError as error:
            raise _unintelligible(f"the answer to {path} is not HTTP that it should be: {error}") from error
        raise _refusal(response.status_code, _parse(refused), response.headers.get("retry-after", ""))

    def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str],
        limit: int,
        patience: float = PATIENCE_S,
    ) -> tuple[int, bytes, str]:
        content = None if body is None else json.dumps(body).encode()
        sent = {**headers, "content-type": "application/json"} if content is not None else dict(headers)
        received = bytearray()
        try:
            timeout = httpx2.Timeout(patience, connect=CONNECT_S)
            with self._client.stream(method, path, content=content, headers=sent, timeout=timeout) as response:
                for part in response.iter_bytes():
                    received += part
                    if len(received) > limit:
                        raise _unintelligible(f"the answer to {path} is over {limit} bytes")
                self.nonce = response.headers.get("dpop-nonce", self.nonce)
                return response.status_code, bytes(received), response.headers.get("retry-after", "")
        except httpx2.TransportError as error:
            raise self._unreached(error) from error
        except httpx2.HTTPError as error:
            raise _unintelligible(f"the answer to {path} is not HTTP that it should be: {error}") from error

    def _unreached(self, error: httpx2.TransportError) -> Refused | Unavailable:
        """Tell apart who refused whom when no answer came."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                if cause.verify_code == _NOT_YET_VALID:
                    return Untrusted(
                        f"by this machine's clock, the certificate of the server at {self.url} is not valid yet",
                        advice="compare the clocks of both machines, and set the wrong one",
                    )
                return Untrusted(
                    f"the server at {self.url} is not the gateway of this trust domain: {cause.verify_message}",
                    advice="check the address; if the gateway was set up anew, log in with a new code",
                )
            # An alert names what the other side disliked; it can only be the client certificate here.
            if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
                reason = (cause.reason or "").lower().replace("_", " ")
                return Unauthenticated(
                    "the gateway refused this profile's certificate", kind="certificate", detail=reason
                )
            cause = cause.__cause__ or cause.__context__
        reason = f"{self.url} cannot be reached ({str(error) or type(error).__name__})"
        # After a connection was made, the gateway is there: it may have been stopped, or be too busy.
        unconnected = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol))
        return NoGateway(reason) if unconnected else Unavailable("gateway", reason)


class UnsafeUnverified:
    """The one connection without verification: it fetches a CA that the caller checks by its fingerprint."""

    def __init__(self, url: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._url = url
        self._context = context

    def fetch_ca(self) -> str:
        """Return what the server calls its CA (PEM): hostile until its fingerprint was checked."""
        with Transport(self._url, self._context) as transport:
            return transport.get_text("/v1/ca", limit=CA_LIMIT)


_KINDS: Final[Mapping[int, type[Refused]]] = {
    400: Malformed,
    403: NotPermitted,
    409: Conflict,
    413: TooLarge,
    422: Unanswered,
}


def _refusal(status: int, answer: Answer, retry: str = "") -> Refused | Unavailable:
    """Turn a refusal on the wire back into the error that it was."""
    reason = answer.get("error")
    record = answer.get("record")
    if isinstance(reason, dict):  # as OpenAI's and Anthropic's clients want it, where they ask for the same
        reason = cast("dict[str, object]", reason).get("message")
    if not isinstance(reason, str):
        return _unintelligible(f"status {status}")
    reason = reason.removeprefix("refused: ").removeprefix("unavailable: ").removesuffix(f" (record {record})")
    if status == 503:
        again = f" (try again in {retry} s)" if retry.isdecimal() else ""
        return Unavailable("gateway", reason + again)
    refused: Refused
    if status == 401:
        refused = Unauthenticated(reason, kind="refused")
    elif status == 404:
        refused = NotFound(reason, kind="entry")
    elif status in _KINDS:
        refused = _KINDS[status](reason)
    else:
        return Unintelligible(f"{reason} (status {status})")
    refused.record = record if isinstance(record, int) else None
    return refused


def _parse(content: bytes) -> Answer:
    try:
        document: object = json.loads(content)
    except ValueError:
        raise _unintelligible("not JSON") from None
    if not isinstance(document, dict):
        raise _unintelligible("not a JSON object")
    return cast("dict[str, object]", document)


def _unintelligible(detail: str) -> Unintelligible:
    return Unintelligible(f"it answered what this version of nomoat does not understand ({detail})")
