"""Ratings (contracts/src/interfaces/IRatings.sol): what independent parties say of nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from p2p_modelex.chain.contracts.contract import Contract, Sent, check_page
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest, PublicKey, parse_address
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.receipt import SignedReceipt

SCORE_MAX = 10_000
"""A score is in hundredths of a per cent."""

EVALUATORS_MAX = 256
"""In one summary."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Each 0 to SCORE_MAX. response: SCORE_MAX is at once, 0 unusable."""

    accuracy: int
    response: int
    uptime: int


@dataclass(frozen=True, slots=True)
class Rating:
    """An evaluator's newest rating of a node. rated_at: unix seconds. rated_in: the block, where
    the event with the digests of evidence and receipt is.
    """

    evaluator: Address
    scores: Scores
    rated_at: int
    rated_in: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians of `count` ratings; zero if there are none."""

    count: int
    median: Scores


class Ratings(Contract):
    """Ratings of nodes. A node is a peer and its operator, as in the registry."""

    artifact = "Ratings"
    key = "ratings"

    async def rate(
        self,
        peer: PublicKey,
        operator: Address,
        scores: Scores,
        evidence: Digest,
        receipt: Digest,
    ) -> Sent:
        """Rate a registered node, in place of our earlier rating. evidence: digest of what supports
        it. receipt: digest of the receipt it is about, in the registry's domain; zeros if none.
        """
        marks = (scores.accuracy, scores.response, scores.uptime)
        return await self.tell("rate", peer, operator, marks, evidence, receipt)

    async def retract(self, peer: PublicKey, operator: Address) -> Sent:
        """Take our rating back."""
        return await self.tell("retract", peer, operator)

    async def bar(self, ownership: SignedOwnership, receipt: SignedReceipt) -> Sent:
        """Show that an account signs for a node, which bars it from rating it."""
        said, job = ownership.ownership, receipt.receipt
        return await self.tell(
            "bar",
            (said.peer, said.operator, said.delegate, said.not_after),
            ownership.signature,
            tuple(getattr(job, field) for field in job.__struct_fields__),
            receipt.signature,
        )

    async def is_barred(self, peer: PublicKey, operator: Address, evaluator: Address) -> bool:
        """Whether `evaluator` was shown to sign for the node."""
        return bool(await self.ask("isBarred", peer, operator, evaluator))

    async def summarise(
        self,
        peer: PublicKey,
        operator: Address,
        evaluators: Sequence[Address],
        since: int = 0,
    ) -> Summary:
        """The medians of the newest ratings by these evaluators, made at `since` (unix seconds) or
        later. BadInput for more than EVALUATORS_MAX.
        """
        counted = sorted(set(evaluators))  # the contract wants them ascending, each once
        if len(counted) > EVALUATORS_MAX:
            raise BadInput(f"a summary is over {EVALUATORS_MAX} evaluators at most")
        count, median = await self.ask("summary", peer, operator, counted, since)
        return Summary(count, Scores(*median))

    async def fetch_rating(
        self, peer: PublicKey, operator: Address, evaluator: Address
    ) -> Rating | None:
        """The newest rating of a node by an evaluator."""
        rating = _read(await self.ask("ratingOf", peer, operator, evaluator))
        return rating if rating.rated_at else None

    async def fetch_count(self, peer: PublicKey, operator: Address) -> int:
        """How many evaluators have a rating of the node."""
        return int(await self.ask("count", peer, operator))

    async def fetch_ratings(
        self, peer: PublicKey, operator: Address, offset: int, limit: int
    ) -> list[Rating]:
        """At most `limit` ratings, up to PAGE_ROWS_MAX, from `offset` on; everybody's, whom nobody
        vouches for.
        """
        check_page(offset, limit)
        found = await self.ask("ratings", peer, operator, offset, limit)
        return [_read(fields) for fields in found]


def _read(fields: tuple[Any, ...]) -> Rating:
    evaluator, scores, rated_at, rated_in = fields
    return Rating(parse_address(evaluator), Scores(*scores), rated_at, rated_in)
