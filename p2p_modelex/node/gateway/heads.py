"""Requests by their heads: which are refused, and what one is once it has come whole."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

from p2p_modelex.limits import MIB
from p2p_modelex.node.gateway.refusal import Refusal

BODY_BYTES = 2 * MIB
"""A prompt's frame of 256 KiB may be six times as long in JSON (`\\u0000`), and has company."""
HEADERS_MAX = 100


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that has come whole. path: without the query, whose last value of a name counts.
    headers: names in lower case.

    is_local: it came over the loopback interface.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    is_local: bool


def check_head(head: h11.Request) -> None:
    """Raise Refusal for a request that is wrong by its head."""
    if head.http_version not in (b"1.0", b"1.1"):
        raise Refusal(505, "malformed_http", "this is HTTP/1.1, without a choice of others")
    if len(head.headers) > HEADERS_MAX:
        raise Refusal(431, "too_many_headers", f"a request has at most {HEADERS_MAX} headers")
    named = dict(head.headers)
    if b"content-length" in named and b"transfer-encoding" in named:
        # Of two lengths a proxy may have believed the other (RFC 9112, 6.1).
        raise Refusal(400, "malformed_http", "a request has one length, not two")
    if int(named.get(b"content-length", 0)) > BODY_BYTES:
        raise too_large()
    if named.get(b"content-encoding", b"identity").lower() != b"identity":
        message = "send the body as it is, without a content-encoding"
        raise Refusal(415, "unsupported", message, param="content-encoding")


def too_large() -> Refusal:
    """What a body over BODY_BYTES is told."""
    return Refusal(413, "request_too_large", f"a request's body has at most {BODY_BYTES} bytes")


def build_request(head: h11.Request, body: bytes, is_local: bool) -> HttpRequest:
    """Return a request that has come whole."""
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    path, _, query = head.target.decode("ascii").partition("?")
    named = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    return HttpRequest(head.method.decode("ascii"), path, named, headers, body, is_local)
