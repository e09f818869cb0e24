"""One fixed value of every message, for the wire vectors and for anybody who needs one."""

from typing import Any

from p2p_modelex.ids import Digest
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import (
    Advertisement,
    Announcement,
    Announcements,
    Change,
    Offer,
    Section,
)
from p2p_modelex.records.channel import ChannelState, PayerTerms
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.farm import Certificate, FarmAnswer, FarmQuestion, FarmRecord
from p2p_modelex.records.job import (
    Accept,
    Ask,
    Cancel,
    Chunk,
    Failed,
    Finished,
    Load,
    Message,
    Order,
    Pay,
    Probe,
    Quote,
    Quoted,
    Refused,
    Request,
    Started,
)
from p2p_modelex.records.members import Borrow, Lent, ServedPayer, SpareLine, Told
from p2p_modelex.records.ownership import Ownership, SignedOwnership
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.records.reconciliation import (
    Bounds,
    Compare,
    Compared,
    Fetch,
    Held,
    Listing,
    Offered,
    Pull,
    Pulled,
    Range,
    Records,
    Split,
    Took,
)
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Wei

SIGNATURE = b"\x51" * 64 + b"\x1b"
JOB = bytes(range(16))
PEER = bytes(range(32))
WEIGHTS = Digest(b"\xa3" * 32)
CHANNEL = b"\xc1" * 32
OPERATOR = b"\x0a" * 20

offer = Offer(
    model="smollm2-135m-instruct",
    weights=WEIGHTS,
    kinds=("chat", "completion"),
    context_length=2048,
    max_tokens=512,
    features=("grammar", "logprobs"),
    prompt_price=Wei(10**12),
    completion_price=Wei(3 * 10**12),
    epoch=0,
    credit_tokens=64,
    deferred_discount=2500,
)
ownership = SignedOwnership(
    Ownership(PEER, OPERATOR, b"\x0b" * 20, not_after=1_900_000_000_000), SIGNATURE
)
certificate = Certificate(
    name="harvest",
    member=PEER,
    payee=b"\xfa" * 20,
    index=3,
    weight=2_500,
    serial=7,
    not_before=1_790_000_000_000,
    not_after=1_900_000_000_000,
)
farm_record = FarmRecord(
    name="harvest",
    sequence=1_795_000_000_000,
    ttl_ms=604_800_000,
    payee=b"\xfa" * 20,
    revoked=(2, 5),
)
advertisement = Advertisement(
    sequence=1_795_000_000_000,
    ttl_ms=600_000,
    agent="modelex/0.1.0",
    addresses=("/ip4/127.0.0.1/tcp/4001",),
    offers=(offer,),
    accounts=(ownership,),
    section=Section.PUBLIC,
    farms=(Envelope(b"\xfb" * 32, codec.encode(certificate), b"\x52" * 64),),
    evidence=bytes(32),
)
withdrawal = Advertisement(
    sequence=1_795_000_000_001,
    ttl_ms=10_000,
    agent="modelex/0.1.0",
    addresses=(),
    offers=(),
    accounts=(),
    section=Section.UNREGISTERED,
    farms=(),
    evidence=bytes(32),
)
announcements = Announcements(
    (
        Announcement(PEER, 1_795_000_000_000, Change.NEW),
        Announcement(b"\x07" * 32, 1_795_000_000_001, Change.WITHDRAWN),
    )
)
request = Request(
    model="smollm2-135m-instruct",
    weights=bytes(32),
    kind="chat",
    text="",
    messages=(Message("system", "Be brief."), Message("user", "Is rain good for a harvest? ☂")),
    max_tokens=128,
    temperature=0.7,
    top_p=0.95,
    top_k=40,
    seed=7,
    stop=("\n\n",),
    grammar="",
)
completion = Request(
    model="news2",
    weights=WEIGHTS,
    kind="score",
    text="Headline: Profits double\nSentiment:",
    messages=(),
    max_tokens=1,
    temperature=0.0,
    top_p=1.0,
    top_k=0,
    seed=0,
    stop=(),
    grammar="root ::= [1-9]",
)
voucher = SignedVoucher(Voucher(CHANNEL, 3, Wei(250 * 10**15), 0), SIGNATURE)
receipt = SignedReceipt(
    Receipt(
        job=JOB,
        peer=PEER,
        request=b"\xa1" * 32,
        completion=b"\xa2" * 32,
        weights=WEIGHTS,
        engine=b"\xa4" * 32,
        prompt_tokens=21,
        completion_tokens=144,
        price=Wei(165 * 10**12),
        epoch=1,
        channel=CHANNEL,
        lane=3,
        finished_at=1_795_000_000_123,
        finish=Finish.LENGTH,
    ),
    SIGNATURE,
)
quote = Quote(
    job=JOB,
    request=b"\xa1" * 32,
    weights=WEIGHTS,
    prompt_tokens=21,
    max_tokens=128,
    prompt_price=Wei(10**12),
    completion_price=Wei(3 * 10**12),
    epoch=0,
    window=Wei(192 * 10**12),
    payee=OPERATOR,
    valid_until=1_795_000_030_000,
)
envelope = Envelope(PEER, b"payload", b"\x52" * 64)
terms = PayerTerms(b"\x01" * 20, b"\x02" * 20, b"\x54" * 32)
channel = ChannelState(
    channel=CHANNEL,
    payer=terms.payer,
    payee=OPERATOR,
    signer=terms.signer,
    salt=terms.salt,
    deposit=Wei(10**19),
    claimed=Wei(10**18),
    epoch=0,
    closes_at=0,
)
FINGERPRINT = b"\x53" * 16
split = Split((Range(b"", b"\x40", 17, FINGERPRINT), Range(b"\x40", b"", 300, FINGERPRINT)))
listing = Listing(b"\x40", b"\x50", (Held(b"\x41" * 32, 1_795_000_000_000),))

