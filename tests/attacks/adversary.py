"""Adversaries that speak our protocols well, and say with them what nobody should.

Each is a network of ours with a key of its own, on 127.0.0.1, where addresses have no score: what
holds them is what the protocols do, and the score of their peer id.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Any

import msgspec
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC
from p2p_modelex.errors import ModelexError, NetworkError
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.keys.signers import Ed25519Signer, KeyRing
from p2p_modelex.net.abc import Stream, Verdict
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.host import parse_peer_address
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.node.exchange import build_request
from p2p_modelex.records import codec, voucher
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelTerms
from p2p_modelex.records.job import Ask, Order, ProviderMessage, Request
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Wei
from tests.attacks.harness import Siege
from tests.attacks.world import VICTIM, terms_of
from tests.node.world import DEPLOYMENT, MODEL, PRICE, make_keys

FRAME_MAX = 1024 * 1024
REQUEST = build_request("hello", model=MODEL, max_tokens=16)
PATIENCE_S = 10.0


class Adversary:
    """One hostile peer. `number`: of tests/attacks/world.py's ATTACKERS if it has a channel."""

    def __init__(self, siege: Siege, number: int | None = None) -> None:
        self.keys = make_keys(number) if number is not None else _new_keys()
        self.terms = self.make_terms() if number is None else terms_of(number)
        self.network = Libp2pNetwork(self.keys.peer_seed, Libp2pConfiguration())
        self.network.subscribe(ANNOUNCEMENTS_TOPIC, lambda origin, payload: Verdict.ACCEPT)
        self._victim, self._address = parse_peer_address(siege.address)
        self._jobs = count(1)

    @property
    def victim(self) -> PeerId:
        return self._victim

    async def connect(self) -> None:
        """Dial the victim; NetworkError if it does not want us."""
        await self.network.dial(self._victim, (self._address,))

    async def open(self, protocol: str = parameters.PROTOCOL) -> Stream:
        """Open a stream; NetworkError if the victim does not want us any more."""
        await self.connect()
        return await self.network.open_stream(self._victim, protocol, frame_limit=FRAME_MAX)

    def make_terms(self) -> ChannelTerms:
        """Of a channel of ours to the victim that nobody opened."""
        payee = make_keys(VICTIM).account.address
        return ChannelTerms(self.keys.account.address, payee, PAYER_SIGNS, os.urandom(32))

    def promise(self, amount: int = 0, lane: int = 0, **changes: Any) -> SignedVoucher:
        """Sign a voucher. changes: channel, epoch, signer, domain."""
        signer = changes.pop("signer", self.keys.account)
        domain = changes.pop("domain", DEPLOYMENT.channels_domain)
        promise = Voucher(DEPLOYMENT.channel_id(self.terms), lane, Wei(amount), 0)
        return voucher.sign(msgspec.structs.replace(promise, **changes), domain, signer)

    def new_job(self) -> JobId:
        return JobId(next(self._jobs).to_bytes(8, "big") + os.urandom(8))

    def order(
        self, signed: SignedVoucher | None = None, request: Request = REQUEST, base: int = 0
    ) -> Order:
        """An order at the advertised prices; its first voucher promises nothing by default."""
        first = signed or self.promise()
        terms, most = self.terms.of_payer, Wei(10**6 * PRICE)
        return Order(self.new_job(), request, PRICE, PRICE, most, terms, first, Wei(base), 0)

    def ask(self, request: Request = REQUEST) -> Ask:
        return Ask(self.new_job(), request)

    async def say(self, *messages: Any, protocol: str = parameters.PROTOCOL) -> Stream:
        """Open a stream and send messages, or bytes as they are."""
        stream = await self.open(protocol)
        for message in messages:
            raw = message if isinstance(message, bytes) else codec.encode(message)
            await stream.send_frame(raw)
        return stream


def _new_keys() -> KeyRing:
    seed = os.urandom(32)
    return KeyRing(Ed25519Signer(seed), EvmSigner(os.urandom(32)), seed)


@asynccontextmanager
async def adversaries(
    siege: Siege, count: int = 1, *, funded: Sequence[int] = ()
) -> AsyncIterator[list[Adversary]]:
    """Run peers that are connected to the victim: the funded ones, then strangers."""
    numbers: list[int | None] = [*funded, *[None] * (count - len(funded))]
    band = [Adversary(siege, number) for number in numbers]
    async with AsyncExitStack() as stack:
        for one in band:
            await stack.enter_async_context(one.network.run())
            await one.connect()
        yield band


async def receive(stream: Stream) -> ProviderMessage:
    """Receive one message of a provider."""
    with trio.fail_after(PATIENCE_S):
        payload = await stream.receive_frame()
    message: ProviderMessage = codec.decode(ProviderMessage, payload, limit=FRAME_MAX)
    return message


async def drain(stream: Stream) -> list[Any]:
    """Read until the victim ends the stream; what is no message of a provider stays bytes."""
    heard: list[Any] = []
    with suppress(NetworkError):
        while True:
            heard.append(await stream.receive_frame())
    return heard


async def keep_on(
    band: Sequence[Adversary],
    deed: Callable[[Adversary], Awaitable[None]],
    *,
    seconds: float = 4.0,
    each: int = 1,
) -> int:
    """Let each adversary do a thing over and over, `each` at once; returns how often it worked.

    One that is kept away by the victim stops; that is the defence at work.
    """
    done = 0

    async def repeat(one: Adversary) -> None:
        nonlocal done
        while True:
            try:
                await deed(one)
                done += 1
            except (ModelexError, trio.TooSlowError):
                await trio.sleep(0.05)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for one in band:
                for _ in range(each):
                    nursery.start_soon(repeat, one)
    return done


async def hold(band: Sequence[Adversary], streams: int, protocol: str) -> int:
    """Open that many silent streams from each; returns how many the victim let open."""
    opened = 0

    async def fill(one: Adversary) -> None:
        nonlocal opened
        for _ in range(streams):
            with suppress(NetworkError):
                await one.open(protocol)
                opened += 1

    async with trio.open_nursery() as nursery:
        for one in band:
            nursery.start_soon(fill, one)
    return opened


async def pour(stream: Stream, raw: bytes) -> None:
    """Write bytes below frames. NetworkError if the victim does not take them."""
    muxed: Any = stream._muxed  # type: ignore[attr-defined]  # frames are whole, so go around them
    rest = memoryview(raw)
    try:
        while rest:
            rest = rest[await muxed.write_some(bytes(rest[:65536])) :]
    except MuxedStreamError as error:
        raise NetworkError("reset") from error
