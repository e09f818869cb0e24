"""TLS and kept connections: what the scripted endpoint, which closes after each answer, is not."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2p_modelex.chain.evm.http import HttpEndpoint
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.errors import ChainUnreachable

_ANSWER = b'{"jsonrpc": "2.0", "id": 0, "result": "0x1"}'
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER)


def _make_certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1, with its key, to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@asynccontextmanager
async def _tls_endpoint(certificate: Path) -> AsyncGenerator[str, None]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def serve(stream: trio.abc.Stream) -> None:
        try:
            while await stream.receive_some():
                await stream.send_all(_RESPONSE)
        except trio.BrokenResourceError:
            pass  # the other side refuses us

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [trio.SSLListener(listener, context)])
        yield f"https://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


async def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with (
        _tls_endpoint(_make_certificate(tmp_path)) as url,
        Rpc(url, attempts=1) as rpc,
    ):
        with pytest.raises(ChainUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await rpc.call("eth_blockNumber")


async def test_a_trusted_certificate_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with _tls_endpoint(certificate) as url, Rpc(url, attempts=1) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x1"


async def test_a_connection_is_kept_and_one_closed_meanwhile_replaced() -> None:
    streams: list[trio.SocketStream] = []

    async def serve(stream: trio.SocketStream) -> None:
        streams.append(stream)
        async for _ in stream:
            await stream.send_all(_RESPONSE)

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        endpoint = HttpEndpoint(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        for _ in range(3):
            assert await endpoint.post(b"{}", 1000) == (200, _ANSWER)
        assert len(streams) == 1
        await trio.testing.wait_all_tasks_blocked()
        await streams[0].send_eof()
        while not endpoint._host.idle[0].socket.is_readable():
            await trio.lowlevel.checkpoint()
        assert await endpoint.post(b"{}", 1000) == (200, _ANSWER)
        assert len(streams) == 2
        await endpoint.aclose()
        nursery.cancel_scope.cancel()
