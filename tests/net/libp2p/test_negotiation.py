"""Multistream-select over a pair of our muxers, and from a peer that does not keep to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.stream_muxer.exceptions import MuxedStreamError, MuxedStreamReset

from p2p_modelex.net.libp2p.muxer import Yamux
from p2p_modelex.net.libp2p.negotiation import (
    NegotiationFailed,
    ProtocolRefused,
    accept_negotiated,
    encode_line,
    open_negotiated,
)
from tests.net.libp2p.test_muxer import make_pair

VERSION = encode_line("/multistream/1.0.0")
PATIENCE_S = 5


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Yamux, Yamux]]:
    one, other = make_pair()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.start)
            nursery.start_soon(other.start)
            yield one, other
            await one.close()


async def test_both_agree_and_what_follows_is_kept() -> None:
    async with running() as (one, other), trio.open_nursery() as nursery:

        async def answer() -> None:
            stream = await other.accept_stream()
            assert await accept_negotiated(stream, {"/a/1", "/b/1"}) == "/b/1"
            assert await stream.read() == b"payload"
            await stream.write(b"answer")

        nursery.start_soon(answer)
        stream = await open_negotiated(one, "/b/1")
        await stream.write(b"payload")
        assert await stream.read() == b"answer"


async def test_a_protocol_that_is_not_spoken_is_named_and_the_stream_ends() -> None:
    async with running() as (one, other), trio.open_nursery() as nursery:

        async def answer() -> None:
            with pytest.raises(MuxedStreamReset):
                await accept_negotiated(await other.accept_stream(), {"/a/1"})

        nursery.start_soon(answer)
        with pytest.raises(ProtocolRefused, match="/b/1"):
            await open_negotiated(one, "/b/1")
        assert not one.streams


async def test_a_peer_that_waits_for_our_version_gets_it() -> None:
    async with running() as (one, other), trio.open_nursery() as nursery:

        async def answer() -> None:
            spoken = await accept_negotiated(await other.accept_stream(), {"/a/2", "/a/1"})
            assert spoken == "/a/1"

        nursery.start_soon(answer)
        stream = one.open_stream_nowait(VERSION)
        assert await stream.read() == VERSION
        await stream.write(encode_line("/a/3"))
        assert await stream.read() == encode_line("na")
        await stream.write(encode_line("/a/1"))
        assert await stream.read() == encode_line("/a/1")


HOSTILE = [
    b"\x03\xff\xfe\n",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"\x81\x08" + bytes(1025),
    b"\x05hello",
    encode_line("/multistream/2.0.0"),
    VERSION + b"\x03\xff\xfe\n",
    VERSION + b"\x00",
    VERSION + encode_line("/b/1") * 40,
    VERSION + b"\x13/mult",
]


@pytest.mark.parametrize("said", HOSTILE)
async def test_a_hostile_opener_is_an_error_and_nothing_else(said: bytes) -> None:
    async with running() as (one, other):
        stream = one.open_stream_nowait(said)
        stream.finish()
        with pytest.raises(NegotiationFailed):
            await accept_negotiated(await other.accept_stream(), {"/a/1"})


@pytest.mark.parametrize("said", [*HOSTILE[:6], VERSION + encode_line("/b/2"), VERSION])
async def test_a_hostile_answer_is_an_error_and_resets(said: bytes) -> None:
    async with running() as (one, other), trio.open_nursery() as nursery:

        async def answer() -> None:
            stream = await other.accept_stream()
            await stream.write(said)
            await stream.close()

        nursery.start_soon(answer)
        with pytest.raises(NegotiationFailed):
            await open_negotiated(one, "/b/1")
        assert not one.streams


async def test_a_cancelled_opening_leaves_no_stream() -> None:
    async with running() as (one, _other):
        with trio.move_on_after(0.05) as scope:
            await open_negotiated(one, "/b/1")
        assert scope.cancelled_caught
        assert not one.streams


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_or_understood(said: bytes) -> None:
    async def offer() -> None:
        async with running() as (one, other):
            stream = one.open_stream_nowait(said)
            stream.finish()
            try:
                await accept_negotiated(await other.accept_stream(), {"/a/1"})
            except (NegotiationFailed, MuxedStreamError):
                return

    trio.run(offer)
