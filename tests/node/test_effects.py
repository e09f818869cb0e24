"""What a core can ask for, the driver carries out."""

from typing import get_args

from p2p_modelex.core import effects as fx
from tests.node.test_driver import Bench, Script


async def test_every_effect_is_carried_out() -> None:
    async with Bench(Script()).run() as bench:
        assert {*bench.driver.steps._carry, fx.Persist} == set(get_args(fx.Effect))
