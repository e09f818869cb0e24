"""What a network's deployment consists of: the contracts in order, and their arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, format_address

SPLIT_NOTICE_BLOCKS = 50_400
"""A week of 12 s blocks from a split's announcement to its pause."""

SPLIT_PAUSE_BLOCKS = 300
"""An hour of 12 s blocks; a challenge period should be longer."""

_YEAR_S = 365 * 24 * 3600
_ALL_PARTS = 1_000_000

Addresses = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Grant:
    """A founder's part: parts per million of the founders' 15%; nothing before `cliff_s`, all of it
    `duration_s` after `start` (unix seconds).
    """

    beneficiary: Address
    share: int
    start: int
    cliff_s: int = _YEAR_S
    duration_s: int = 4 * _YEAR_S


@dataclass(frozen=True, slots=True)
class Terms:
    """What is decided when a network is deployed, and never again. Accounts that are None are the
    deployer's; no grants: one of everything to the deployer.

    challenge_s: seconds between a payer's startClose and finishClose. owner: who may announce
    splits and admit nodes to the whitelisted section, and hand that on.
    """

    challenge_s: int
    owner: Address | None = None
    investors: Address | None = None
    users: Address | None = None
    grants: tuple[Grant, ...] = ()
    split_notice_blocks: int = SPLIT_NOTICE_BLOCKS
    split_pause_blocks: int = SPLIT_PAUSE_BLOCKS

    def validate(self) -> None:
        """Raise BadInput for what a constructor would refuse only after others were paid for."""
        if self.challenge_s <= 0:
            raise BadInput("the challenge period is at least one second")
        shares = sum(grant.share for grant in self.grants)
        if self.grants and shares != _ALL_PARTS:
            raise BadInput(f"the founders' shares are {shares} parts per million in all")


@dataclass(frozen=True, slots=True)
class Step:
    """One contract. key: its name in the network file. arguments: given the addresses so far."""

    key: str
    contract: str
    arguments: Callable[[Addresses], tuple[Any, ...]]


def build_plan(terms: Terms, deployer: Address, now: int) -> tuple[Step, ...]:
    """Return the steps in order. now: unix seconds, where a grant of the deployer's starts."""
    owner = format_address(terms.owner or deployer)
    investors, users = (format_address(a or deployer) for a in (terms.investors, terms.users))
    grants = [
        (format_address(g.beneficiary), g.share, g.start, g.cliff_s, g.duration_s)
        for g in terms.grants or (Grant(deployer, _ALL_PARTS, now),)
    ]
    splits = (terms.split_notice_blocks, terms.split_pause_blocks)
    return (
        Step("vesting", "Vesting", lambda _: (grants,)),
        Step("token", "AIToken", lambda at: ((investors, at["vesting"], users), owner, *splits)),
        Step("registry", "NodeRegistry", lambda _: (owner,)),
        Step("channels", "PaymentChannels", lambda at: (at["token"], terms.challenge_s)),
        Step("ratings", "Ratings", lambda at: (at["registry"],)),
        Step("prompts", "PromptLibrary", lambda at: (at["token"],)),
        Step("oracle", "OracleHub", lambda at: (at["token"], at["prompts"])),
        Step("blocks", "DataBlocks", lambda at: (at["token"],)),
        Step("releases", "ModelReleases", lambda _: ()),
        Step("wrapped", "WrappedAI", lambda at: (at["token"],)),
    )
