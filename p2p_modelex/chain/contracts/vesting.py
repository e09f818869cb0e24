"""Vesting (contracts/src/interfaces/IVesting.sol): the founders' part of $AI, under lock-up."""

from dataclasses import dataclass

from p2p_modelex.chain.contracts.contract import Contract, Sent
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address, parse_address


@dataclass(frozen=True, slots=True)
class Grant:
    """share: parts per million of what the contract receives. start: unix seconds. cliff,
    duration: seconds from the start.
    """

    beneficiary: Address
    share: int
    start: int
    cliff: int
    duration: int


@dataclass(frozen=True, slots=True)
class Vested:
    """What a beneficiary was given so far, and may have now."""

    released: Amount
    releasable: Amount


class Vesting(Contract):
    """Cliff and linear release; the grants are fixed for ever."""

    artifact = "Vesting"
    key = "vesting"

    async def fetch_grants(self) -> list[Grant]:
        """All grants, at most 100."""
        return [Grant(parse_address(to), *rest) for to, *rest in await self.ask("grants")]

    async def fetch_received(self) -> Amount:
        """All $AI that the contract ever received."""
        return await self.ask_amount("receivedOf", self.network.find("token"))

    async def fetch_vested(self, beneficiary: Address) -> Vested:
        """Reverted with NoGrant for an account without one."""
        token = self.network.find("token")
        answers = await self.ask_all(
            ("releasedOf", token, beneficiary), ("releasable", token, beneficiary)
        )
        return Vested(answers.amount(0), answers.amount(1))

    async def release(self, beneficiary: Address) -> Sent:
        """Pay out what is due to a beneficiary; anyone may. No event if that is nothing."""
        return await self.tell("release", self.network.find("token"), beneficiary)
