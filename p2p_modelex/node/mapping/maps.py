"""A map as its caller has it: results to iterate over, and what they have cost."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import trio

from p2p_modelex.errors import BadInput
from p2p_modelex.limits import MAP_ORDERS_MAX
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.failures import flattened
from p2p_modelex.node.mapping.inputs import Prompt
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.notes import Tally
from p2p_modelex.node.mapping.results import MapResult, decode_result
from p2p_modelex.node.mapping.resuming import Resuming
from p2p_modelex.node.mapping.spreading import Plan, Progress, Spreading
from p2p_modelex.node.mapping.template import Template
from p2p_modelex.node.node import Node
from p2p_modelex.node.request import Terms
from p2p_modelex.records.farm import parse_farm
from p2p_modelex.units import Epoch, Wei

AT_ONCE = 256
"""Orders in hand at most, where nobody says how many."""
LEAVE_TIMEOUT_S = 5.0
"""How long what is cut off may take to be receipted and paid when the block ends."""


class Map:
    """Iterate over it once: results come in the order of the inputs, each as soon as it and all
    before it are there.
    """

    def __init__(self, spreading: Spreading, journal: Journal) -> None:
        self._spreading = spreading
        self._journal = journal

    @property
    def progress(self) -> Progress:
        """Where it is now."""
        return self._spreading.progress

    @property
    def taken(self) -> int:
        """Results given so far."""
        return self._spreading.taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MapResult:
        """Raises NoProvider, PaymentError or NetworkError where the map stops before its end, and
        BadInput for an input that cannot be filled in: the results before it were given then.
        """
        body = await self.take()
        if body is None:
            raise StopAsyncIteration
        return decode_result(body)

    async def take(self) -> bytes | None:
        """Return the next result as the JSON that the journal keeps, None after the last; raises as
        iterating does.
        """
        return await self._spreading.take()

    def leave(self, *, at_once: bool = False) -> None:
        """Order nothing more: the iteration ends with what is in hand. at_once: and cancel that,
        which is paid for what came. With the same journal another map goes on from there.
        """
        self._spreading.leave(at_once=at_once)

    async def tally(self) -> Tally:
        """Return what was ordered, kept and paid, with what earlier runs did; amounts in
        `progress.epoch`.
        """
        return await self._journal.tally(self._spreading.progress.epoch)


@asynccontextmanager
async def open_map(
    node: Node,
    configuration: Configuration,
    template: Template,
    prompts: AsyncGenerator[Prompt, None],
    *,
    terms: Terms,
    max_cost: Wei | None,
    at_once: int,
    journal: Path | None,
) -> AsyncGenerator[Map, None]:
    """Run a map while the block lasts; `Exchange.map` explains it."""
    if not 1 <= at_once <= MAP_ORDERS_MAX:
        raise BadInput(f"at_once is 1 to {MAP_ORDERS_MAX}, not {at_once}")
    template.validate()
    with flattened():
        async with aclosing(prompts), Journal(journal) as kept:
            await kept.bind(template.digest)
            resuming = Resuming(node.parts.store, kept)
            await resuming.close_books()
            plan = Plan(template.sample, _name_farm(node, terms), max_cost, at_once)
            tally = await kept.tally(Epoch(node.epoch))
            spreading = Spreading(node, configuration, plan, prompts, kept, resuming, tally)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(spreading.run)
                try:
                    yield Map(spreading, kept)
                finally:
                    await _leave(spreading)
                    nursery.cancel_scope.cancel()


def _name_farm(node: Node, terms: Terms) -> Terms:
    """Return the terms with the farm's id where one farm is meant: another one of its name that
    comes later changes nothing.
    """
    if not terms.farm:
        return terms
    ids = node.core.directory.get_farm_ids(parse_farm(terms.farm))
    return replace(terms, farm=ids[0]) if len(ids) == 1 else terms


async def _leave(spreading: Spreading) -> None:
    with trio.CancelScope(deadline=trio.current_time() + LEAVE_TIMEOUT_S, shield=True):
        spreading.leave(at_once=True)
        await spreading.wait_until(lambda: spreading.is_over)
