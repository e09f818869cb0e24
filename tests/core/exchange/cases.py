"""What either end may be sent, and the rule it breaks: the source of the exchange's vectors."""

from collections.abc import Iterator
from typing import Any

import msgspec

from p2p_modelex.core.exchange.sale import compute_request_digest
from p2p_modelex.core.exchange.table import Message
from p2p_modelex.ids import Digest
from p2p_modelex.records import codec, envelope, receipt
from p2p_modelex.records.job import (
    QUOTE_DOMAIN,
    Accept,
    Ask,
    Cancel,
    Chunk,
    Failed,
    Finished,
    Order,
    Pay,
    Quote,
    Quoted,
    Refused,
    Request,
    Started,
)
from p2p_modelex.records.logprobs import Alternative, TokenLogprob
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.records.voucher import sign as sign_voucher
from p2p_modelex.units import Wei
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    CHAT,
    DELEGATE,
    ENGINE,
    NETWORK,
    NOW,
    OFFER,
    OPERATOR,
    OTHER_KEY,
    PAYER,
    PROVIDER_KEY,
    REGISTRY,
    REQUEST,
    STRANGER,
    TERMS,
    WEIGHTS,
    Account,
    PeerKey,
    build_job,
)

JOB = build_job(1)
OTHER_JOB = build_job(2)
NO_QUOTE = Digest(bytes(32))


def build_voucher(
    amount: int = 0,
    lane: int = 0,
    epoch: int = 0,
    channel: bytes = CHANNEL,
    signer: Account = PAYER,
) -> SignedVoucher:
    return sign_voucher(Voucher(channel, lane, Wei(amount), epoch), CHANNELS, signer)


def build_order(request: Request = REQUEST, **changes: object) -> Order:
    order = Order(
        JOB,
        request,
        OFFER.prompt_price,
        OFFER.completion_price,
        Wei(2_000),
        TERMS.of_payer,
        build_voucher(),
        Wei(0),
        0,
    )
    return msgspec.structs.replace(order, **changes)


def build_accept(quote: Digest = NO_QUOTE, **changes: object) -> Accept:
    accept = Accept(JOB, quote, TERMS.of_payer, build_voucher(), Wei(0), 0)
    return msgspec.structs.replace(accept, **changes)


def build_quote(key: PeerKey = PROVIDER_KEY, domain: str = QUOTE_DOMAIN, **changes: Any) -> Quoted:
    quote = Quote(
        job=JOB,
        request=compute_request_digest(REQUEST),
        weights=WEIGHTS,
        prompt_tokens=5,
        max_tokens=64,
        prompt_price=Wei(2),
        completion_price=Wei(10),
        epoch=0,
        window=Wei(80),
        payee=OPERATOR.address,
        valid_until=NOW + 30_000,
    )
    payload = codec.encode(msgspec.structs.replace(quote, **changes))
    return Quoted(JOB, envelope.seal(domain, NETWORK, payload, key))


STARTED = Started(JOB, 5, Wei(80))
CHUNKS = (Chunk(JOB, 0, "a ", 1, ()), Chunk(JOB, 1, "b", 2, ()))


def build_finished(signer: Account = DELEGATE, **changes: Any) -> Finished:
    made = Receipt(
        job=JOB,
        peer=PROVIDER_KEY.public_key,
        request=compute_request_digest(REQUEST),
        completion=envelope.digest(b"a b"),
        weights=WEIGHTS,
        engine=ENGINE,
        prompt_tokens=5,
        completion_tokens=2,
        price=Wei(30),
        epoch=0,
        channel=CHANNEL,
        lane=0,
        finished_at=NOW,
        finish=Finish.STOP,
    )
    signed = receipt.sign(msgspec.structs.replace(made, **changes), REGISTRY, signer)
    return Finished(JOB, signed, 0)


def broken_signature() -> Finished:
    made = build_finished().receipt.receipt
    return Finished(JOB, SignedReceipt(made, b"\x01" * 65), 0)


TELLING = msgspec.structs.replace(REQUEST, logprobs=1 + 2)


def tell(token: bytes = b"a ", *top: int, surprisal: int = 1_000_000) -> TokenLogprob:
    """What a provider says of a token, with alternatives of these surprisals."""
    return TokenLogprob(token, surprisal, tuple(Alternative(b"a ", one) for one in top))


def build_told(*told: tuple[TokenLogprob, ...], tokens: tuple[int, ...] = (1, 2)) -> list[Chunk]:
    """The completion "a b" with these logprobs in its chunks."""
    texts = ("a ", "b")
    return [
        Chunk(JOB, at, text, count, shown)
        for at, (text, count, shown) in enumerate(zip(texts, tokens, told, strict=True))
    ]


Case = tuple[str, str, tuple[object, ...]]


