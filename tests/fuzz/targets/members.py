"""A member whose fellow, its network and its payers are hostile: no line over the deposit, no more
promised to it than its line, and what it lent is never lent twice.
"""

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.members import parameters
from p2p_modelex.core.patrons import compute_worth
from p2p_modelex.records import codec
from p2p_modelex.records.members import Borrow, Lent, ServedPayer, SpareLine, Told
from p2p_modelex.records.rows import LoanRow
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.pair import OTHER_KEY, PAYER
from tests.core.members.scene import CHANNEL, FARM, TERMS, Farm, Member
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_DEPOSIT = 4_000
_LIKE: tuple[object, ...] = (FARM, CHANNEL, 0, 1, 20, 21, 2**32, bytes(16), b"\xff" * 16)


def run(content: bytes) -> None:
    choices = Choices(content)
    farm = Farm(6_000, 4_000, deposit=_DEPOSIT)
    farm.gossip()
    victim, fellow = farm.members
    farm.dead.add(fellow.place)
    given_before = 0
    while choices:
        farm.now = UnixMs(farm.now + choices.pick((0, 100, 500, 5_000)))
        _act(victim, choices)
        while farm.under_way and choices.chance(200):
            farm.deliver()
        given_before = _check(victim, given_before)


def _act(victim: Member, choices: Choices) -> None:
    farm = victim.farm
    fellow = farm.members[1]
    match choices.below(6):
        case 0:
            peer = choices.pick((fellow.key.peer, OTHER_KEY.peer))
            stream = fx.StreamId(next(farm.numbers))
            victim.step(given.StreamOpened(stream, peer, parameters.MEMBERS_PROTOCOL))
        case 1:
            victim.step(given.FrameReceived(_choose_stream(victim, choices), _draw(choices)))
        case 2:
            victim.order(choices.byte(), 100 * choices.byte(), lane=choices.below(4))
        case 3:
            victim.step(given.StreamReady(_choose_stream(victim, choices)))
        case 4:
            victim.step(given.StreamEnded(_choose_stream(victim, choices), clean=False, reason=""))
        case _:
            farm.restart(victim) if choices.chance(16) else farm.pass_time(0)


def _choose_stream(victim: Member, choices: Choices) -> fx.StreamId:
    """One that it has with its fellow, either way."""
    members = victim.selling._sharing._members
    streams = [*members._calls, *members._callers]
    return choices.pick(streams) if streams else fx.StreamId(1)


def _draw(choices: Choices) -> bytes:
    wei = [Wei(choices.byte() << choices.below(100)) for _ in range(2)]
    epoch = choices.below(21)
    message = choices.pick(
        (
            Told(FARM, choices.byte(), (ServedPayer(PAYER.address, 2**20),), ()),
            Told(FARM, 0, (), (SpareLine(CHANNEL, wei[0], epoch),)),
            Borrow(FARM, TERMS.of_payer, wei[0], wei[1], epoch),
            Lent(wei[0], epoch),
        )
    )
    plain = trees.to_plain(message)
    for _ in range(choices.below(3)):
        plain = trees.bend(plain, choices, _LIKE)
    return trees.pack(plain) if choices.chance(230) else codec.encode(message)[:-1]


def _check(victim: Member, given_before: int) -> int:
    """Returns what it has lent in all, as much as that is worth in the last split epoch."""
    members = victim.selling._sharing._members
    assert len(members._callers) <= parameters.CALLS_MAX
    assert len(members._unread) <= parameters.UNREAD_MAX
    if victim.ledger.get_account(CHANNEL) is not None:
        assert victim.promised <= victim.line <= _DEPOSIT
    rows = [row for row in victim.disk.values() if isinstance(row, LoanRow)]
    lent = sum(compute_worth(row.given, row.epoch) for row in rows)
    taken = sum(compute_worth(row.taken, row.epoch) for row in rows)
    assert given_before <= lent <= compute_worth(_DEPOSIT, 0) + taken
    return lent
