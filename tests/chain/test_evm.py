"""What only a real endpoint can show: wrong networks, nonces, reorgs, independent checks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import TEST_KEYS, fund
from p2p_modelex.chain.evm import channels as channels_module
from p2p_modelex.chain.evm import search
from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.deploy import deploy
from p2p_modelex.chain.evm.depth import fetch_deep_block
from p2p_modelex.chain.evm.plan import Terms
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.evm.reader import BlockLogs, BlockReader
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.transaction import Transaction, sign_transaction
from p2p_modelex.chain.evm.wire import TransactionReceipt, to_hex
from p2p_modelex.errors import (
    BadInput,
    ChainUnreachable,
    TransactionFailed,
    TransactionPending,
    WrongNetwork,
)
from p2p_modelex.ids import Address, ChannelId, Digest, format_address
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms, Claim
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import AI, Wei
from tests.chain.endpoint import fake_endpoint, http
from tests.chain.worlds import EvmWorld, new_key

Change = Callable[[Deployment], Deployment]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: replace(d, chain_id=1), "serves chain 31337"),
        (lambda d: replace(d, token=Address(b"\7" * 20)), "no AIToken at 0x0707"),
        (lambda d: replace(d, registry=d.channels), "is not this version's NodeRegistry"),
    ],
    ids=["chain", "nothing", "other"],
)
async def test_check_names_what_is_wrong(evm: EvmWorld, change: Change, says: str) -> None:
    async with evm.port(new_key(), change(evm.deployment)) as port:
        with pytest.raises(WrongNetwork, match=says) as caught:
            await port.check()
    assert caught.value.hint


async def test_a_silent_endpoint_is_unreachable() -> None:
    deployment = Deployment("x", 1, *(Address(bytes([i]) * 20) for i in (1, 2, 3)))
    async with fake_endpoint(lambda _: http(b"", 503)) as fake:
        async with EvmChain(fake.url, deployment, new_key()) as port:
            for attempt in (port.check(), port.transfer(Address(b"\1" * 20), Wei(1))):
                with pytest.raises(ChainUnreachable):
                    await attempt
        assert len(fake.requests) == 8


async def test_reading_from_an_address_without_code_is_told(evm: EvmWorld) -> None:
    wrong = replace(evm.deployment, token=Address(b"\7" * 20))
    async with evm.port(new_key(), wrong) as port:
        with pytest.raises(ChainUnreachable, match="does not decode"):
            await port.fetch_balance(port.account)


async def test_an_account_without_gas_is_told_to_get_some(evm: EvmWorld) -> None:
    key, port = await evm.new_account()
    await fund(evm.url, key.address, 0)
    with pytest.raises(TransactionFailed, match="cannot pay for gas") as caught:
        await port.transfer(new_key().address, Wei(1))
    assert format_address(key.address) in caught.value.hint


async def test_eight_sends_at_once_are_all_accepted(evm: EvmWorld) -> None:
    _, port = await evm.new_account()
    to = new_key().address
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(port.transfer, to, Wei(AI))
    assert await port.fetch_balance(to) == 8 * AI


async def test_a_nonce_taken_by_another_program_is_read_again(evm: EvmWorld) -> None:
    key, port = await evm.new_account()
    to = new_key().address
    await port.transfer(to, Wei(1))
    async with evm.port(key, evm.deployment) as other:
        await other.transfer(to, Wei(2))
    # Another amount: the same bytes of the same key would be the same transaction.
    await port.transfer(to, Wei(3))
    assert await port.fetch_balance(to) == 6


async def test_a_revert_in_the_block_is_explained(evm: EvmWorld) -> None:
    """The estimate passes, then another transaction changes the state under this one."""
    key, port = await evm.new_account(Wei(5))
    token = load_contracts().token
    payload = token.encode_call("transfer", format_address(new_key().address), 5)
    async with Rpc(evm.url) as rpc:
        sender = Sender(rpc, key, 31337, load_contracts().errors)
        await rpc.call("evm_setAutomine", False, retry=False)
        failures: list[TransactionFailed] = []

        async def send() -> None:
            try:
                await sender.send(evm.deployment.token, payload)
            except TransactionFailed as error:
                failures.append(error)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                nursery.start_soon(send)
                await _wait_pending(rpc, key.address, 2)
                await rpc.call("evm_mine", retry=False)
        finally:
            await rpc.call("evm_setAutomine", True, retry=False)
    assert len(failures) == 1
    assert "reverted: ERC20InsufficientBalance(" in str(failures[0])
    assert await port.fetch_balance(key.address) == 0


async def test_a_dropped_transaction_is_sent_again(on_anvil: EvmWorld) -> None:
    key, port = await on_anvil.new_account(Wei(5))
    async with Rpc(on_anvil.url) as rpc:
        sender = Sender(rpc, key, 31337, Abi([]), repair_s=0.05)
        await rpc.call("evm_setAutomine", False, retry=False)
        payload = load_contracts().token.encode_call(
            "transfer", format_address(new_key().address), 5
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send, on_anvil.deployment.token, payload)
                await _wait_pending(rpc, key.address, 1)
                await rpc.call("anvil_dropAllTransactions", retry=False)
                await _wait_pending(rpc, key.address, 1)
                await rpc.call("evm_mine", retry=False)
        finally:
            await rpc.call("evm_setAutomine", True, retry=False)
    assert await port.fetch_balance(key.address) == 0


async def test_a_transaction_that_lost_its_nonce_is_given_up(on_anvil: EvmWorld) -> None:
    key, _ = await on_anvil.new_account(Wei(5))
    async with Rpc(on_anvil.url) as rpc:
        sender = Sender(rpc, key, 31337, Abi([]), repair_s=0.05)
        await rpc.call("evm_setAutomine", False, retry=False)
        to = new_key().address
        dearer = sign_transaction(Transaction(31337, 0, 10**10, 10**12, 21_000, to, 7, b""), key)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_expect_loss, sender, to)
                await _wait_pending(rpc, key.address, 1)
                await rpc.call("eth_sendRawTransaction", to_hex(dearer.raw))
                await rpc.call("evm_mine", retry=False)
        finally:
            await rpc.call("evm_setAutomine", True, retry=False)


async def _expect_loss(sender: Sender, to: Address) -> None:
    with pytest.raises(TransactionFailed, match="another transaction took nonce 0"):
        await sender.send(to, value=1)


async def test_a_transaction_that_is_never_mined_is_given_up(on_anvil: EvmWorld) -> None:
    key, _ = await on_anvil.new_account(Wei(5))
    async with Rpc(on_anvil.url) as rpc:
        sender = Sender(rpc, key, 31337, Abi([]), receipt_timeout_s=0.1)
        await rpc.call("evm_setAutomine", False, retry=False)
        try:
            with pytest.raises(TransactionPending, match=r"was not mined in 0\.1 s"):
                await sender.send(new_key().address, value=1)
        finally:
            await rpc.call("anvil_dropAllTransactions", retry=False)
            await rpc.call("evm_setAutomine", True, retry=False)


async def test_a_reorg_undoes_events_and_the_sender_sends_again(on_anvil: EvmWorld) -> None:
    _, port = await on_anvil.new_account()
    async with Rpc(on_anvil.url) as rpc:
        start = int(await rpc.call("eth_blockNumber"), 16)
        seen: list[tuple[str, bool]] = []
        events = port.channel_events(start)
        channel = await port.open_channel(new_key().address, Wei(7), port.account)
        with trio.fail_after(20):
            async for event in events:
                assert event.channel == channel.channel
                seen.append((event.kind, event.undone))
                if len(seen) == 1:
                    await rpc.call("anvil_reorg", 1, [], retry=False)
                    assert await port.fetch_channel(channel.terms) is None
                if len(seen) == 3:
                    break
        await events.aclose()
    # The watcher had the sender repeat what the reorg dropped, under the same id.
    assert seen == [("opened", False), ("opened", True), ("opened", False)]
    assert await port.fetch_channel(channel.terms) == channel


async def test_confirmations_hold_state_and_events_back(evm: EvmWorld) -> None:
    key, _ = await evm.new_account()
    async with (
        EvmChain(evm.url, evm.deployment, key, confirmations=2, poll_s=0.01) as port,
        Rpc(evm.url) as rpc,
    ):
        salt = Digest(b"\x07" * 32)
        payee, opened = new_key().address, list[ChannelState]()
        terms = ChannelTerms(port.account, payee, port.account, salt)

        async def open_channel() -> None:
            opened.append(await port.open_channel(payee, Wei(7), port.account, salt))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_channel)
            while await port._channels.fetch(terms, "latest") is None:
                await trio.sleep(0.01)
            # Its payee would refuse it still, so we are not told of it either.
            assert await port.fetch_channel(terms) is None
            assert opened == []
            await rpc.call("anvil_mine", "0x2", retry=False)
        assert [await port.fetch_channel(terms)] == opened


async def test_a_deposit_that_gets_no_deeper_is_given_up(
    evm: EvmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "CONFIRMING_TIMEOUT_S", 0.1)
    key, _ = await evm.new_account()
    async with EvmChain(evm.url, evm.deployment, key, confirmations=2, poll_s=0.01) as port:
        with pytest.raises(TransactionPending, match="not 2 blocks deep"):
            await port.open_channel(new_key().address, Wei(7), port.account)


async def test_a_deposit_is_waited_for_where_it_cannot_be_read_once(
    evm: EvmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that it failed, the payer would top up once more."""
    key, _ = await evm.new_account()
    async with (
        EvmChain(evm.url, evm.deployment, key, confirmations=2, poll_s=0.01) as port,
        Rpc(evm.url) as rpc,
    ):

        async def fail(*_: object) -> None:
            monkeypatch.setattr(channels_module, "fetch_deep_block", fetch_deep_block)
            await rpc.call("anvil_mine", "0x2", retry=False)
            raise ChainUnreachable("it starts anew")

        monkeypatch.setattr(channels_module, "fetch_deep_block", fail)
        opened = await port.open_channel(new_key().address, Wei(7), port.account)
        assert opened.deposit == 7


