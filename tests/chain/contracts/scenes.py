"""What several tests of the wrappers do: amounts, a split, and contracts made by hand."""

import pytest

from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import Reverted
from p2p_modelex.ids import Address, format_address
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS, Place

# What a callback was told: its storage is (id, score) of the last call.
LISTENER = bytes.fromhex("6004356000556024356001550000")
REFUSER = bytes.fromhex("60006000fd")


def ai(number: int, epoch: int = 0) -> Amount:
    return Amount(Wei(number * AI), Epoch(epoch))


def refused(name: str) -> "pytest.RaisesExc[Reverted]":
    """The contract refuses with its error `name`, before anything is sent."""
    return pytest.raises(Reverted, check=lambda error: error.name == name)


async def split(place: Place) -> None:
    await Token(await place.owner()).announce_split()
    await place.mine(NOTICE_BLOCKS + PAUSE_BLOCKS)


async def put_code(place: Place, at: Address, code: bytes) -> None:
    async with Rpc(place.url) as rpc:
        await rpc.call("anvil_setCode", format_address(at), "0x" + code.hex())


async def read_storage(place: Place, at: Address, slot: int) -> int:
    async with Rpc(place.url) as rpc:
        found = await rpc.call("eth_getStorageAt", format_address(at), hex(slot), "latest")
    return int(found, 16)
