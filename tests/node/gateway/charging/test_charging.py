"""Selling answers by x402: what is asked, paid, given and kept, over a mesh in memory."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio
from x402.schemas import PaymentPayload

from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.ids import Address, Digest, format_address
from p2p_modelex.node.aliases import AliasSettings
from p2p_modelex.node.configuration import Configuration, GatewaySettings
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.gateway import gateway as gateway_module
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.node.gateway.charging.journal import TRIES_MAX
from p2p_modelex.node.gateway.gateway import open_gateway
from p2p_modelex.node.gateway.keyfile import add_key
from p2p_modelex.node.home import Home
from p2p_modelex.records.authorization import AuthorizedTransfer
from p2p_modelex.units import AI, Epoch, Wei
from tests.node.gateway.charging.paying import (
    CHARGES,
    PAYER,
    Change,
    chat,
    get_payment,
    give,
    headers,
    read_offer,
    read_result,
    sign,
)
from tests.node.gateway.serving import CHAT, Reply, Served, serve, text_of
from tests.node.world import DEPLOYMENT, MODEL, World, make_keys

PAYEE = Address(b"\x77" * 20)
SOLD = replace(CHARGES, payee=format_address(PAYEE))
FIXED = replace(SOLD, prices=((MODEL, Wei(AI // 100)),))


def earned(served: Served) -> Wei:
    return served.world.ledger.balance(PAYEE)


async def unanswered(served: Served) -> int:
    """Payments that are good for another request."""
    value = await served.exchange.node.parts.store.setting("gateway/payments")
    return 0 if value is None else len(msgspec.msgpack.decode(value))


async def wait_answered(served: Served) -> None:
    """The end of an answer is told before it is written down that it was."""
    with trio.fail_after(5):
        while await unanswered(served):
            await trio.sleep(0.01)


async def test_who_has_no_key_is_told_what_to_pay() -> None:
    async with serve(charges=SOLD) as served:
        reply = await served.chat()
        offer = read_offer(reply)
        assert reply.error["code"] == "payment_required"
        [terms] = offer.accepts
        assert (offer.x402_version, terms.scheme, terms.network) == (2, "exact", "eip155:31337")
        assert (terms.asset, terms.pay_to) == (
            format_address(DEPLOYMENT.token),
            format_address(PAYEE),
        )
        assert terms.extra == {"name": "Modelex AI", "version": "1"}
        assert offer.resource is not None
        assert offer.resource.url == "http://127.0.0.1/v1/chat/completions"
        # What the request can cost, and a tenth; each choice of it.
        one = int(terms.amount)
        [most] = {int(read_offer(await served.chat(n=n)).accepts[0].amount) // n for n in (1, 2)}
        assert one == most
        dearer = read_offer(await served.chat(max_tokens=80))
        assert int(dearer.accepts[0].amount) > one
        # What there is and what it costs is for everybody to see.
        assert (await served.ask("GET", "/v1/models")).status == 200
        assert (await served.chat(model="memori")).status == 404


async def test_an_alias_and_a_family_cost_what_they_stand_for() -> None:
    aliases = (AliasSettings("gpt-4o-mini", MODEL), AliasSettings("any", f"family:{MODEL}"))
    async with serve(charges=SOLD, aliases=aliases) as served:
        give(served)
        whole = read_offer(await served.chat()).accepts[0].amount
        for name in ("gpt-4o-mini", "any"):
            assert read_offer(await served.chat(model=name)).accepts[0].amount == whole
            payment = await get_payment(served, model=name)
            assert (await chat(served, payment, model=name)).status == 200
        assert (await served.chat(model="family:nobody")).status == 404


async def test_a_request_costs_at_least_its_gas() -> None:
    async with serve(charges=replace(SOLD, least=Wei(7 * AI))) as served:
        assert int(read_offer(await served.chat(n=2)).accepts[0].amount) == 7 * AI


async def test_a_payment_buys_one_answer() -> None:
    async with serve(charges=SOLD) as served:
        give(served)
        payment = await get_payment(served)
        reply = await chat(served, payment, temperature=0)
        assert reply.status == 200
        result = read_result(reply)
        assert (result.success, result.payer) == (True, format_address(PAYER))
        assert int(result.amount or 0) == earned(served) > 0
        assert len(result.transaction) == 66
        cost = int(reply.json["choices"][0]["modelex"]["paid_wei"])
        assert cost < earned(served)
        await wait_answered(served)
        again = await chat(served, payment)
        assert "used or cancelled before" in str(read_offer(again).error)
        assert earned(served) == int(result.amount or 0)


async def test_a_stream_says_in_its_head_that_it_is_paid() -> None:
    async with serve(charges=FIXED) as served:
        give(served)
        payment = await get_payment(served)
        reply = await chat(served, payment, stream=True)
        assert len(text_of(reply.events).split()) == 8
        assert earned(served) == int(read_result(reply).amount or 0) == AI // 100


def spoil(**fields: str) -> Change:
    def change(payment: PaymentPayload) -> None:
        payment.payload["authorization"] |= fields

    return change


def accept(**fields: str) -> Change:
    def change(payment: PaymentPayload) -> None:
        payment.accepted = payment.accepted.model_copy(update=fields)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (spoil(to=format_address(PAYER)), "is not to"),
        (accept(pay_to=format_address(PAYER)), "pay_to is not"),
        (accept(network="eip155:1"), "network is not"),
        (accept(asset="0x" + "11" * 20), "asset is not"),
        (accept(scheme="upto"), "scheme is not"),
        (spoil(value="1"), "amount that it says"),
        (spoil(validBefore="1"), "has expired"),
        (spoil(validAfter="9999999999"), "not good yet"),
        (spoil(validBefore="9999999999"), "that signed the payment"),
        (spoil(nonce="0x" + "11" * 32), "that signed the payment"),
        (spoil(**{"from": "0x" + "22" * 20}), "that signed the payment"),
        (lambda payment: payment.payload.update(signature="0x" + "ff" * 65), "signature is none"),
    ],
)
async def test_a_payment_that_is_spoilt_buys_nothing(change: Change, says: str) -> None:
    engine = MemoryEngine(MODEL)
    async with serve(engine, charges=FIXED) as served:
        give(served)
        reply = await chat(served, sign(read_offer(await served.chat()), change))
        assert says in str(read_offer(reply).error)
        assert (earned(served), engine.statistics().finished) == (0, 0)


async def test_what_is_paid_is_what_providers_may_cost() -> None:
    """Prices move between the offer and the payment, and who pays less gets cheaper providers."""
    async with serve(charges=replace(SOLD, least=Wei(10**12))) as served:
        give(served)
        payment = await get_payment(served)
        dear = await chat(served, payment, max_tokens=500)
        assert (dear.status, dear.error["code"]) == (402, "over_ceiling")
        assert earned(served) == 0
        assert (await chat(served, payment, max_tokens=4)).status == 200
        offer = read_offer(await served.chat())
        offer.accepts[0].amount = str(10**12 - 1)
        assert "too little" in str(read_offer(await chat(served, sign(offer))).error)
    async with serve(charges=FIXED) as served:
        give(served)
        payment = await get_payment(served)
        assert "too little" in str(read_offer(await chat(served, payment, n=2)).error)


async def test_one_payment_buys_all_answers_of_a_request() -> None:
    async with serve(MemoryEngine(MODEL, kinds=("embedding",)), charges=FIXED) as served:
        give(served)
        asked = {"model": MODEL, "input": [f"headline {number}" for number in range(20)]}
        path = "/v1/embeddings"
        payment = sign(read_offer(await served.ask("POST", path, asked)))
        reply = await served.ask("POST", path, asked, **headers(payment))
        assert (reply.status, len(reply.json["data"])) == (200, 20)
        assert earned(served) == 20 * (AI // 100)


@pytest.mark.parametrize("text", ["", "?", "e30=", "eyJ4NDAyVmVyc2lvbiI6IDF9", "W1tbW1tb"])
async def test_what_is_no_payment_is_told_so(text: str) -> None:
    async with serve(charges=SOLD) as served:
        reply = await chat(served, text)
        assert (reply.status, reply.error["code"]) == (400, "invalid_payment")
        assert reply.error["param"] == shapes.PAYMENT


async def test_money_that_is_not_there_or_is_promised_already() -> None:
    slow = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("hang", 0, jobs=1))
    async with serve(slow, charges=FIXED) as served:
        offer = read_offer(await served.chat())
        give(served, Wei(AI // 100 - 1))
        assert "to be paid" in str(read_offer(await chat(served, sign(offer))).error)
        give(served, Wei(1))
        async with trio.open_nursery() as nursery:
            payment = sign(offer)
            nursery.start_soon(chat, served, payment)
            await wait_for_work(slow)
            assert "in use" in str(read_offer(await chat(served, payment)).error)
            assert "to be paid" in str(read_offer(await chat(served, sign(offer))).error)
            nursery.cancel_scope.cancel()
        await wait_idle(served)
        assert earned(served) == 0
        # Whoever went before anything was there has paid nothing, and may use it yet.
        assert (await chat(served, payment)).status == 200


async def wait_for_work(engine: MemoryEngine) -> None:
    with trio.fail_after(5):
        while not engine.statistics().running:
            await trio.sleep(0.01)


async def wait_idle(served: Served) -> None:
    node = served.exchange.node
    with trio.fail_after(10):
        await node.wait_until(lambda: node.core.is_idle)


async def test_who_leaves_in_mid_answer_has_paid() -> None:
    slow = MemoryEngine(MODEL, delay_s=0.02, length=500)
    async with serve(slow, charges=FIXED) as served:
        give(served)
        payment = await get_payment(served, max_tokens=500)
        content = msgspec.json.encode({**CHAT, "max_tokens": 500, "stream": True})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{shapes.PAYMENT}: "
        head += f"{payment}\r\nContent-Length: {len(content)}\r\n\r\n"
        async with served.talk() as talk:
            await talk.send(head.encode() + content)
            assert (await talk.stream.receive_some(100)).startswith(b"HTTP/1.1 200 ")
        await wait_idle(served)
        [row] = await served.exchange.node.parts.store.receipts()
        assert row.receipt.receipt.completion_tokens < 250
        assert earned(served) == AI // 100
        await wait_answered(served)
        assert (await chat(served, payment)).status == 402


@pytest.mark.parametrize("is_stream", [False, True])
async def test_nothing_is_given_away_where_the_money_has_gone_meanwhile(is_stream: bool) -> None:
    slow = MemoryEngine(MODEL, delay_s=0.1, length=500)
    async with serve(slow, charges=FIXED) as served:
        give(served)
        payment = await get_payment(served, max_tokens=500)
        replies: list[Reply] = []

        async def ask() -> None:
            replies.append(await chat(served, payment, max_tokens=500, stream=is_stream))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_for_work(slow)
            served.world.ledger.transfer(PAYER, Address(b"\x99" * 20), AI)
        [reply] = replies
        assert (reply.status, reply.error["code"]) == (402, "payment_failed")
        await wait_idle(served)
        assert (earned(served), await unanswered(served)) == (0, 0)
        [row] = await served.exchange.node.parts.store.receipts()
        assert row.receipt.receipt.completion_tokens < 10


async def test_whose_own_time_is_up_in_mid_answer_has_paid() -> None:
    """It could else have the greater part of three answers for one payment."""
    async with serve(MemoryEngine(MODEL, delay_s=0.05, length=500), charges=FIXED) as served:
        give(served)
        payment = await get_payment(served, max_tokens=400)
        more: dict[str, object] = {"max_tokens": 400, "modelex": {"timeout": 0.4}}
        late = await chat(served, payment, stream=True, **more)
        assert b'"code":"deadline"' in late.body
        assert earned(served) == AI // 100
        await wait_answered(served)
        assert (await chat(served, payment)).status == 402


async def test_who_paid_for_nothing_asks_again_with_the_same_payment() -> None:
    crashing = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 3, jobs=1))
    async with serve(crashing, charges=FIXED) as served:
        give(served)
        payment = await get_payment(served)
        failed = await chat(served, payment, stream=True)
        assert b'"code":"engine"' in failed.body
        assert (earned(served), await unanswered(served)) == (AI // 100, 1)
        reply = await chat(served, payment)
        assert reply.status == 200
        assert read_result(reply).transaction == read_result(failed).transaction
        await wait_answered(served)
        assert earned(served) == AI // 100
        assert (await chat(served, payment)).status == 402


async def test_a_payment_is_good_for_a_few_failures_and_no_more() -> None:
    """Whoever can make answers fail in the middle would be served for ever."""
    crashing = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 3, jobs=99))
    world = World()
    payment = ""
    for number in range(TRIES_MAX):
        # Each time a gateway anew: a provider that fails is left out for a while.
        async with serve(crashing, world=world, charges=FIXED) as served:
            if not payment:
                give(served)
                payment = await get_payment(served)
            assert b'"code":"engine"' in (await chat(served, payment, stream=True)).body
            left = 1 if number < TRIES_MAX - 1 else 0
            with trio.fail_after(5):
                while await unanswered(served) != left:
                    await trio.sleep(0.01)
    async with serve(world=world, charges=FIXED) as served:
        assert "used or cancelled" in str(read_offer(await chat(served, payment)).error)
        assert earned(served) == AI // 100


@pytest.mark.parametrize("is_mined", [True, False])
async def test_a_crash_while_a_payment_settles_costs_nobody_an_answer(
    monkeypatch: pytest.MonkeyPatch, is_mined: bool
) -> None:
    """The node dies with the transaction out; the payment is good after the restart."""
    reached = trio.Event()
    bring = MemoryChain.transfer_authorized

    async def hang(chain: MemoryChain, transfer: AuthorizedTransfer, signature: bytes) -> Digest:
        if is_mined:
            await bring(chain, transfer, signature)
        reached.set()
        await trio.sleep_forever()
        raise AssertionError

    world = World()
    with monkeypatch.context() as patch:
        patch.setattr(MemoryChain, "transfer_authorized", hang)
        patch.setattr(gateway_module, "LEAVE_TIMEOUT_S", 0.1)
        async with trio.open_nursery() as nursery, serve(world=world, charges=FIXED) as served:
            give(served)
            payment = await get_payment(served)
            nursery.start_soon(cut_off, served, payment)
            with trio.fail_after(5):
                await reached.wait()
    async with serve(world=world, charges=FIXED) as served:
        assert (earned(served) > 0) == is_mined
        assert (await chat(served, payment)).status == 200
        assert earned(served) == AI // 100
        await wait_answered(served)
        assert (await chat(served, payment)).status == 402


async def cut_off(served: Served, payment: str) -> None:
    async with served.talk() as talk:
        content = msgspec.json.encode(CHAT)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{shapes.PAYMENT}: "
        head += f"{payment}\r\nContent-Length: {len(content)}\r\n\r\n"
        await talk.send(head.encode() + content)
        assert b"200 OK" not in await talk.read()


async def test_a_chain_that_cannot_be_asked_or_is_paused() -> None:
    async with serve(charges=FIXED) as served:
        give(served)
        ledger = served.world.ledger
        payment = await get_payment(served)
        ledger.unreachable = True
        reply = await chat(served, payment)
        assert (reply.status, reply.error["code"]) == (503, "chain")
        ledger.unreachable = False
        ledger.announce_split(notice=1, pause=5)
        ledger.pass_blocks(2)
        reply = await chat(served, payment)
        assert (reply.status, reply.error["code"]) == (503, "paused")
        assert earned(served) == 0


async def test_a_chain_that_goes_away_in_mid_payment_leaves_it_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = MemoryEngine(MODEL, delay_s=0.1)
    async with serve(slow, charges=FIXED) as served:
        give(served)
        payment = await get_payment(served)
        replies: list[Reply] = []

        async def ask() -> None:
            replies.append(await chat(served, payment))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_for_work(slow)
            served.world.ledger.unreachable = True
        assert (replies[0].status, replies[0].error["code"]) == (503, "chain")
        served.world.ledger.unreachable = False
        assert (await chat(served, payment)).status == 200
        assert earned(served) == AI // 100


async def test_keys_need_no_payment_and_payments_no_key(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    secret = add_key(home.api_keys, "ada", None, Epoch(0), None)
    async with serve(home=home, charges=FIXED) as served:
        give(served)
        path = "/v1/chat/completions"
        keyed = await served.ask("POST", path, CHAT, authorization=f"Bearer {secret}")
        assert keyed.status == 200
        assert shapes.RESULT not in keyed.headers
        # OpenAI's library sends some key in any case, and a web page an origin.
        for more in ({"authorization": "Bearer none"}, {"origin": "https://a.example"}):
            offer = read_offer(await served.ask("POST", path, CHAT, **more))
            paid = await served.ask("POST", path, CHAT, **headers(sign(offer)), **more)
            assert paid.status == 200
        assert earned(served) == 2 * (AI // 100)
        files = await served.ask("GET", "/v1/files")
        assert (files.status, files.error["code"]) == (401, "no_api_key")
        home.api_keys.write_text("damaged")
        assert (await served.chat()).status == 503


async def test_providers_over_a_fixed_price_are_not_asked_and_nothing_is_taken() -> None:
    cheap = replace(SOLD, prices=((MODEL, Wei(1)),))
    async with serve(charges=cheap) as served:
        give(served)
        reply = await chat(served, await get_payment(served))
        assert (reply.status, reply.error["code"]) == (402, "over_ceiling")
        assert earned(served) == 0


async def test_a_node_sells_its_own_model_at_its_own_price() -> None:
    world = World()
    async with world.provider(1, MemoryEngine(MODEL)) as node:
        world.ledger.mint(PAYER, AI)
        configuration = Configuration(x402=CHARGES)
        exchange = Exchange(node, configuration)
        async with open_gateway(exchange, GatewaySettings(port=0), None) as url:
            served = Served(url, world, exchange)
            before = world.ledger.balance(node.parts.keys.account.address)
            reply = await chat(served, await get_payment(served))
            assert reply.json["choices"][0]["modelex"]["price_wei"] == "0"
            amount = int(read_result(reply).amount or 0)
            [offer] = node.offers
            assert amount > 8 * offer.completion_price
            account = make_keys(1).account.address
            assert world.ledger.balance(account) - before == amount
            asked = read_offer(await served.chat())
            asked.accepts[0].amount = str(amount - 1)
            assert "too little" in str(read_offer(await chat(served, sign(asked))).error)


async def test_after_a_split_it_is_asked_for_anew() -> None:
    world = World()
    async with serve(world=world, charges=FIXED) as served:
        give(served)
        payment = await get_payment(served)
    world.ledger.announce_split(notice=1, pause=1)
    world.ledger.pass_blocks(5)
    async with serve(world=world, charges=FIXED) as served:
        [terms] = read_offer(await chat(served, payment)).accepts
        assert (terms.extra["version"], int(terms.amount)) == ("2", 2 * (AI // 100))
        assert (await chat(served, await get_payment(served))).status == 200
        assert earned(served) == 2 * (AI // 100)
