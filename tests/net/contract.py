"""What every Network keeps, whatever carries it. Subclassed for each implementation."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from p2p_modelex.errors import (
    DialFailed,
    LocalProtocolError,
    NetworkError,
    ProtocolNotSpoken,
    RemoteProtocolError,
    StreamBroken,
    StreamClosed,
)
from p2p_modelex.ids import PeerId
from p2p_modelex.limits import GOSSIP_MESSAGE_BYTES, STREAMS_PER_PEER_MAX
from p2p_modelex.net.abc import GossipMessage, Network, PeerSeen, Stream, Validator, Verdict
from p2p_modelex.net.bounded import GossipRates

ECHO = "/test/echo/1"
LIMIT = 64 * 1024
TOPIC = "modelex/test"
PATIENCE_S = 10.0


def accept(_origin: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT


async def echo(stream: Stream) -> None:
    """Send back every frame until the peer sends no more."""
    try:
        while True:
            await stream.send_frame(await stream.receive_frame())
    except StreamClosed:
        await stream.close_write()


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells: counters, and the insides of libp2p."""
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.01)


async def wait_seen(network: Network, peer: PeerId, how: str) -> PeerSeen:
    with trio.fail_after(PATIENCE_S):
        while True:
            seen = await network.seen()
            if (seen.peer, seen.how) == (peer, how):
                return seen


async def warm_up(publisher: Network, receivers: Sequence[Network]) -> None:
    """Publish until every receiver has heard something, then drain: the gossip mesh stands."""
    for receiver in receivers:
        with trio.fail_after(PATIENCE_S):
            heard = False
            while not heard:
                await publisher.publish(TOPIC, b"warm-up")
                with trio.move_on_after(0.2):
                    while (await receiver.gossip()).payload != b"warm-up":
                        pass
                    heard = True


async def next_gossip(network: Network) -> GossipMessage:
    with trio.fail_after(PATIENCE_S):
        while (message := await network.gossip()).payload == b"warm-up":
            pass
        return message