EXAMPLES: dict[str, Any] = {
    "offer": offer,
    "ownership": ownership,
    "certificate": certificate,
    "advertisement": advertisement,
    "withdrawal": withdrawal,
    "announcements": announcements,
    "chat request": request,
    "score request": completion,
    "voucher": voucher,
    "receipt": receipt,
    "quote": quote,
    "envelope": envelope,
    "channel": channel,
    "ask": Ask(JOB, request),
    "order": Order(
        JOB, completion, Wei(10**12), Wei(3 * 10**12), Wei(10**15), terms, voucher, Wei(5)
    ),
    "accept": Accept(JOB, envelopes.digest(b"quote"), terms, voucher, Wei(5)),
    "pay": Pay(JOB, voucher),
    "cancel": Cancel(JOB),
    "quoted": Quoted(JOB, envelope),
    "started": Started(JOB, 21, Wei(192 * 10**12)),
    "chunk": Chunk(JOB, 0, "Yes ☂", 2),
    "finished": Finished(JOB, receipt),
    "refused": Refused(JOB, "busy", "all slots are taken", 1500),
    "failed": Failed(JOB, "engine", "the worker died"),
    "farm record": farm_record,
    "farm question": FarmQuestion(PEER, b""),
    "farm answer": FarmAnswer(b"record"),
    "probe": Probe(5),
    "load": Load(5, 1, 2, 4, 180),
    "told": Told(PEER, 1500, (ServedPayer(OPERATOR, 700),), (SpareLine(CHANNEL, Wei(10**17), 0),)),
    "borrow": Borrow(PEER, PayerTerms(OPERATOR, bytes(20), CHANNEL), Wei(10**17), Wei(10**16), 1),
    "lent": Lent(Wei(2 * 10**17), 1),
    "compare": Compare((Range(b"", b"", 0, FINGERPRINT),)),
    "fetch": Fetch((PEER,)),
    "offered": Offered((b"envelope",)),
    "pull": Pull((Bounds(b"", b"\x40"), Bounds(b"\x50", b""))),
    "compared": Compared(2, (split, listing)),
    "records": Records((b"envelope", b"another")),
    "took": Took(1),
    "pulled": Pulled((b"envelope",), PEER),
    "all pulled": Pulled((), b""),
}