def to_provider() -> Iterator[Case]:
    """(name, rule, messages from the requester); a rule of "" is fine."""
    yield "ask", "", (Ask(JOB, REQUEST),)
    yield "chat", "", (Ask(JOB, CHAT),)
    yield "order", "", (build_order(),)
    yield "not a message", "WIRE-2", (b"\xc1",)
    yield "another tag", "WIRE-3", (codec.encode(STARTED),)
    yield "pay first", "EXC-2", (Pay(JOB, build_voucher()),)
    yield "two orders", "EXC-2", (build_order(), build_order())
    yield "cancel before the order", "EXC-2", (Ask(JOB, REQUEST), Cancel(JOB))
    yield "cancel before the start", "", (build_order(), Cancel(JOB))
    both = msgspec.structs.replace(CHAT, text="x")
    yield "text and messages", "EXC-4", (Ask(JOB, both),)
    vector = msgspec.structs.replace(REQUEST, kind="embedding", logprobs=1)
    yield "logprobs of a vector", "EXC-4", (Ask(JOB, vector),)
    yield "tools", "", (Ask(JOB, EQUIPPED),)
    unfit = msgspec.structs.replace(REQUEST, tools=TOOLS)
    yield "tools of what is no chat", "EXC-4", (Ask(JOB, unfit),)
    result = msgspec.structs.replace(
        CHAT, messages=(msgspec.structs.replace(CHAT.messages[0], role="tool"),)
    )
    yield "a result without tools", "EXC-4", (Ask(JOB, result),)
    yield "no prompt", "EXC-4", (build_order(msgspec.structs.replace(REQUEST, text="")),)
    yield "accept without a quote", "EXC-2", (build_accept(),)


def to_requester_asked() -> Iterator[Case]:
    """Messages from the provider to a requester that asked."""
    yield "quote", "", (build_quote(),)
    yield "cheaper quote", "", (build_quote(prompt_price=Wei(1), completion_price=Wei(9)),)
    yield "late quote", "", (build_quote(valid_until=NOW - 1),)
    yield "wider quote", "", (build_quote(window=Wei(81)), Started(JOB, 5, Wei(81)))
    yield "dearer prompt", "", (build_quote(prompt_price=Wei(3)),)
    yield "dearer completion", "", (build_quote(completion_price=Wei(11)),)
    yield "another peer's quote", "EXC-5", (build_quote(OTHER_KEY),)
    yield "another domain", "ENV-2", (build_quote(domain="advertisement"),)
    yield "implausible prompt", "EXC-17", (build_quote(prompt_tokens=81),)
    changes: dict[str, Any] = {
        "job": OTHER_JOB,
        "request": bytes(32),
        "weights": bytes(32),
        "max_tokens": 63,
        "payee": STRANGER.address,
    }
    for field, value in changes.items():
        yield f"quote with another {field}", "EXC-5", (build_quote(**{field: value}),)
    yield "start without a quote", "EXC-2", (STARTED,)
    yield "start unlike the quote", "EXC-17", (build_quote(), Started(JOB, 6, Wei(80)))
    quote = build_quote(window=Wei(70))
    yield "window unlike the quote", "EXC-17", (quote, Started(JOB, 5, Wei(80)))


def to_requester_ordered() -> Iterator[Case]:
    """Messages from the provider to a requester that ordered."""
    refused = Refused(JOB, "busy", "later", 10)
    yield "refused", "", (refused,)
    yield "failed", "", (STARTED, Failed(JOB, "engine", "crash"))
    yield "finished", "", (STARTED, *CHUNKS, build_finished())
    yield "another tag", "WIRE-3", (codec.encode(Cancel(JOB)),)
    yield "chunk before start", "EXC-2", (CHUNKS[0],)
    yield "refused after start", "EXC-2", (STARTED, refused)
    yield "another job", "EXC-3", (Started(OTHER_JOB, 5, Wei(80)),)
    yield "implausible prompt", "EXC-17", (Started(JOB, 16 + 64 + 1, Wei(80)),)
    yield "wider window", "", (Started(JOB, 5, Wei(81)),)
    yield "a gap", "EXC-10", (STARTED, CHUNKS[1])
    yield "an empty chunk", "EXC-10", (STARTED, CHUNKS[0], Chunk(JOB, 1, "", 1, ()))
    yield "tokens shrink", "EXC-11", (STARTED, CHUNKS[0], Chunk(JOB, 1, "x", 0, ()))
    yield "logprobs unasked", "EXC-21", (STARTED, Chunk(JOB, 0, "x", 1, (tell(b"x"),)))
    yield "more than max_tokens", "EXC-11", (STARTED, Chunk(JOB, 0, "x", 65, ()))
    changes: dict[str, Any] = {
        "job": OTHER_JOB,
        "peer": OTHER_KEY.public_key,
        "request": bytes(32),
        "completion": bytes(32),
        "weights": bytes(32),
        "prompt_tokens": 6,
        "completion_tokens": 3,
        "price": Wei(31),
        "epoch": 1,
        "channel": bytes(32),
        "lane": 1,
        "finished_at": NOW + 60_001,
        "finish": Finish.CANCELLED,
    }
    for field, value in changes.items():
        wrong = build_finished(**{field: value})
        yield f"receipt with another {field}", "EXC-16", (STARTED, *CHUNKS, wrong)
    cached = msgspec.structs.replace(build_finished(), cached=6)
    yield "more cached than there was", "EXC-16", (STARTED, *CHUNKS, cached)
    whole = msgspec.structs.replace(cached, cached=5)
    yield "all of it cached", "", (STARTED, *CHUNKS, whole)
    stranger = build_finished(STRANGER)
    yield "receipt by a stranger", "EXC-16", (STARTED, *CHUNKS, stranger)
    yield "receipt with no signature", "EXC-16", (STARTED, *CHUNKS, broken_signature())


