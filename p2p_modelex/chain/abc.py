"""The chain port: what the node needs from an EVM chain. Implementations: `evm/` and `memory.py`.

All amounts are wei in the stated split epoch. Everything that sends returns after the receipt, and
what deposits when its payee sees it as well.
Errors: ChainUnreachable, WrongNetwork, TransactionFailed, PaymentError (refused before sending),
TransactionPending (sent, and nobody knows yet).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from p2p_modelex.ids import Address, ChannelId, Digest, NetworkId, PublicKey, network_id_of
from p2p_modelex.records.authorization import AuthorizedTransfer
from p2p_modelex.records.channel import ChannelState, ChannelTerms, Claim, compute_id
from p2p_modelex.records.eip712 import compute_domain
from p2p_modelex.records.registry import RegistryEntry, RegistryEvent
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import Epoch, Wei

REGISTRY_PAGE_MAX = 100
"""Registry entries in one answer: 3 million gas of reading, where endpoints allow 50 million."""

URI_BYTES = 256
"""NodeRegistry's bound."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a network's contracts are; bootstrap/<network>/network.toml holds one.

    Nodes need the first three; a network may lack the others.
    """

    name: str
    chain_id: int
    token: Address
    registry: Address
    channels: Address
    vesting: Address | None = None
    ratings: Address | None = None
    prompts: Address | None = None
    oracle: Address | None = None
    blocks: Address | None = None
    releases: Address | None = None
    wrapped: Address | None = None

    @property
    def network(self) -> NetworkId:
        return network_id_of(self.chain_id, self.registry)

    @property
    def channels_domain(self) -> Digest:
        return compute_domain(self.chain_id, self.channels)

    def channel_id(self, terms: ChannelTerms) -> ChannelId:
        """What PaymentChannels.sol calls the channel with these terms."""
        return compute_id(terms, self.channels_domain)

    @property
    def registry_domain(self) -> Digest:
        return compute_domain(self.chain_id, self.registry)


@dataclass(slots=True)
class Outbox:
    """What was signed for one deposit: all of one nonce, so that one at most is mined. persist:
    makes it durable. Where it is given again, after a lost answer or a crash, what is in it is
    waited for, and sent again if it must be: the deposit is made once. is_closed: how it ended is
    known; a higher offer that was on its way is not kept over what has come since.
    """

    signed: tuple[bytes, ...]
    persist: Callable[[tuple[bytes, ...]], Awaitable[None]]
    is_closed: bool = False

    async def put(self, *signed: bytes) -> None:
        """Replace what is in it; nothing of it may be sent before this returns."""
        if not self.is_closed:
            await self.persist(signed)
        self.signed = signed


@dataclass(frozen=True, slots=True)
class Redemption:
    """What one redeeming transaction did: wei credited for each voucher, in order (0: skipped)."""

    transaction: Digest
    gas_used: int
    credited: tuple[Wei, ...]


@dataclass(frozen=True, slots=True)
class RegistryPage:
    """Some of the registry's entries as of one block. total: how many there were in all."""

    block: int
    total: int
    entries: tuple[RegistryEntry, ...]


@dataclass(frozen=True, slots=True)
class ChannelEvent:
    """Something that happened to a channel, at a confirmed block; `undone` after a reorg."""

    kind: Literal["opened", "topped_up", "claimed", "close_started", "closed"]
    channel: ChannelId
    block: int
    undone: bool


