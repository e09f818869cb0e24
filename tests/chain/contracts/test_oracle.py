from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.oracle import OracleHub, Status
from p2p_modelex.chain.contracts.prompts import PromptLibrary, TemplateDraft
from p2p_modelex.chain.contracts.questions import (
    NOTHING,
    Ask,
    Kind,
    Provider,
    Terms,
    compute_subject,
    encode_parameters,
)
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.report import NO_COMPLETION, Report, SignedReport, sign
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import (
    LISTENER,
    REFUSER,
    ai,
    put_code,
    read_storage,
    refused,
    split,
)
from tests.chain.worlds import FULL, new_key

HOUR_S = 3600
_salt = count(1)


async def make_terms(network: Network, signers: Sequence[EvmSigner], **more: Any) -> Terms:
    head = await network.fetch_head()
    fields: dict[str, Any] = {
        "kind": Kind.SCORE,
        "prompt": b"Headline: Modelex opens.",
        "providers": tuple(Provider(key.address) for key in signers),
        "quorum": len(signers),
        "deadline": head.timestamp + HOUR_S,
        "salt": Digest(next(_salt).to_bytes(32, "big")),
    }
    return Terms(**fields | more)


async def report(
    hub: OracleHub, key: EvmSigner, subject: Digest, score: int, price: Amount, text: bytes = b""
) -> SignedReport:
    completion = Digest(keccak(text)) if text else NO_COMPLETION
    now = (await hub.network.fetch_head()).timestamp
    return sign(Report(subject, score, completion, price.wei, price.epoch, now), hub.domain, key)


async def ask(hub: OracleHub, terms: Terms, payment: Amount) -> tuple[Digest, Ask]:
    sent = await hub.request(terms, payment)
    request = Digest(sent.event("Requested")["id"])
    asked = await hub.find_ask(request)
    assert (asked.id, asked.block) == (request, sent.block)
    assert await hub.find_ask(request, sent.block) == asked
    assert await hub.ask("idOf", asked.ask.fields()) == request
    return request, asked.ask


async def test_two_of_three_answer_and_the_outlier_is_not_paid(place: Place) -> None:
    asker = await place.newcomer()
    hub = OracleHub(asker)
    signers = sorted((new_key() for _ in range(3)), key=lambda key: key.address)
    farm = new_key().address
    providers = (Provider(signers[0].address, farm), *(Provider(s.address) for s in signers[1:]))
    terms = await make_terms(asker, signers, providers=providers, quorum=3, band=10)
    request, asked = await ask(hub, terms, ai(9))
    assert (asked.requester, asked.amount, asked.share) == (asker.account, ai(9), ai(3))

    first = await report(hub, signers[0], request, 100, ai(2))
    assert await hub.verify(first)
    assert not await hub.verify(replace(first, report=replace(first.report, score=101)))
    sent = await hub.answer(asked, [first])
    assert sent.event("Reported")["score"] == 100
    state = await hub.fetch_request(request)
    assert (state.status, state.answered) == (Status.OPEN, (0,))

    rest = [
        await report(hub, signers[1], request, 105, ai(50)),  # gets its share at most
        await report(hub, signers[2], request, -900, ai(3)),
    ]
    sent = await hub.answer(asked, rest)
    assert sent.event("Outlier")["signer"] == "0x" + signers[2].address.hex()
    assert sent.event("Answered")["paid"] == 5 * AI
    state = await hub.fetch_request(request)
    assert (state.status, state.score, state.answered) == (Status.ANSWERED, 100, (0, 1, 2))
    earned = [await hub.fetch_earned(s.address) for s in signers]
    assert earned == [ai(0), ai(3), ai(0)]
    assert await hub.fetch_earned(farm) == ai(2)
    assert await hub.fetch_earned(asker.account) == ai(4)
    await hub.withdraw(asker.account)
    assert await Token(asker).fetch_balance(asker.account) == ai(95)
    with refused("NotOpen"):
        await hub.answer(asked, rest)


async def test_a_request_that_nobody_answers_is_refunded(place: Place) -> None:
    asker = await place.newcomer()
    hub, key = OracleHub(asker), new_key()
    request, asked = await ask(hub, await make_terms(asker, [key]), ai(3))
    with refused("TooEarly"):
        await hub.refund(asked)
    await place.pass_time(HOUR_S + 1)
    late = await report(hub, key, request, 1, ai(3))
    with refused("TooLate"):
        await hub.answer(asked, [late])
    await hub.refund(asked)
    assert (await hub.fetch_request(request)).status is Status.REFUNDED
    assert await hub.fetch_earned(asker.account) == ai(3)