def to_requester_of_logprobs() -> Iterator[Case]:
    """Messages from the provider to a requester that wants logprobs and two alternatives."""
    good, end = tell(b"a ", 1, 9), tell(b"b")
    finished = build_finished(request=compute_request_digest(TELLING))
    yield "logprobs", "", (STARTED, *build_told((good,), (end,)), finished)
    yield "all at the end", "", (STARTED, *build_told((), (good, end)), finished)
    yield "a part of a character untold", "", (STARTED, *build_told((), (end,)), finished)
    yield "of more tokens than came", "EXC-21", (STARTED, *build_told((good, end), ())[:1])
    yield "too many alternatives", "EXC-21", (STARTED, *build_told((tell(b"a ", 1, 2, 3),), ())[:1])
    yield "the likeliest last", "EXC-21", (STARTED, *build_told((tell(b"a ", 2, 1),), ())[:1])
    yield "no logprobs came", "EXC-21", (STARTED, *build_told((), ()), finished)
    long = msgspec.structs.replace(good, token=b"t" * 129)
    yield "too long a token", "WIRE-3", (codec.encode(Chunk(JOB, 0, "a", 1, (long,))),)


TOOLS = '{"tools":[{"type":"function","function":{"name":"look"}}]}'
EQUIPPED = msgspec.structs.replace(CHAT, tools=TOOLS)
CALL = '\x1e{"id":"c1","name":"look"}\n{"at": "it"}'


def _say(*texts: str) -> list[Chunk]:
    return [Chunk(JOB, at, text, at + 1, ()) for at, text in enumerate(texts)]


def _end(finish: Finish, *texts: str) -> Finished:
    return build_finished(
        request=compute_request_digest(EQUIPPED),
        completion=envelope.digest("".join(texts).encode()),
        completion_tokens=len(texts),
        price=Wei(10 + 10 * len(texts)),
        finish=finish,
    )


def to_requester_of_calls() -> Iterator[Case]:
    """Messages from the provider to a requester whose chat has tools."""
    stop, cut, called = Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS
    for name, finish, texts in (
        ("no call", stop, ("a ", "b")),
        ("a call", called, (CALL,)),
        ("a call cut up", called, ("so: ", CALL[:1], CALL[1:9], CALL[9:30], CALL[30:])),
        ("two calls", called, (CALL + CALL, "")),
        ("the end of a call missing", cut, (CALL[:-3],)),
        ("cut before a call", cut, ("a",)),
    ):
        shown = [text for text in texts if text]
        yield name, "", (STARTED, *_say(*shown), _end(finish, *shown))
    for name, finish, texts in (
        ("a call that is none", called, ("a",)),
        ("a call that is not told", stop, (CALL,)),
        ("cut within a head", cut, (CALL[:9],)),
    ):
        yield name, "EXC-16", (STARTED, *_say(*texts), _end(finish, *texts))
    for name, text in (
        ("a call within a head", CALL[:9] + CALL),
        ("a head that is no JSON", "\x1e{\n"),
        ("a head with more", '\x1e{"id":"c","name":"look","more":1}\n'),
        ("a head without a name", '\x1e{"id":"c"}\n'),
        ("a name with a space", '\x1e{"id":"c","name":"a b"}\n'),
        ("a head without an id", '\x1e{"id":"","name":"look"}\n'),
        ("too long a head", "\x1e" + " " * 513),
        ("too many calls", CALL * 129),
    ):
        yield name, "EXC-22", (STARTED, *_say(text))


SAMPLES: tuple[Message, ...] = (
    Ask(JOB, REQUEST),
    build_order(),
    build_accept(),
    Pay(JOB, build_voucher()),
    Cancel(JOB),
    build_quote(),
    STARTED,
    CHUNKS[0],
    build_finished(),
    Refused(JOB, "busy", "", 0),
    Failed(JOB, "engine", ""),
)
