"""What a refusal says: the table of hints against the contracts' errors, and the rarer paths."""

import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
import trio
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.chain.contracts.vesting import Vesting
from p2p_modelex.chain.devnet import Devnet
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.refusals import (
    HINTS,
    ask,
    explain_refusal,
    find_fields,
    find_hints,
    show_moment,
)
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import (
    ChainUnreachable,
    ConfigurationError,
    Reverted,
    TransactionFailed,
    WrongNetwork,
)
from p2p_modelex.ids import Address
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS, Place, refused
from tests.chain.endpoint import error, fake_endpoint, result
from tests.chain.worlds import new_key


@pytest.fixture(autouse=True)
def _in_universal_time(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


ERRORS = load_contracts().errors
PAUSED = keccak(b"TransfersPaused(uint64)")[:4] + (77).to_bytes(32, "big")
ONE, HUNDRED = (Amount(Wei(number * AI), Epoch(0)) for number in (1, 100))


@pytest.mark.parametrize(("name", "hint"), [(name, h) for name in HINTS for h in find_hints(name)])
def test_each_hint_is_of_an_error_that_has_its_arguments(name: str, hint: str) -> None:
    fields = find_fields(hint)
    assert any(name == error and fields <= set(names) for error, names in ERRORS.errors())


@pytest.mark.parametrize(
    ("signature", "part"),
    [
        ("TooEarly(uint64)", "the announced terms may begin at "),
        ("TooEarly(bytes32,uint64)", "it may be answered until "),
    ],
)
async def test_errors_of_one_name_have_their_own_hints(signature: str, part: str) -> None:
    reason = keccak(signature.encode())[:4] + bytes(32 * signature.count(",")) + bytes(32)
    async with Rpc("http://127.0.0.1:1") as rpc:
        said = await explain_refusal(rpc, ERRORS, reason, "it would revert")
    assert said.hint.startswith(part + "1970-01-01 00:00:00 UTC")


async def test_a_closing_channel_says_from_when() -> None:
    error = keccak(b"ChallengePeriodRunning(bytes32,uint64)")[:4]
    reason = error + bytes(32) + (1_800_000_000).to_bytes(32, "big")
    async with Rpc("http://127.0.0.1:1") as rpc:
        said = await explain_refusal(rpc, ERRORS, reason, "it would revert")
    assert said.hint == "repeat it after 2027-01-15 08:00:00 UTC"


async def test_the_last_split_is_refused_by_name(splitting: Place) -> None:
    token = Token(await splitting.owner())
    for _ in range(20):
        await token.announce_split()
        await splitting.mine(NOTICE_BLOCKS + PAUSE_BLOCKS)
    error = await refused("NoMoreSplits", token.announce_split())
    assert error.hint == "20 splits are all there can be"
    assert (await token.fetch_supply()).wei == 10**9 * AI << 20


async def test_a_refusal_has_name_and_arguments(place: Place) -> None:
    poor = await place.newcomer(Wei(0))
    error = await refused("ERC20InsufficientBalance", Token(poor).transfer(new_key().address, ONE))
    sender = f"0x{poor.account.hex()}"
    assert error.arguments == {"sender": sender, "balance": 0, "needed": AI}
    assert error.message.startswith("it would revert: ERC20InsufficientBalance(sender=0x")
    assert error.hint == f"{sender} holds 0, it takes 1"


async def test_a_read_can_be_refused_too(place: Place) -> None:
    error = await refused("NoGrant", Vesting(await place.reader()).fetch_vested(new_key().address))
    assert error.message.startswith("a read was refused: NoGrant(beneficiary=")


async def test_a_refusal_in_the_block_has_them_as_well(place: Place) -> None:
    """Both are sent while both would do; the second finds the money gone."""
    rich = await place.newcomer()
    token, to = Token(rich), new_key().address
    async with Rpc(place.url) as rpc:
        await rpc.call("evm_setAutomine", False)
        try:
            outcome = await _send_both(token, to, rpc)
        finally:
            await rpc.call("evm_setAutomine", True)
    assert outcome.name == "ERC20InsufficientBalance"
    assert outcome.message.startswith("transaction 0x")
    assert "reverted: ERC20InsufficientBalance(" in outcome.message


async def test_an_error_that_nobody_knows_is_shown_as_it_came() -> None:
    async with Rpc("http://127.0.0.1:1") as rpc:
        error = await explain_refusal(rpc, ERRORS, b"\1\2\3\4", "it would revert")
    assert (error.name, error.arguments, error.hint) == ("", {}, "")
    assert error.message == "it would revert: unknown error 0x01020304"


async def test_a_block_has_no_time_where_the_endpoint_does_not_tell() -> None:
    async with Rpc("http://127.0.0.1:1", attempts=1) as rpc:
        error = await explain_refusal(rpc, ERRORS, PAUSED, "it would revert")
    assert error.hint == "the token splits 2:1; repeat it from block 77 on"


async def test_a_refusal_without_a_reason_is_told_in_the_endpoints_words() -> None:
    questions = [(Address(b"\1" * 20), b"")]
    async with fake_endpoint(_say_out_of_gas) as there, Rpc(there.url) as rpc:
        with pytest.raises(TransactionFailed, match="a read was refused: out of gas"):
            await ask(rpc, ERRORS, questions, "latest")


async def test_a_chain_of_one_block_has_no_pace() -> None:
    header = {
        "number": "0x5",
        "hash": "0x" + "11" * 32,
        "parentHash": "0x" + "22" * 32,
        "timestamp": "0x5",
    }

    def answer(request: Any) -> bytes:
        return result(request, header)

    async with fake_endpoint(answer) as there, Rpc(there.url) as rpc:
        said = await explain_refusal(rpc, ERRORS, PAUSED, "it would revert")
    assert said.hint == "the token splits 2:1; repeat it from block 77 on"


def test_moments_are_of_this_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show_moment(0) == "1970-01-01 00:00:00 UTC"
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    assert show_moment(0) == "1970-01-01 01:00:00 CET"


def test_moments_of_no_calendar_are_numbers() -> None:
    assert show_moment(2**64) == f"unix time {2**64}"


async def test_a_wrong_network_is_named_before_anything_is_asked(place: Place) -> None:
    wrong_chain = replace(place.deployment, chain_id=1)
    async with Network(place.url, wrong_chain) as network:
        with pytest.raises(WrongNetwork, match="serves chain 31337"):
            await Token(network).fetch_supply()
    wrong_place = replace(place.deployment, token=place.deployment.registry)
    async with Network(place.url, wrong_place) as network:
        with pytest.raises(WrongNetwork, match="is not this version's AIToken"):
            await Token(network).fetch_supply()
    nothing_there = replace(place.deployment, token=Address(b"\7" * 20))
    async with Network(place.url, nothing_there) as network:
        with pytest.raises(WrongNetwork, match="there is no AIToken"):
            await Token(network).fetch_supply()


async def test_what_the_network_file_lacks_is_named(place: Place) -> None:
    async with Network(place.url, replace(place.deployment, vesting=None)) as network:
        with pytest.raises(ConfigurationError, match="has no vesting contract"):
            Vesting(network)


async def test_an_endpoint_that_says_too_much_is_absent(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Token(await place.reader())
    monkeypatch.setattr("p2p_modelex.chain.contracts.contract.ANSWER_BYTES", 31)
    with pytest.raises(ChainUnreachable, match="over 31 bytes"):
        await token.fetch_epoch()


def _say_out_of_gas(request: Any) -> bytes:
    return error(request, -32000, "out of gas")


async def _send_both(token: Token, to: Address, rpc: Rpc) -> Reverted:
    failed: list[Reverted] = []
    most = Amount(Wei(60 * AI), Epoch(0))

    async def send() -> None:
        try:
            await token.transfer(to, most)
        except Reverted as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(send)
        with trio.fail_after(10):
            while int((await rpc.call("txpool_status"))["pending"], 16) < 2:
                await trio.sleep(0.01)
        await rpc.call("evm_mine")
    [error] = failed
    return error


async def test_the_same_without_anvil(pyevm: tuple[Devnet, Deployment]) -> None:
    net, deployment = pyevm
    async with Place(net.url, deployment) as place:
        newcomer = await place.newcomer()
        token, to = Token(newcomer), new_key().address
        await token.transfer(to, ONE)
        assert await token.fetch_balance(to) == ONE
        await refused(
            "ERC20InsufficientBalance", token.transfer(to, Amount(Wei(100 * AI), Epoch(0)))
        )
        await refused("NoGrant", Vesting(newcomer).fetch_vested(to))
