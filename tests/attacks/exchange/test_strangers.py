"""Peers without a channel against a provider: they ask, order, probe and stall for nothing."""

import os

import trio

from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.node.exchange import build_request
from p2p_modelex.records.job import Probe, Refused
from tests.attacks.adversary import Adversary, adversaries, drain, hold, keep_on, pour, receive
from tests.attacks.harness import Siege
from tests.node.world import MODEL

SECTION = "Attacks on jobs and payment"
ALL = (parameters.PROTOCOL, RECONCILE_PROTOCOL, PROBE_PROTOCOL)
GARBAGE = (b"", b"\x00", b"\xff" * 64, b"\xc1", bytes(4096), b"\xdd\xff\xff\xff\xff", b"\x93\x01")


async def test_silent_streams(siege: Siege) -> None:
    async with (
        siege.attack("Silent job streams", "8 peers hold 96 exchange streams each") as attack,
        adversaries(siege, 8) as band,
    ):
        attack.note = f"{await hold(band, 96, parameters.PROTOCOL)} opened"
    attack.assert_held(rss_mib=40, joined=0.9)


async def test_garbage(siege: Siege) -> None:
    async def babble(one: Adversary) -> None:
        for protocol in ALL:
            for frame in (*GARBAGE, os.urandom(200)):
                await drain(await one.say(frame, protocol=protocol))

    async with (
        siege.attack("Garbage frames", "6 peers send junk on every protocol") as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, babble)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_oversized_frames(siege: Siege) -> None:
    async def boast(one: Adversary) -> None:
        await drain(await one.say(bytes(300 * 1024)))

    async with (
        siege.attack("Oversized frames", "4 peers send frames over the limit") as attack,
        adversaries(siege, 4) as band,
    ):
        await keep_on(band, boast, each=4)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_quotes_never_taken(siege: Siege) -> None:
    async def ask(one: Adversary) -> None:
        await receive(await one.say(one.ask()))

    async with (
        siege.attack("Quotes never taken", "8 peers ask as fast as they are answered") as attack,
        adversaries(siege, 8) as band,
    ):
        attack.note = f"{await keep_on(band, ask, each=4)} answers"
    attack.assert_held(rss_mib=32, joined=0.9)


async def test_asking_and_hanging_up(siege: Siege) -> None:
    async def ask(one: Adversary) -> None:
        stream = await one.say(one.ask())
        await stream.reset()

    async with (
        siege.attack("Ask and hang up", "8 peers ask and reset the stream") as attack,
        adversaries(siege, 8) as band,
    ):
        await keep_on(band, ask, each=4)
    attack.assert_held(rss_mib=32, joined=0.9)


async def test_huge_prompts(siege: Siege) -> None:
    huge = build_request("x" * 190_000, model=MODEL, max_tokens=16)

    async def ask(one: Adversary) -> None:
        await receive(await one.say(one.ask(huge)))

    async with (
        siege.attack("Huge prompts", "6 peers ask with 190 KB prompts") as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, ask, each=2)
    attack.assert_held(rss_mib=40, joined=0.9)


async def test_prompts_that_never_end(siege: Siege) -> None:
    """A frame of 250 KB, one byte in a while: the header is sent, the rest is not."""

    async def drip(one: Adversary) -> None:
        stream = await one.open()
        await pour(stream, (250_000).to_bytes(4, "big") + bytes(1000))
        await trio.sleep(30)

    async with (
        siege.attack("Prompts that never end", "4 peers send 80 halves of a frame each") as attack,
        adversaries(siege, 4) as band,
    ):
        await keep_on(band, drip, each=80)
    attack.assert_held(rss_mib=40, joined=0.9)


async def test_orders_without_a_channel(siege: Siege) -> None:
    refused: list[str] = []

    async def order(one: Adversary) -> None:
        one.terms = one.make_terms()
        answer = await receive(await one.say(one.order()))
        assert isinstance(answer, Refused)
        refused.append(answer.code)

    async with (
        siege.attack(
            "Orders without a channel", "8 peers name channels that do not exist"
        ) as attack,
        adversaries(siege, 8) as band,
    ):
        await keep_on(band, order, each=4)
    assert set(refused) <= {"no_channel", "busy"}
    attack.assert_held(rss_mib=32, joined=0.9)


async def test_probe_flood(siege: Siege) -> None:
    async def probe(one: Adversary) -> None:
        await drain(await one.say(Probe(7), protocol=PROBE_PROTOCOL))

    async with (
        siege.attack("Probe flood", "6 peers probe as fast as they can") as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, probe, each=8)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_silent_probes(siege: Siege) -> None:
    async with (
        siege.attack("Silent probes", "4 peers hold 150 probe streams each") as attack,
        adversaries(siege, 4) as band,
    ):
        attack.note = f"{await hold(band, 150, PROBE_PROTOCOL)} opened"
    attack.assert_held(rss_mib=40, joined=0.9)