class Chain(ABC):
    """One account's view of one network. Use as `async with chain:`."""

    @abstractmethod
    async def __aenter__(self) -> "Chain": ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @property
    @abstractmethod
    def deployment(self) -> Deployment: ...

    @property
    @abstractmethod
    def account(self) -> Address:
        """The account this port sends from."""

    @abstractmethod
    async def check(self) -> None:
        """Raise WrongNetwork unless the chain id matches and our contracts' code is there."""

    @abstractmethod
    async def fetch_genesis(self) -> Digest:
        """The hash of block 0. It tells a chain from another with its id and our addresses, as a
        devnet started afresh has them.
        """

    @abstractmethod
    async def fetch_split(self) -> SplitState:
        """The token's split epoch, and the split that is announced, at the head: block numbers
        decide over a split, so none of it waits for confirmations.
        """

    async def fetch_epoch(self) -> Epoch:
        """The token's current split epoch."""
        return (await self.fetch_split()).epoch

    @abstractmethod
    async def fetch_balance(self, account: Address) -> Wei:
        """An account's $AI."""

    @abstractmethod
    async def fetch_gas_balance(self, account: Address) -> int:
        """An account's native coin, wei."""

    @abstractmethod
    async def transfer(self, to: Address, amount: Wei) -> Digest:
        """Send $AI; returns the transaction's hash."""

    @abstractmethod
    async def fetch_authorization_used(self, payer: Address, nonce: Digest) -> bool:
        """Whether an authorisation of `payer`'s with this nonce was used or cancelled, at the head:
        for one that is to be used next it is late enough.
        """

    @abstractmethod
    async def transfer_authorized(self, transfer: AuthorizedTransfer, signature: bytes) -> Digest:
        """Bring what a holder signed to move $AI, at our gas; returns the transaction's hash.

        Reverted, by the token's names: AuthorizationUsedAlready, AuthorizationNotValidNow,
        NotSignedBy, ERC20InsufficientBalance, TransfersPaused.
        """

    @abstractmethod
    async def fetch_channel(self, terms: ChannelTerms) -> ChannelState | None:
        """The channel with these terms, None if there is none. The chain keeps no terms."""

    @abstractmethod
    async def find_terms(self, channel: ChannelId) -> ChannelTerms | None:
        """The terms of a channel by its id, out of the chain's log; None if it has no such opening.

        For what a home has lost: it reads ranges of blocks, which takes minutes on a long chain.
        """

    @abstractmethod
    async def open_channel(
        self,
        payee: Address,
        deposit: Wei,
        signer: Address,
        salt: Digest | None = None,
        outbox: Outbox | None = None,
    ) -> ChannelState:
        """Open a channel from our account in one transaction (transferAndCall).

        signer: whose vouchers count, PAYER_SIGNS for our account. salt: makes the channel's id
        with the other terms, None for a random one. If a channel of this id is there, from an
        opening whose answer was lost, it is returned as it is.

        outbox: of this deposit. Once something is in it, only TransactionFailed says that the
        deposit is not made, and never will be.
        """

    @abstractmethod
    async def top_up(
        self, terms: ChannelTerms, amount: Wei, outbox: Outbox | None = None
    ) -> ChannelState:
        """Add to a channel. outbox: as in `open_channel`."""

    @abstractmethod
    async def redeem(self, claims: Sequence[Claim]) -> Redemption:
        """Claim many vouchers to one payee in one transaction; a bad one spoils only itself.

        It pays out too, unless a split pauses the token; what a pause left unpaid is paid out with
        the next call, or by `pay_out`. PaymentError for none, too many, or more than one payee.
        """

    @abstractmethod
    async def pay_out(self, payee: Address) -> Wei:
        """Pay a payee what a split's pause left unpaid; returns that, 0 where nothing was sent."""

    @abstractmethod
    async def start_close(self, terms: ChannelTerms) -> ChannelState:
        """As payer: begin the challenge period."""

    @abstractmethod
    async def finish_close(self, terms: ChannelTerms) -> ChannelState:
        """After the challenge period: the payer gets the unclaimed rest."""

    @abstractmethod
    async def close_as_payee(self, terms: ChannelTerms) -> ChannelState:
        """As payee: close at once, and the payer gets the unclaimed rest. Redeem before: a voucher
        brings nothing afterwards.
        """

    @abstractmethod
    async def fetch_ratings(
        self, nodes: Sequence[tuple[PublicKey, Address]], evaluators: Sequence[Address]
    ) -> tuple[int | None, ...]:
        """What these evaluators say of each node, a peer and its operator: the mean of the medians
        of their newest ratings' scores, in hundredths of a per cent; None where there is none, as
        on a network without ratings.
        """

    @abstractmethod
    async def register(self, peer: PublicKey, digest: Digest, sequence: int, uri: str) -> Digest:
        """Register the peer under our account, or anchor a newer digest; the transaction's hash.

        Another `uri` than the entry has is a second transaction.
        """

    @abstractmethod
    async def fetch_registration(
        self, peer: PublicKey, operator: Address | None = None
    ) -> RegistryEntry | None:
        """The entry that `operator` (None: our account) made for the peer; anyone may make one."""

    @abstractmethod
    async def fetch_registry(
        self, offset: int, limit: int, block: int | None = None
    ) -> RegistryPage:
        """At most `limit` entries (1 to REGISTRY_PAGE_MAX) from `offset` on: the whitelisted first,
        then the suspended, then the public. block: of an earlier page, so that both are of one
        state; None for the newest confirmed one.
        """

    @abstractmethod
    def registry_events(self, since_block: int) -> AsyncGenerator[RegistryEvent, None]:
        """What happens to the registry's entries, reorg-safe, at least once each."""

    @abstractmethod
    def channel_events(
        self, since_block: int, known: Iterable[ChannelId] = ()
    ) -> AsyncGenerator[ChannelEvent, None]:
        """Events of channels that pay to or from our account, reorg-safe, at least once each.

        known: those among them that were opened before `since_block`.
        """