@pytest.mark.parametrize("code", [LISTENER, REFUSER])
async def test_a_callback_is_told_and_a_failing_one_loses_nothing(
    place: Place, code: bytes
) -> None:
    asker, key = await place.newcomer(), new_key()
    hub, listener = OracleHub(asker), new_key().address
    await put_code(place, listener, code)
    terms = await make_terms(asker, [key], callback=listener, callback_gas=100_000)
    request, asked = await ask(hub, terms, ai(1))
    sent = await hub.answer(asked, [await report(hub, key, request, 42, ai(1))])
    names = [event.name for event in sent.events]
    assert ("CallbackFailed" in names) == (code == REFUSER)
    assert (await hub.fetch_request(request)).score == 42
    assert await hub.fetch_earned(key.address) == ai(1)
    told = [await read_storage(place, listener, slot) for slot in range(2)]
    assert told == ([int.from_bytes(request, "big"), 42] if code == LISTENER else [0, 0])


async def test_a_text_needs_the_quorum_to_agree(place: Place) -> None:
    asker, keys = await place.newcomer(), [new_key(), new_key()]
    hub = OracleHub(asker)
    request, asked = await ask(hub, await make_terms(asker, keys, kind=Kind.TEXT), ai(4))
    reports = [await report(hub, key, request, 0, ai(1), b"Yes.") for key in keys]
    with refused("NoAgreement"):
        await hub.answer(asked, reports[:1], b"Yes.")
    with refused("NoAgreement"):
        await hub.answer(asked, reports, b"No.")
    await hub.answer(asked, reports, b"Yes.")
    assert (await hub.fetch_request(request)).completion == keccak(b"Yes.")
    assert await hub.find_output(await hub.find_ask(request)) == b"Yes."


async def test_a_template_is_paid_from_the_request(place: Place) -> None:
    asker, creator, key = await place.newcomer(), await place.newcomer(), new_key()
    draft = TemplateDraft(Digest(keccak(b"Rate {headline}")), ai(2), 8)
    published = await PromptLibrary(creator).publish(draft)
    template = Digest(published.event("Published")["template"])
    parameters = encode_parameters({"b": "2", "a": "é"})
    assert parameters == '{"a":"é","b":"2"}'.encode()
    asked_by = {"template": template, "prompt": parameters}
    low = await make_terms(asker, [key], fee_ceiling=ai(2).wei - 1, **asked_by)
    with refused("FeeTooHigh"):
        await OracleHub(asker).request(low, ai(5))
    terms = await make_terms(asker, [key], fee_ceiling=ai(2).wei, **asked_by)
    _, asked = await ask(OracleHub(asker), terms, ai(5))
    assert asked.amount == ai(3)
    assert (asked.terms.template, asked.terms.prompt) == (template, parameters)
    assert asked.terms.fee_ceiling == ai(2).wei
    assert await PromptLibrary(asker).fetch_earned(creator.account) == ai(2)


async def test_a_pending_request_comes_through_a_split(splitting: Place) -> None:
    asker, key = await splitting.newcomer(), new_key()
    hub = OracleHub(asker)
    request, asked = await ask(hub, await make_terms(asker, [key]), ai(3))
    before = await report(hub, key, request, 7, ai(1))
    await split(splitting)
    await hub.answer(asked, [before])
    assert await hub.fetch_earned(key.address) == ai(2, 1)
    assert await hub.fetch_earned(asker.account) == ai(4, 1)


async def test_what_was_asked_is_found_and_what_was_not_is_said(place: Place) -> None:
    asker, keys = await place.newcomer(), [new_key(), new_key()]
    hub = OracleHub(asker)
    ids = [(await ask(hub, await make_terms(asker, [key]), ai(1)))[0] for key in keys]
    assert [asked.id for asked in await hub.fetch_asks(2, *await hub.find_range())] == ids[::-1]
    assert (await hub.fetch_request(Digest(b"\7" * 32))).status is Status.NONE
    with pytest.raises(BadInput, match="nobody asked 0x0707"):
        await hub.find_ask(Digest(b"\7" * 32))
    with pytest.raises(BadInput, match="none of the request's providers"):
        asked = (await hub.find_ask(ids[0])).ask
        await hub.answer(asked, [await report(hub, keys[1], ids[0], 1, ai(1))])


async def test_ids_and_subjects_are_the_contracts(place: Place) -> None:
    hub = OracleHub(await place.reader())
    terms = await make_terms(hub.network, [new_key(), new_key()], band=5, template=NOTHING)
    asked = Ask(Address(b"\1" * 20), Amount(Wei(FULL), Epoch(3)), terms)
    found = asked.compute_id(place.deployment.chain_id, hub.address)
    assert await hub.ask("idOf", asked.fields()) == found
    subject = compute_subject(hub.address, NOTHING, b"Is it so?")
    assert await hub.ask("subjectOf", NOTHING, b"Is it so?") == subject
    assert await hub.ask("domainSeparator") == hub.domain
    with pytest.raises(BadInput, match="not Unicode"):
        encode_parameters({"a": "\ud800"})
