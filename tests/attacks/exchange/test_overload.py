"""A slow engine with more asked of it than it can do: payers with a history go first."""

import os

from p2p_modelex.errors import NetworkError
from p2p_modelex.node.exchange import build_request
from tests.attacks.adversary import Adversary, adversaries, drain, keep_on
from tests.attacks.harness import Siege
from tests.attacks.world import ATTACKERS
from tests.node.world import MODEL

SECTION = "Attacks on jobs and payment"
OPTIONS = {"slots": 2, "delay_s": 0.005}
LONG = build_request("hello", model=MODEL, max_tokens=1000)


async def test_a_full_engine(siege: Siege) -> None:
    """Eight funded payers want every slot for long jobs and pay nothing; one honest payer pays."""

    async def hog(one: Adversary) -> None:
        stream = await one.say(one.order(one.promise(lane=os.urandom(1)[0] % 64), LONG))
        if not await drain(stream):
            raise NetworkError("nothing was said")

    async with (
        siege.attack(
            "Full engine",
            "8 funded payers order 1,000 tokens on 16 streams each from 2 slots, and pay nothing",
            at_least_s=12,
        ) as attack,
        adversaries(siege, 8, funded=ATTACKERS) as band,
    ):
        await keep_on(band, hog, each=16, seconds=12)
    attack.assert_held(rss_mib=40, joined=0.9)
