"""A payment channel as the chain has it."""

import msgspec

from p2p_modelex.records.types import U16, U64, Bytes20, Bytes32
from p2p_modelex.units import Wei


class ChannelState(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A channel at a confirmed block.

    payer, payee: EVM accounts. signer: who signs vouchers, the payer or its delegate. deposit,
    claimed: wei in split epoch `epoch`, claimed over all lanes. closes_at: unix seconds when the
    payer may take the rest, 0 while open.
    """

    channel: Bytes32
    payer: Bytes20
    payee: Bytes20
    signer: Bytes20
    deposit: Wei
    claimed: Wei
    epoch: U16
    closes_at: U64

    @property
    def is_open(self) -> bool:
        """Whether nobody has begun to close it."""
        return self.closes_at == 0