class NetworkContract(ABC):
    @abstractmethod
    def make(
        self,
        *,
        bootstrap: Sequence[Network] = (),
        dht: bool = False,
        gossip_rates: GossipRates | None = None,
    ) -> Network: ...

    @asynccontextmanager
    async def running(self, *networks: Network) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for network in networks:
                await stack.enter_async_context(network.run())
            yield

    @asynccontextmanager
    async def pair(
        self, handler: object = echo, limit: int = LIMIT
    ) -> AsyncIterator[tuple[Network, Network]]:
        """Two networks, the first connected to the second, which serves ECHO."""
        one, other = self.make(), self.make()
        other.handle(ECHO, handler, frame_limit=limit)  # type: ignore[arg-type]
        async with self.running(one, other):
            await one.dial(other.peer, other.addresses)
            yield one, other

    async def test_frames_arrive_whole_and_in_order(self) -> None:
        frames = [b"", b"x", b"y" * 1000, b"z" * LIMIT, b"end"]
        async with self.pair() as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            assert (stream.peer, stream.protocol) == (other.peer, ECHO)
            for frame in frames:
                await stream.send_frame(frame)
            assert [await stream.receive_frame() for _ in frames] == frames
            await stream.aclose()

    async def test_half_close_lets_the_answer_come(self) -> None:
        async def count(stream: Stream) -> None:
            frames = 0
            try:
                while True:
                    await stream.receive_frame()
                    frames += 1
            except StreamClosed:
                await stream.send_frame(str(frames).encode())

        async with self.pair(count) as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            for _ in range(7):
                await stream.send_frame(b"x")
            await stream.close_write()
            assert await stream.receive_frame() == b"7"
            with pytest.raises(StreamClosed):
                await stream.receive_frame()
            with pytest.raises(StreamClosed):
                await stream.send_frame(b"late")
            await stream.aclose()

    async def test_reset_breaks_the_peers_stream(self) -> None:
        ended: trio.Event = trio.Event()

        async def wait_for_reset(stream: Stream) -> None:
            await stream.send_frame(b"here")
            with pytest.raises(StreamBroken, match="reset"):
                await stream.receive_frame()
            ended.set()

        async with self.pair(wait_for_reset) as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            assert await stream.receive_frame() == b"here"
            await stream.reset()
            with trio.fail_after(PATIENCE_S):
                await ended.wait()

    async def test_too_large_a_frame_is_our_error_and_is_not_sent(self) -> None:
        async with self.pair() as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=100)
            with pytest.raises(LocalProtocolError):
                await stream.send_frame(b"x" * 101)
            await stream.send_frame(b"still fine")
            assert await stream.receive_frame() == b"still fine"
            await stream.aclose()

    async def test_net_1_a_frame_over_the_receivers_limit(self) -> None:
        rule = trio.Event()

        async def strict(stream: Stream) -> None:
            with pytest.raises(RemoteProtocolError) as caught:
                await stream.receive_frame()
            assert caught.value.rule == "NET-1"
            rule.set()

        async with self.pair(strict, limit=100) as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            await stream.send_frame(b"x" * 101)
            with trio.fail_after(PATIENCE_S):
                await rule.wait()
                with pytest.raises(StreamBroken):
                    await stream.receive_frame()

    async def test_a_handlers_fault_costs_its_stream_only(self) -> None:
        async def moody(stream: Stream) -> None:
            frame = await stream.receive_frame()
            if frame == b"fail":
                raise RuntimeError("a bug in a handler")
            await stream.send_frame(frame)

        async with self.pair(moody) as (one, other):
            bad = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            good = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            await bad.send_frame(b"fail")
            with pytest.raises(StreamBroken):
                await bad.receive_frame()
            await good.send_frame(b"work")
            assert await good.receive_frame() == b"work"
            assert other.statistics().restarts == 0

    async def test_a_stream_is_closed_when_its_handler_returns(self) -> None:
        async def greet(stream: Stream) -> None:
            await stream.send_frame(b"hello")

        async with self.pair(greet) as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            assert await stream.receive_frame() == b"hello"
            with pytest.raises(StreamClosed):
                await stream.receive_frame()
            await stream.aclose()
            with pytest.raises(StreamClosed):
                await stream.receive_frame()

    async def test_a_cancelled_receive_loses_nothing(self) -> None:
        async with self.pair() as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            for number in range(20):
                await stream.send_frame(str(number).encode() * 3000)
                received = None
                while received is None:
                    with trio.move_on_after(0.0005):
                        received = await stream.receive_frame()
                assert received == str(number).encode() * 3000
            await stream.aclose()

    async def test_a_cancelled_send_leaves_the_stream_whole(self) -> None:
        resume = trio.Event()
        frames: list[bytes] = []

        async def slow(stream: Stream) -> None:
            await resume.wait()
            try:
                while True:
                    frames.append(await stream.receive_frame())
            except StreamClosed:
                await stream.send_frame(b"done")

        async with self.pair(slow) as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            sent = 0
            with trio.move_on_after(0.3):
                while True:
                    await stream.send_frame(bytes([sent]) * LIMIT)
                    sent += 1
            assert 3 <= sent < 40
            resume.set()
            await stream.send_frame(b"after")
            await stream.close_write()
            assert await stream.receive_frame() == b"done"
            whole = [bytes([number]) * LIMIT for number in range(sent)]
            assert frames[:sent] == whole
            assert frames[-1] == b"after"
            # The cancelled frame came whole or not at all.
            assert frames[sent:-1] in ([], [bytes([sent]) * LIMIT])

    async def test_an_unknown_protocol_is_named(self) -> None:
        async with self.pair() as (one, other):
            with pytest.raises(ProtocolNotSpoken, match="/test/other"):
                await one.open_stream(other.peer, "/test/other", frame_limit=LIMIT)

    async def test_streams_need_a_connection(self) -> None:
        one, other = self.make(), self.make()
        async with self.running(one, other):
            with pytest.raises(DialFailed):
                await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            with pytest.raises(StreamBroken):
                await one.ping(other.peer)

    async def test_dialling_tries_each_address_and_then_fails(self) -> None:
        one, other, stranger = self.make(), self.make(), self.make()
        async with self.running(one, other):
            with pytest.raises(DialFailed):
                await one.dial(other.peer, [])
            with pytest.raises(DialFailed):
                await one.dial(other.peer, ["nonsense", *one.addresses])
            with pytest.raises(DialFailed):
                await one.dial(stranger.peer, other.addresses)
            await one.dial(other.peer, ["nonsense", *other.addresses])
            await one.dial(other.peer, [])
            assert one.connected() == (other.peer,)

    async def test_both_ends_see_each_other_come_and_go(self) -> None:
        async with self.pair() as (one, other):
            assert (await wait_seen(one, other.peer, "connected")).addresses == other.addresses
            assert (await wait_seen(one, other.peer, "identified")).addresses == other.addresses
            await wait_seen(other, one.peer, "connected")
            assert (await wait_seen(other, one.peer, "identified")).addresses == one.addresses
            await one.disconnect(other.peer)
            await wait_seen(one, other.peer, "disconnected")
            await wait_seen(other, one.peer, "disconnected")
            assert one.connected() == other.connected() == ()
            await one.disconnect(other.peer)

    async def test_a_lost_connection_is_not_a_clean_end(self) -> None:
        async with self.pair() as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            await stream.send_frame(b"x")
            await stream.receive_frame()
            await other.disconnect(one.peer)
            with trio.fail_after(PATIENCE_S), pytest.raises(StreamBroken):
                await stream.receive_frame()

    async def test_ping(self) -> None:
        async with self.pair() as (one, other):
            assert 0 <= await one.ping(other.peer) < PATIENCE_S
            assert 0 <= await other.ping(one.peer) < PATIENCE_S

    async def test_streams_with_one_peer_are_bounded(self) -> None:
        async with self.pair() as (one, other):
            streams = [
                await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
                for _ in range(STREAMS_PER_PEER_MAX)
            ]
            with trio.fail_after(PATIENCE_S), pytest.raises(NetworkError, match="streams are open"):
                await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            await streams[0].aclose()
            again = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            await again.send_frame(b"x")
            assert await again.receive_frame() == b"x"

    async def test_statistics_count(self) -> None:
        async with self.pair() as (one, other):
            stream = await one.open_stream(other.peer, ECHO, frame_limit=LIMIT)
            await stream.send_frame(b"x")
            await stream.receive_frame()
            counted = one.statistics()
            assert (counted.connections, counted.streams) == (1, 1)
            assert (counted.frames_in, counted.frames_out) == (1, 1)
            await stream.aclose()
            assert one.statistics().streams == 0

    def line(self, judge: Validator = accept, rates: GossipRates | None = None) -> list[Network]:
        networks = [self.make(gossip_rates=rates or GossipRates(100, 1000)) for _ in range(3)]
        for network, validator in zip(networks, (accept, judge, accept), strict=True):
            network.subscribe(TOPIC, validator)
        return networks

    async def connect_line(self, networks: Sequence[Network]) -> None:
        for one, other in itertools.pairwise(networks):
            await one.dial(other.peer, other.addresses)

    async def test_gossip_spreads_once_with_its_origin(self) -> None:
        one, two, three = line = self.line()
        async with self.running(*line):
            await self.connect_line(line)
            await warm_up(one, [two, three])
            await one.publish(TOPIC, b"news")
            assert await next_gossip(two) == GossipMessage(TOPIC, one.peer, one.peer, b"news")
            assert await next_gossip(three) == GossipMessage(TOPIC, one.peer, two.peer, b"news")
            await three.publish(TOPIC, b"answer")
            assert await next_gossip(one) == GossipMessage(TOPIC, three.peer, two.peer, b"answer")
            assert (await next_gossip(two)).payload == b"answer"

    async def test_the_last_words_of_a_peer_that_leaves_are_heard(self) -> None:
        one, two = line = [self.make(), self.make()]
        for network in line:
            network.subscribe(TOPIC, accept)
        async with two.run():
            async with one.run():
                await self.connect_line(line)
                await warm_up(one, [two])
                await one.publish(TOPIC, b"goodbye")
            assert (await next_gossip(two)).payload == b"goodbye"

    @pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
    async def test_what_is_not_accepted_goes_no_further(self, verdict: Verdict) -> None:
        def judge(_origin: PeerId, payload: bytes) -> Verdict:
            return verdict if payload == b"bad" else Verdict.ACCEPT

        one, two, three = line = self.line(judge)
        async with self.running(*line):
            await self.connect_line(line)
            await warm_up(one, [two, three])
            await one.publish(TOPIC, b"bad")
            await one.publish(TOPIC, b"good")
            assert (await next_gossip(two)).payload == b"good"
            assert (await next_gossip(three)).payload == b"good"
            assert two.statistics().gossip_dropped == 1

    async def test_gossip_of_one_origin_is_limited(self) -> None:
        one, two, three = line = self.line(rates=GossipRates(origin_rate=0.001, origin_burst=60))
        async with self.running(*line):
            await self.connect_line(line)
            await warm_up(one, [two])
            for number in range(80):
                await one.publish(TOPIC, str(number).encode())
            await three.publish(TOPIC, b"another origin")
            while (await next_gossip(two)).origin != three.peer:
                pass
            await wait_until(lambda: two.statistics().gossip_dropped >= 20)
            assert two.statistics().gossip_in <= 61

    async def test_gossip_has_a_size_and_a_topic(self) -> None:
        network = self.make()
        network.subscribe(TOPIC, accept)
        async with self.running(network):
            with pytest.raises(LocalProtocolError):
                await network.publish(TOPIC, b"x" * (GOSSIP_MESSAGE_BYTES + 1))
            with pytest.raises(LocalProtocolError):
                await network.publish("another", b"x")

    async def test_lookup_is_off_unless_asked_for(self) -> None:
        network = self.make()
        async with self.running(network):
            with pytest.raises(NetworkError, match="off"):
                await network.find_peer(network.peer)

    async def test_lookup_finds_a_peer_through_another(self) -> None:
        hub = self.make(dht=True)
        async with self.running(hub):
            one, other = self.make(dht=True), self.make(dht=True)
            async with self.running(one, other):
                for network in (one, other):
                    await network.dial(hub.peer, hub.addresses)
                    await wait_seen(hub, network.peer, "identified")
                    await wait_seen(network, hub.peer, "identified")
                assert await one.find_peer(other.peer) == other.addresses

    async def test_bootstrap_peers_are_dialled(self) -> None:
        hub = self.make()
        async with self.running(hub):
            network = self.make(bootstrap=[hub])
            async with self.running(network):
                seen = await wait_seen(network, hub.peer, "bootstrap")
                assert seen.addresses == hub.addresses
                await wait_seen(network, hub.peer, "connected")
                assert network.connected() == (hub.peer,)

    async def test_a_failure_inside_keeps_its_class(self) -> None:
        network = self.make()
        with pytest.raises(ZeroDivisionError):
            async with network.run():
                raise ZeroDivisionError