async def test_what_the_base_fee_has_left_behind_offers_more(on_anvil: EvmWorld) -> None:
    """Two wait, the later behind the earlier; both come in at the fee of now."""
    key, _ = await on_anvil.new_account()
    mined: list[TransactionReceipt] = []
    async with Rpc(on_anvil.url) as rpc:
        sender = Sender(rpc, key, 31337, Abi([]), repair_s=0.05)
        await rpc.call("evm_setAutomine", False, retry=False)

        async def send() -> None:
            mined.append(await sender.send(new_key().address, value=1))

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await _wait_pending(rpc, key.address, 1)
                nursery.start_soon(send)
                await _wait_pending(rpc, key.address, 2)
                first = sender._kept[0]
                before = first.transaction.fee_cap
                dear = hex(10 * before)
                await rpc.call("anvil_setNextBlockBaseFeePerGas", dear, retry=False)
                await rpc.call("evm_mine", retry=False)
                while min(len(sent.versions) for sent in sender._kept.values()) == 1:
                    await trio.sleep(0.01)
                await rpc.call("evm_mine", retry=False)
        finally:
            await rpc.call("evm_setAutomine", True, retry=False)
            await rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9), retry=False)
            await rpc.call("evm_mine", retry=False)
    assert len(mined) == 2
    assert first.transaction.fee_cap > 8 * before
    assert first.newest.hash in [receipt.transaction for receipt in mined]


