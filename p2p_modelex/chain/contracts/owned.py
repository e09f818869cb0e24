"""What contracts with an owner have in common (OpenZeppelin's Ownable2Step)."""

from p2p_modelex.chain.contracts.contract import Contract, Sent
from p2p_modelex.errors import Reverted
from p2p_modelex.ids import Address, format_address, parse_address


class Owned(Contract):
    """An owner, who hands over in two steps, so that no typing error loses the contract."""

    async def fetch_owner(self) -> tuple[Address, Address | None]:
        """Who owns it, and whom that is offered to."""
        owner, pending = (await self.ask_all(("owner",), ("pendingOwner",))).values
        return parse_address(owner), parse_address(pending) if int(pending, 16) else None

    async def offer_ownership(self, to: Address) -> Sent:
        """As the owner: `to` becomes it by accepting; zero takes an offer back."""
        return await self.tell("transferOwnership", to)

    async def accept_ownership(self) -> Sent:
        """As the one it was offered to."""
        try:
            return await self.tell("acceptOwnership")
        except Reverted as error:
            if error.name == "OwnableUnauthorizedAccount":  # the same as for what owners may
                shown = format_address(self.network.account)
                error.hint = f"it was not offered to {shown}: its owner does that first"
            raise
