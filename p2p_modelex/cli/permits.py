"""`modelex token permit`, `use-permit`, `sign-deposit` and `bring-deposit`: allowances and deposits
by a signature, which costs no gas.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import msgspec
from msgspec import Meta

from p2p_modelex.cli.contracts import current, read_file, sends
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT
from p2p_modelex.cli.showing import Answer, Moment, tell_sent
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest, parse_address
from p2p_modelex.limits import KIB
from p2p_modelex.units import SPLITS_MAX, Epoch, Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.records.deposit import Authorization
    from p2p_modelex.records.permit import Permit

FILE_BYTES = 4 * KIB

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


_Hex32 = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{64}$")]
_Signature = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{130}$")]


class _Amount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wei: Annotated[str, Meta(pattern="^[0-9]{1,39}$")]
    epoch: Annotated[int, Meta(ge=0, le=SPLITS_MAX)]


class _PermitFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `modelex token permit --json` prints."""

    holder: str
    spender: str
    allowance: _Amount
    nonce: _Count
    deadline: _Count
    signature: _Signature


class _DepositFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `modelex token sign-deposit --json` prints. salt: the channel's. nonce_salt: the
    authorisation's.
    """

    channel: _Hex32
    payer: str
    payee: str
    signer: str
    salt: _Hex32
    deposit: _Amount
    nonce_salt: _Hex32
    valid_before: _Count
    signature: _Signature


_valid = click.option(
    "--valid",
    "valid_s",
    type=click.IntRange(1, 2**32),
    default=3600,
    show_default=True,
    help="Seconds of the chain's clock.",
)


@click.command()
@click.argument("spender", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@_valid
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


@click.command("sign-deposit")
@click.argument("payee", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@click.option("--signer", type=ADDRESS, help="Whose vouchers count. [default: the account]")
@_valid
@sends
async def sign_deposit(
    network: "Network", payee: Address, amount: Wei, signer: Address | None, valid_s: int
) -> Answer:
    """Sign that AMOUNT of AI opens a channel to PAYEE; sends nothing and takes no gas.

    With --json it is a file for `modelex token bring-deposit`.
    """
    from p2p_modelex.chain.contracts.channels import Channels
    from p2p_modelex.records.channel import PAYER_SIGNS, ChannelTerms, build_salt
    from p2p_modelex.records.deposit import encode_opening

    salt = build_salt(secrets.token_bytes(32))
    terms = ChannelTerms(network.account, payee, signer or PAYER_SIGNS, salt)
    deposit = await current(network, amount)
    made, signature = await Channels(network).sign_deposit(encode_opening(terms), deposit, valid_s)
    return {
        "channel": network.deployment.channel_id(terms),
        "payer": made.payer,
        "payee": payee,
        "signer": signer or PAYER_SIGNS,
        "salt": salt,
        "deposit": deposit,
        "nonce_salt": made.salt,
        "valid_before": Moment(made.valid_before),
        "signature": signature,
    }


@click.command("bring-deposit")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@sends
async def bring_deposit(network: "Network", file: Path) -> Answer:
    """Open the channel that a payer signed in FILE; anyone may, and pays the gas."""
    from p2p_modelex.chain.contracts.channels import Channels

    channels = Channels(network)
    made, signature = _read_deposit(file, channels.address)
    said = (sent := await channels.bring_deposit(made, signature)).event("Opened")
    deposit = await current(network, Wei(said["deposit"]))
    return tell_sent(sent, channel=said["channel"], payer=made.payer, deposit=deposit)


def _read_deposit(path: Path, channels: Address) -> "tuple[Authorization, bytes]":
    from p2p_modelex.records.channel import ChannelTerms
    from p2p_modelex.records.deposit import Authorization, encode_opening

    with _naming(path, "deposit", "sign-deposit"):
        told = msgspec.json.decode(read_file(path, FILE_BYTES), type=_DepositFile)
        payer, payee, signer = map(parse_address, (told.payer, told.payee, told.signer))
        made = Authorization(
            payer=payer,
            channels=channels,
            wei=Wei(int(told.deposit.wei)),
            epoch=Epoch(told.deposit.epoch),
            form=encode_opening(ChannelTerms(payer, payee, signer, _unhex(told.salt))),
            salt=Digest(_unhex(told.nonce_salt)),
            valid_before=told.valid_before,
        )
    return made, _unhex(told.signature)


@contextmanager
def _naming(path: Path, what: str, command: str) -> Iterator[None]:
    """Let whatever is wrong with a file's content name the file, and what makes one."""
    try:
        yield
    except (BadInput, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"{path} is not a {what}: {error}", hint=f"`modelex token {command} --json` makes one"
        ) from error


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _read_permit(path: Path) -> "tuple[Permit, bytes]":
    from p2p_modelex.records.permit import Permit

    with _naming(path, "permit", "permit"):
        told = msgspec.json.decode(read_file(path, FILE_BYTES), type=_PermitFile)
        made = Permit(
            parse_address(told.holder),
            parse_address(told.spender),
            Wei(int(told.allowance.wei)),
            Epoch(told.allowance.epoch),
            told.nonce,
            told.deadline,
        )
    return made, _unhex(told.signature)
