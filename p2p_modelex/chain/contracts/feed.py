"""ScoreFeed (interfaces/IScoreFeed.sol): a score that a quorum of signers keeps up to date."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from p2p_modelex.chain.contracts.contract import Sent, check_page
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.oracle import report_fields
from p2p_modelex.chain.contracts.owned import Owned
from p2p_modelex.errors import Reverted
from p2p_modelex.ids import Address, Digest, parse_address
from p2p_modelex.records.report import SignedReport


@dataclass(frozen=True, slots=True)
class Settings:
    """What a feed is about and when it changes. decimals: of the score. heartbeat_s: seconds after
    which a round is due whatever the score; after twice that the feed is stale. deviation: units of
    the score that make a round due before.
    """

    subject: Digest
    description: str
    decimals: int
    heartbeat_s: int
    deviation: int


@dataclass(frozen=True, slots=True)
class Round:
    """A round. started_at: the newest report's time. updated_at: the block's. Unix seconds."""

    number: int
    answer: int
    started_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class FeedState:
    """A feed as of a block of the time `now`, unix seconds. latest: None before any round."""

    settings: Settings
    signers: tuple[Address, ...]
    quorum: int
    is_stale: bool
    latest: Round | None
    now: int


class ScoreFeed(Owned):
    """A score read like a Chainlink price; its owner says who signs, and cannot write a score."""

    artifact = "ScoreFeed"

    @classmethod
    async def establish(
        cls,
        network: Network,
        settings: Settings,
        signers: Sequence[Address],
        quorum: int,
        owner: Address,
    ) -> tuple[Self, Sent]:
        """Deploy a feed over the network's OracleHub. Reverted InvalidSettings, InvalidSigners."""
        fields = (
            settings.subject,
            settings.description,
            settings.decimals,
            settings.heartbeat_s,
            settings.deviation,
        )
        return await cls.create(
            network, network.find("oracle"), fields, sorted(signers), quorum, owner
        )

    async def fetch_state(self) -> FeedState:
        """Everything about the feed but its history."""
        answers = await self.ask_all(("settings",), ("signers",), ("quorum",), ("isStale",))
        settings, signers, quorum, is_stale = answers.values
        return FeedState(
            settings=Settings(*settings),
            signers=tuple(parse_address(signer) for signer in signers),
            quorum=quorum,
            is_stale=is_stale,
            latest=await self._fetch_latest(),
            now=answers.head.timestamp,
        )

    async def fetch_rounds(self, limit: int) -> tuple[Round, ...]:
        """The last rounds, newest first: at most `limit`, up to PAGE_ROWS_MAX."""
        check_page(0, limit)
        latest = await self._fetch_latest()
        if latest is None:
            return ()
        oldest = max(1, latest.number - limit + 1)
        numbers = range(latest.number, oldest - 1, -1)
        answers = await self.ask_all(*(("getRoundData", number) for number in numbers))
        return tuple(_read_round(fields) for fields in answers.values)

    async def submit(self, reports: Sequence[SignedReport]) -> Sent:
        """Make a round of a quorum's reports; anyone may. The event RoundMade says which."""
        ordered = sorted(reports, key=lambda each: each.signer)
        signed = [(report_fields(each.report), each.signer, each.signature) for each in ordered]
        return await self.tell("submit", signed)

    async def set_signers(self, signers: Sequence[Address], quorum: int) -> Sent:
        """As the owner, replace who may sign and how many must."""
        return await self.tell("setSigners", sorted(signers), quorum)

    async def _fetch_latest(self) -> Round | None:
        try:
            return _read_round(await self.ask("latestRoundData"))
        except Reverted as error:
            if error.name != "NoRound":
                raise
            return None


def _read_round(fields: tuple[Any, ...]) -> Round:
    number, answer, started_at, updated_at, _ = fields
    return Round(number, answer, started_at, updated_at)
