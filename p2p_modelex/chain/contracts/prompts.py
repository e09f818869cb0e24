"""PromptLibrary (interfaces/IPromptLibrary.sol): prompt templates and the fee for each use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode

from p2p_modelex.chain.contracts.contract import Answers, Sent, check_page
from p2p_modelex.chain.contracts.credits import Credits
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address, Digest, parse_address

NOTHING = Digest(bytes(32))
"""Stands for no template, no schema, no reference."""


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """What a creator says of a template. content, schema: SHA-256 of its file, and of the file of
    its parameters' schema. supersedes: an earlier one of the same creator. fee: for one use.
    """

    content: Digest
    fee: Amount
    max_completion_tokens: int
    uri: str = ""
    schema: Digest = NOTHING
    supersedes: Digest = NOTHING


@dataclass(frozen=True, slots=True)
class Template:
    """A published template. fee: of one use now. published_at: unix seconds. uses: paid so far."""

    id: Digest
    creator: Address
    version: int
    deprecated: bool
    fee: Amount
    max_completion_tokens: int
    published_at: int
    uses: int
    content: Digest
    schema: Digest
    supersedes: Digest
    superseded_by: Digest
    uri: str


class PromptLibrary(Credits):
    """Templates by the digest of their content, and what each use pays to who made them."""

    artifact = "PromptLibrary"
    key = "prompts"

    async def fetch_template(self, template: Digest) -> Template:
        """A template; Reverted NoSuchTemplate if there is none."""
        [found] = await self._fetch([template])
        return found

    async def fetch_page(self, offset: int, limit: int) -> tuple[Template, ...]:
        """At most `limit` templates, up to PAGE_ROWS_MAX, from `offset` on, oldest first."""
        check_page(offset, limit)
        return await self._fetch(await self.ask("templates", offset, limit))

    async def fetch_count(self) -> int:
        """How many templates there are."""
        return int(await self.ask("count"))

    async def fetch_fee(self, template: Digest) -> Amount:
        """What one use costs now."""
        return await self.ask_amount("feeOf", template)

    async def publish(self, draft: TemplateDraft) -> Sent:
        """Publish as our account's; the event Published has the template's id."""
        fields = (
            draft.content,
            draft.schema,
            draft.supersedes,
            await self.write_amount(draft.fee),
            draft.max_completion_tokens,
            draft.uri,
        )
        return await self.tell("publish", fields)

    async def set_fee(self, template: Digest, fee: Amount) -> Sent:
        """As the creator, change what one use costs."""
        return await self.tell("setFee", template, await self.write_amount(fee))

    async def deprecate(self, template: Digest) -> Sent:
        """As the creator, advise against it; it can still be used."""
        return await self.tell("deprecate", template)

    async def use(self, template: Digest, fee: Amount, reference: Digest = NOTHING) -> Sent:
        """Pay for one use, exactly `fee`; Reverted WrongPayment if it costs another. reference:
        the payer's own, such as a job's.
        """
        return await self.pay(fee, encode(["bytes32", "bytes32"], [template, reference]))

    async def _fetch(self, ids: Sequence[bytes]) -> tuple[Template, ...]:
        answers = await self.ask_all(*(("templateOf", each) for each in ids))
        pairs = zip(ids, answers.values, strict=True)
        return tuple(_read(Digest(each), fields, answers) for each, fields in pairs)


def _read(template: Digest, fields: tuple[Any, ...], answers: Answers) -> Template:
    creator, tokens, version, epoch, deprecated, fee, published_at, uses, *rest = fields
    content, schema, supersedes, superseded_by, uri = rest
    return Template(
        id=template,
        creator=parse_address(creator),
        version=version,
        deprecated=deprecated,
        fee=answers.rescale(fee, epoch),
        max_completion_tokens=tokens,
        published_at=published_at,
        uses=uses,
        content=content,
        schema=schema,
        supersedes=supersedes,
        superseded_by=superseded_by,
        uri=uri,
    )
