"""`modelex farm create`, `admit`, `revoke`, `renew`: what the owner of a farm signs."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.common import check_home, home_option, read_home
from p2p_modelex.cli.kinds import ADDRESS, PEER
from p2p_modelex.cli.showing import Answer, Moment, print_answer
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import (
    Address,
    NetworkId,
    PublicKey,
    format_address,
    format_peer_id,
    peer_id_of,
)
from p2p_modelex.node.home import Home
from p2p_modelex.records.farm import WHOLE
from p2p_modelex.units import Millis, UnixMs

if TYPE_CHECKING:
    from p2p_modelex.core.farm.roll import Roll
    from p2p_modelex.keys.signers import Ed25519Signer
    from p2p_modelex.node.farms import OwnedFile

DAY_MS = 24 * 3600 * 1000
RECORD_DAYS = 30
"""How long a record holds: whom it revokes would come back after it, so renew it before."""
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@home_option
@click.argument("name")
@click.option(
    "--payee",
    type=ADDRESS,
    required=True,
    help="Whom orders through the farm pay: what `modelex farm deploy` printed, or any account "
    "that is no member's own.",
)
@_json
def create(home: Home, name: str, payee: Address, *, as_json: bool) -> None:
    """Found a farm: make its owner's key, in this home's keystore, and its first record.

    NAME is of small letters, digits and `-`. Others may take the same; the farm's id is its own.
    """
    from p2p_modelex.core.farm.roll import Roll
    from p2p_modelex.keys.keystore import create_farm_key
    from p2p_modelex.node.farms import list_owned

    check_home(home)
    _check_name(name)
    if any(file.roll.name == name for file in list_owned(home)):
        raise BadInput(f"a farm {name} is owned here already", hint="modelex farm list")
    signer = create_farm_key(home.keys, name, _read_passphrase(home))
    roll = Roll(name, format_peer_id(signer.peer), format_address(payee))
    _sign(home, roll, signer)
    print_answer({"farm": roll.farm, "name": name, "payee": payee}, as_json=as_json)


@click.command()
@home_option
@click.argument("name")
@click.argument("member", type=PEER)
@click.option(
    "--weight",
    type=click.IntRange(1, WHOLE),
    default=1000,
    show_default=True,
    help=f"Its part of the farm, of {WHOLE} in all.",
)
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True)
@click.option(
    "--index",
    type=click.IntRange(1, 2**16 - 1),
    help="Which lanes are its own. [default: those it has, or the next]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the certificate here. [default: NAME-SERIAL.json]",
)
@_json
def admit(
    home: Home,
    name: str,
    member: PublicKey,
    weight: int,
    days: int,
    index: int | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """As the owner of farm NAME, sign a certificate for the peer MEMBER and write it to a file.

    The member takes it over with `modelex farm join`.
    """
    from p2p_modelex.core.farm import roll as rolls
    from p2p_modelex.node.farms import encode_certificate_file
    from p2p_modelex.records import codec
    from p2p_modelex.records.envelope import seal
    from p2p_modelex.records.farm import CERTIFICATE_DOMAIN

    file, signer = _open(home, name)
    now = _now()
    until = UnixMs(now + days * DAY_MS)
    roll, made = rolls.admit(file.roll, peer_id_of(member), weight, index, now, until)
    path = out or Path(f"{name}-{made.serial}.json")
    _check_free(path)
    written = _sign(home, roll, signer)
    payload = codec.encode(rolls.build_certificate(roll, made))
    certificate = seal(CERTIFICATE_DOMAIN, _network_of(home), payload, signer)
    try:
        path.write_bytes(encode_certificate_file(certificate, written.record))
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}",
            hint=f"revoke serial {made.serial}, and admit again with another --out",
        ) from error
    answer: Answer = {
        "certificate": str(path),
        "member": made.member,
        "index": made.index,
        "weight": made.weight,
        "serial": made.serial,
        "until": Moment(made.not_after // 1000),
    }
    print_answer(answer, as_json=as_json)


def _check_free(path: Path) -> None:
    """Raise ConfigurationError unless a new file can be there, before an index is given for it."""
    if path.exists():
        raise ConfigurationError(f"{path} is there already", hint="give another --out")
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"cannot write {path}: there is no folder {path.parent}", hint="give another --out"
        )


@click.command()
@home_option
@click.argument("name")
@click.argument("who")
@_json
def revoke(home: Home, name: str, who: str, *, as_json: bool) -> None:
    """As the owner of farm NAME, take a certificate back, by its serial, or all of a peer.

    A node of this home tells the mesh within half a minute; members and requesters ask as well.
    """
    from p2p_modelex.core.farm.roll import revoke as strike

    file, signer = _open(home, name)
    roll, serials = strike(file.roll, who)
    _sign(home, roll, signer)
    print_answer({"revoked": list(serials)}, as_json=as_json)


@click.command()
@home_option
@click.argument("name")
@_json
def renew(home: Home, name: str, *, as_json: bool) -> None:
    """As the owner of farm NAME, sign its record anew: after 30 days nobody heeds it."""
    file, signer = _open(home, name)
    _sign(home, file.roll, signer)
    until = Moment(_now() // 1000 + RECORD_DAYS * DAY_MS // 1000)
    print_answer({"farm": file.roll.farm, "until": until}, as_json=as_json)


def _check_name(name: str) -> None:
    from p2p_modelex.records.farm import parse_farm

    if parse_farm(name) != name or len(name) > 32:
        raise BadInput(f"not a farm's name: {name[:80]!r}", hint="small letters, digits and `-`")


def _open(home: Home, name: str) -> "tuple[OwnedFile, Ed25519Signer]":
    """Return a farm of this home's and its key."""
    from p2p_modelex.keys.keystore import unlock_farm_key
    from p2p_modelex.node.farms import read_owned

    check_home(home)
    file = read_owned(home, name)
    return file, unlock_farm_key(home.keys, name, _read_passphrase(home))


def _sign(home: Home, roll: "Roll", signer: "Ed25519Signer") -> "OwnedFile":
    """Sign the record that a roll makes, and keep both."""
    from p2p_modelex.core.farm.roll import build_record
    from p2p_modelex.node.farms import OwnedFile, write_owned
    from p2p_modelex.records import codec
    from p2p_modelex.records.envelope import seal
    from p2p_modelex.records.farm import RECORD_DOMAIN

    roll, record = build_record(roll, _now(), Millis(RECORD_DAYS * DAY_MS))
    sealed = seal(RECORD_DOMAIN, _network_of(home), codec.encode(record), signer)
    file = OwnedFile(roll, codec.encode(sealed).hex())
    write_owned(home, file)
    return file


def _network_of(home: Home) -> NetworkId:
    from p2p_modelex.node.assembly import deployment_of

    return deployment_of(home, read_home(home)).network


def _read_passphrase(home: Home) -> str:
    from p2p_modelex.keys.passphrase import read_passphrase

    file = read_home(home).keys.passphrase_file
    return read_passphrase(home.path / file if file else None)


def _now() -> UnixMs:
    return UnixMs(time.time_ns() // 1_000_000)
