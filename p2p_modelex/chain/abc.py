"""The chain port: what the node needs from an EVM chain. Implementations: `evm/` and `memory.py`.

All amounts are wei in the stated split epoch. Everything that sends returns after the receipt.
Errors: ChainUnreachable, WrongNetwork, TransactionFailed, PaymentError (refused before sending).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, ChannelId, Digest, NetworkId, PublicKey, network_id_of
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.eip712 import compute_domain, left, word
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei


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

    def channel_id(self, payer: Address, payee: Address, salt: Digest) -> ChannelId:
        """What PaymentChannels.sol calls a channel: keccak over the words of all that names it."""
        names = word(self.chain_id) + left(self.channels) + left(payer) + left(payee) + salt
        return ChannelId(keccak(names))

    @property
    def registry_domain(self) -> Digest:
        return compute_domain(self.chain_id, self.registry)


@dataclass(frozen=True, slots=True)
class Redemption:
    """What one redeeming transaction did: wei credited for each voucher, in order (0: skipped)."""

    transaction: Digest
    gas_used: int
    credited: tuple[Wei, ...]


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """A node as the registry has it. peer: Ed25519 key. digest: of its newest anchored record."""

    peer: PublicKey
    operator: Address
    digest: Digest
    sequence: int
    uri: str
    whitelisted: bool


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
    async def fetch_epoch(self) -> Epoch:
        """The token's current split epoch."""

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
    async def fetch_channel(self, channel: ChannelId) -> ChannelState | None: ...

    @abstractmethod
    async def open_channel(
        self, payee: Address, deposit: Wei, signer: Address, salt: Digest | None = None
    ) -> ChannelState:
        """Open a channel from our account in one transaction (transferAndCall).

        salt: with payer and payee it makes the channel's id, None for a random one. If a channel
        of this id is there, from an opening whose answer was lost, it is returned as it is.
        """

    @abstractmethod
    async def top_up(self, channel: ChannelId, amount: Wei) -> ChannelState: ...

    @abstractmethod
    async def redeem(self, vouchers: Sequence[SignedVoucher]) -> Redemption:
        """Claim many vouchers and pay out in one transaction; a bad one spoils only itself."""

    @abstractmethod
    async def start_close(self, channel: ChannelId) -> ChannelState:
        """As payer: begin the challenge period."""

    @abstractmethod
    async def finish_close(self, channel: ChannelId) -> ChannelState:
        """After the challenge period: the payer gets the unclaimed rest."""

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
    def channel_events(self, since_block: int) -> AsyncGenerator[ChannelEvent, None]:
        """Events of channels that pay to or from our account, reorg-safe, at least once each."""