async def test_a_reader_far_behind_reads_ranges_first(evm: EvmWorld) -> None:
    _, port = await evm.new_account()
    abi = load_contracts().channels
    async with Rpc(evm.url) as rpc:
        start = int(await rpc.call("eth_blockNumber"), 16) + 1
        await port.open_channel(new_key().address, Wei(7), port.account)
        await rpc.call("anvil_mine", hex(100), retry=False)
        await port.open_channel(new_key().address, Wei(7), port.account)
        reader = BlockReader(
            rpc, evm.deployment.channels, [abi.topic("Opened")], since_block=start, confirmations=0
        )
        first = await reader.poll()
        assert [len(block.logs) for block in first] == [1, 0]
        rest: list[BlockLogs] = []
        while polled := await reader.poll():
            rest += polled
        assert [block.number for block in rest] == list(range(first[-1].number + 1, start + 102))
        assert [len(block.logs) for block in rest if block.logs] == [1]


async def test_terms_are_found_far_below_the_head(
    on_anvil: EvmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "RANGE_BLOCKS", 10)
    monkeypatch.setattr(search, "BATCH_RANGES", 2)
    _, port = await on_anvil.new_account()
    channel = await port.open_channel(new_key().address, Wei(7), port.account)
    async with Rpc(on_anvil.url) as rpc:
        await rpc.call("anvil_mine", hex(45), retry=False)
    assert await port.find_terms(ChannelId(channel.channel)) == channel.terms
    monkeypatch.setattr(search, "SEARCH_BLOCKS_MAX", 40)
    assert await port.find_terms(ChannelId(channel.channel)) is None


async def test_our_digests_are_those_of_the_contracts(evm: EvmWorld) -> None:
    """web3 asks the contract itself, with a codec that is not ours."""
    voucher = Voucher(b"\x11" * 32, 7, Wei(2**100 + 1), 3)
    ours = voucher_record.compute_digest(voucher, evm.deployment.channels_domain)
    fields = (voucher.channel, voucher.lane, voucher.amount, voucher.epoch)
    theirs = await trio.to_thread.run_sync(_ask_with_web3, evm, "voucherDigest", fields)
    assert theirs == ours


