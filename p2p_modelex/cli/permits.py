"""`modelex token permit` and `use-permit`: an allowance by a signature, which costs no gas."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import msgspec
from msgspec import Meta

from p2p_modelex.cli.contracts import Answer, Moment, current, read_file, sends, tell_sent
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, parse_address
from p2p_modelex.limits import KIB
from p2p_modelex.units import Epoch, Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.records.permit import Permit

FILE_BYTES = 4 * KIB

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wei: Annotated[str, Meta(pattern="^[0-9]{1,39}$")]
    epoch: Annotated[int, Meta(ge=0, le=2**16 - 1)]


class _PermitFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `modelex token permit --json` prints."""

    holder: str
    spender: str
    allowance: _Allowance
    nonce: _Count
    deadline: _Count
    signature: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{130}$")]


@click.command()
@click.argument("spender", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@click.option(
    "--valid",
    "valid_s",
    type=click.IntRange(1, 2**32),
    default=3600,
    show_default=True,
    help="Seconds of the chain's clock.",
)
@sends
async def permit(network: "Network", spender: Address, amount: Wei, valid_s: int) -> Answer:
    """Sign that SPENDER may take AMOUNT of AI; sends nothing.

    With --json it is a file for `modelex token use-permit`.
    """
    from p2p_modelex.chain.contracts.token import Token

    allowed = await current(network, amount)
    made, signature = await Token(network).sign_permit(spender, allowed, valid_s)
    return {
        "holder": made.holder,
        "spender": made.spender,
        "allowance": allowed,
        "nonce": made.nonce,
        "deadline": Moment(made.deadline),
        "signature": signature,
    }


@click.command("use-permit")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@sends
async def use_permit(network: "Network", file: Path) -> Answer:
    """Write down the allowance that a holder signed in FILE; anyone may, and pays the gas."""
    from p2p_modelex.chain.contracts.token import Token

    made, signature = _read_permit(file)
    sent = await Token(network).use_permit(made, signature)
    return tell_sent(sent, holder=made.holder, spender=made.spender)


def _read_permit(path: Path) -> "tuple[Permit, bytes]":
    from p2p_modelex.records.permit import Permit

    try:
        told = msgspec.json.decode(read_file(path, FILE_BYTES), type=_PermitFile)
        made = Permit(
            parse_address(told.holder),
            parse_address(told.spender),
            Wei(int(told.allowance.wei)),
            Epoch(told.allowance.epoch),
            told.nonce,
            told.deadline,
        )
    except (BadInput, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"{path} is not a permit: {error}", hint="`modelex token permit --json` makes one"
        ) from error
    return made, bytes.fromhex(told.signature.removeprefix("0x"))
