"""Farm (contracts/src/interfaces/IFarm.sol): the account of a virtual farm, its members' income."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from p2p_modelex.chain.contracts.contract import Contract, Sent, read_wei
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address, parse_address


@dataclass(frozen=True, slots=True)
class Member:
    """Has weight / (sum of weights) of the income."""

    account: Address
    weight: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Members and weights. begins_at: unix seconds from which they may count. closed: others have
    begun since, and `income` is final.
    """

    number: int
    begins_at: int
    closed: bool
    income: Amount
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """A farm as of now. current, announced: the numbers of terms; announced 0 for none.

    notice_s: seconds from an announcement to the soonest beginning.
    """

    owner: Address
    current: int
    announced: int
    notice_s: int


class Farm(Contract):
    """One farm, by its address, which is the payee of its channels."""

    artifact = "Farm"

    @classmethod
    async def found(
        cls, network: Network, owner: Address, notice_s: int, members: Sequence[Member]
    ) -> tuple[Self, Sent]:
        """Deploy a farm whose `owner` may announce other members, `notice_s` seconds ahead."""
        return await cls.create(network, network.find("token"), owner, notice_s, _list(members))

    async def fetch_standing(self) -> Standing:
        """Who owns it, and which terms count."""
        questions = ("owner", "current", "announced", "NOTICE")
        answers = await self.ask_all(*((question,) for question in questions))
        owner, *numbers = answers.values
        return Standing(parse_address(owner), *numbers)

    async def fetch_terms(self, number: int) -> Terms:
        """Terms by their number, from 1; Reverted with NoSuchTerms for others."""
        answers = await self.ask_all(("termsOf", number))
        [(_, begins_at, closed, income, members)] = answers.values
        return Terms(
            number,
            begins_at,
            closed,
            Amount(read_wei(income), answers.epoch),
            tuple(Member(parse_address(account), weight) for account, weight in members),
        )

    async def fetch_due(self, member: Address, terms: int) -> Amount:
        """What is due to a member of these terms, not released yet."""
        return await self.ask_amount("dueOf", member, terms)

    async def announce(self, members: Sequence[Member]) -> Sent:
        """As the owner: other terms, in place of any announced before."""
        return await self.tell("announce", _list(members))

    async def cancel(self) -> Sent:
        """As the owner, take the announcement back."""
        return await self.tell("cancel")

    async def begin(self) -> Sent:
        """Make the announced terms count, once their time has come; anyone may."""
        return await self.tell("begin")

    async def release(self, member: Address, first: int, last: int) -> Sent:
        """Pay a member what is due of the terms from `first` to `last`; anyone may."""
        return await self.tell("release", member, first, last)


def _list(members: Sequence[Member]) -> list[tuple[Address, int]]:
    return [(member.account, member.weight) for member in members]