async def test_our_payloads_are_those_of_web3(evm: EvmWorld) -> None:
    contracts = load_contracts()
    payee = "0x" + "33" * 20
    claim = ("0x" + "44" * 20, "0x" + "55" * 20, b"\x11" * 32, 7, 8, 0, b"\x22" * 65)

    def encode() -> str:
        from web3 import Web3

        entries = list(contracts.artifacts["PaymentChannels"].entries)
        return str(Web3().eth.contract(abi=entries).encode_abi("redeem", args=[payee, [claim]]))

    theirs = await trio.to_thread.run_sync(encode)
    assert to_hex(contracts.channels.encode_call("redeem", payee, [claim])) == theirs


async def test_redeeming_in_a_splits_pause_claims_and_the_next_call_pays_out(
    on_anvil: EvmWorld,
) -> None:
    soon = Terms(100, split_notice_blocks=20, split_pause_blocks=20)
    deployment = await deploy(on_anvil.url, TEST_KEYS[0], name="x", terms=soon)
    async with EvmWorld(on_anvil.url, deployment) as world, Rpc(world.url) as rpc:
        key, payer = await world.new_account()
        _, payee = await world.new_account(Wei(0))
        channel = await payer.open_channel(payee.account, Wei(100), PAYER_SIGNS)

        async def redeem(amount: int) -> tuple[Wei, ...]:
            voucher = Voucher(channel.channel, 0, Wei(amount), 0)
            signed = voucher_record.sign(voucher, deployment.channels_domain, key)
            return (await payee.redeem([Claim(channel.terms, signed)])).credited

        owner = Sender(rpc, EvmSigner(TEST_KEYS[0]), 31337, load_contracts().errors)
        await owner.send(deployment.token, load_contracts().token.encode_call("announceSplit"))
        await rpc.call("anvil_mine", hex(soon.split_notice_blocks), retry=False)
        assert await redeem(10) == (10,)
        assert await redeem(11) == (1,)
        assert await payee.fetch_balance(payee.account) == 0
        await rpc.call("anvil_mine", hex(soon.split_pause_blocks), retry=False)
        assert await redeem(15) == (8,)
        assert await payee.fetch_balance(payee.account) == 30


async def test_web3_finds_what_we_did(evm: EvmWorld) -> None:
    key, port = await evm.new_account()
    channel = await port.open_channel(new_key().address, Wei(AI), key.address)
    voucher = Voucher(channel.channel, 2, Wei(5), 0)
    signed = voucher_record.sign(voucher, evm.deployment.channels_domain, key)
    bad = SignedVoucher(voucher, bytes(65))
    await port.redeem([Claim(channel.terms, signed), Claim(channel.terms, bad)])
    claimed = await trio.to_thread.run_sync(_ask_with_web3, evm, "claimedOf", channel.channel, 2)
    assert claimed == 5


def _ask_with_web3(evm: EvmWorld, function: str, *arguments: Any) -> Any:
    import requests
    from web3 import HTTPProvider, Web3

    with requests.Session() as session:
        w3 = Web3(HTTPProvider(evm.url, session=session))
        contract = w3.eth.contract(
            address=Web3.to_checksum_address(evm.deployment.channels),
            abi=list(load_contracts().artifacts["PaymentChannels"].entries),
        )
        return contract.functions[function](*arguments).call()


async def _wait_pending(rpc: Rpc, account: Address, more: int) -> None:
    """Return once the pool holds `more` transactions of the account over the mined ones."""
    name = format_address(account)
    with trio.fail_after(10):
        while True:
            latest = int(await rpc.call("eth_getTransactionCount", name, "latest"), 16)
            pending = int(await rpc.call("eth_getTransactionCount", name, "pending"), 16)
            if pending == latest + more:
                return
            await trio.sleep(0.01)


async def test_deploying_to_nobody_is_unreachable() -> None:
    with pytest.raises(ChainUnreachable) as caught:
        await deploy("http://127.0.0.1:1", TEST_KEYS[0], name="x", terms=Terms(1))
    assert caught.value.hint


async def test_deploying_without_money_or_with_a_bad_period_fails(evm: EvmWorld) -> None:
    with pytest.raises(TransactionFailed, match="cannot pay for gas"):
        await deploy(evm.url, b"\x77" * 32, name="x", terms=Terms(1))
    with pytest.raises(TransactionFailed, match="InvalidChallengePeriod"):
        await deploy(evm.url, TEST_KEYS[1], name="x", terms=Terms(2**40))
    with pytest.raises(BadInput):
        await deploy(evm.url, TEST_KEYS[1], name="x", terms=Terms(0))
