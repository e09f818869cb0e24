"""Finding a farm by what people call it, for those who buy through it."""

from dataclasses import dataclass

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.farm.names import explain_farm
from p2p_modelex.errors import NoProvider
from p2p_modelex.ids import parse_peer_id, public_key_of
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.node import Node
from p2p_modelex.node.run_errors import hint_of
from p2p_modelex.records.farm import FarmRecord, Membership, parse_farm


@dataclass(frozen=True, slots=True)
class FarmFound:
    """A farm as the mesh sees it: its id, its newest record if there is one, and the members whose
    membership holds.
    """

    id: str
    record: FarmRecord | None
    members: tuple[tuple[Entry, Membership], ...]


async def find_farm(node: Node, farm: str) -> FarmFound:
    """Find a farm by its name or id, with its record as members tell it now.

    NoProvider if nobody sells through one that is called so, or several are.
    """
    core = node.core
    name = parse_farm(farm)
    ids = core.directory.get_farm_ids(name)
    why = explain_farm(name, ids, core.directory.farms())
    if why:
        raise NoProvider(why, hint=hint_of(why))
    key = public_key_of(parse_peer_id(ids[0]))
    await node.ask_farm(key)
    book = core.farming.book
    held = book.get(key, wall_clock())
    members = tuple(
        (entry, membership)
        for entry in core.directory.find(farm=ids[0])
        if (membership := book.get_membership(entry.advertisement, ids[0], wall_clock()))
    )
    return FarmFound(ids[0], held.record if held else None, members)
