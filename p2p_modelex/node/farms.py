"""A home's farms: the rolls of those it owns, and the certificates of those it is a member of.

Files, since commands write them while the node runs: `farms/owned/NAME.json`, a Roll with the
record signed last, and `farms/joined/NAME.json`, the file that an owner handed out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import structlog
import trio

from p2p_modelex import limits
from p2p_modelex.core.farm.roll import Roll
from p2p_modelex.errors import BadInput, ConfigurationError, ModelexError, RemoteProtocolError
from p2p_modelex.ids import PublicKey, parse_peer_id, public_key_of
from p2p_modelex.limits import KIB, MIB
from p2p_modelex.node.files import replace_file
from p2p_modelex.node.home import Home
from p2p_modelex.records import codec
from p2p_modelex.records.envelope import Envelope, decode_envelope
from p2p_modelex.records.farm import Membership, open_certificate

INTERVAL_S = 5.0
"""How often a node looks at the files."""
CERTIFICATE_FILE_BYTES = 16 * KIB
_ROLL_BYTES = 8 * MIB
_OWNED_MAX = 64
S = TypeVar("S", bound=msgspec.Struct)
log = structlog.get_logger(__name__)


class CertificateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an owner hands a member. Both are encoded envelopes, in hexadecimal digits."""

    certificate: str
    record: str
    format: Literal["modelex/farm-certificate/1"] = "modelex/farm-certificate/1"

    @property
    def envelope(self) -> Envelope:
        """The certificate; BadInput if it is none."""
        try:
            return decode_envelope(bytes.fromhex(self.certificate), limit=CERTIFICATE_FILE_BYTES)
        except (ValueError, RemoteProtocolError) as error:
            raise BadInput(
                "the certificate in it is damaged", hint="ask the owner again"
            ) from error

    @property
    def membership(self) -> Membership:
        """What the certificate says, unverified; BadInput if it is none."""
        try:
            return open_certificate(self.envelope)
        except RemoteProtocolError as error:
            raise BadInput("the certificate in it is none", hint="ask the owner again") from error

    @property
    def record_bytes(self) -> bytes:
        """The record; BadInput if it is no hexadecimal text."""
        try:
            return bytes.fromhex(self.record)
        except ValueError as error:
            raise BadInput("the record in it is damaged", hint="ask the owner again") from error


class OwnedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An owner's book. record: the one signed last, in hexadecimal digits."""

    roll: Roll
    record: str
    format: Literal["modelex/farm/1"] = "modelex/farm/1"


@dataclass(frozen=True, slots=True)
class Farms:
    """What a node is to know of its home's farms."""

    certificates: tuple[Envelope, ...] = ()
    owned: tuple[PublicKey, ...] = ()
    records: tuple[bytes, ...] = ()


NO_FARMS = Farms()


def read_farms(home: Home) -> Farms:
    """Return what the home's node is a member and the owner of. ConfigurationError if a file is
    damaged.
    """
    joined = list_joined(home)
    owned = list_owned(home)
    return Farms(
        certificates=tuple(file.envelope for file in joined),
        owned=tuple(public_key_of(parse_peer_id(file.roll.farm)) for file in owned),
        records=(
            *(file.record_bytes for file in joined),
            *(bytes.fromhex(file.record) for file in owned),
        ),
    )


def list_joined(home: Home) -> list[CertificateFile]:
    """Return the certificates of a home. ConfigurationError if one is damaged."""
    paths = _list_files(home.farms / "joined", limits.FARMS_MAX)
    return [
        _read(path, CertificateFile, CERTIFICATE_FILE_BYTES, _check_certificate) for path in paths
    ]


def list_owned(home: Home) -> list[OwnedFile]:
    """Return the farms that a home owns. ConfigurationError if a file is damaged."""
    return [_read_owned(path) for path in _list_files(home.farms / "owned", _OWNED_MAX)]


def read_owned(home: Home, name: str) -> OwnedFile:
    """Return a farm that the home owns; BadInput if there is none of this name."""
    path = home.farms / "owned" / f"{name}.json"
    if not path.is_file():
        raise BadInput(f"no farm {name} is owned here", hint="modelex farm list")
    return _read_owned(path)


def _read_owned(path: Path) -> OwnedFile:
    return _read(path, OwnedFile, _ROLL_BYTES, lambda file: bytes.fromhex(file.record))


def read_certificate_file(path: Path) -> CertificateFile:
    """Return a file that an owner handed out; ConfigurationError if it is none."""
    return _read(path, CertificateFile, CERTIFICATE_FILE_BYTES, _check_certificate)


def _check_certificate(file: CertificateFile) -> object:
    return file.membership, file.record_bytes


def write_owned(home: Home, file: OwnedFile) -> None:
    """Keep an owner's book. ConfigurationError if that fails."""
    _write(home.farms / "owned" / f"{file.roll.name}.json", file)


def write_joined(home: Home, file: CertificateFile) -> None:
    """Become a member by a certificate, in place of an older one. ConfigurationError if it cannot
    be written; BadInput if another farm of its name, or as many as there can be, are joined.
    """
    membership = file.membership
    others = [held.membership for held in list_joined(home)]
    others = [held for held in others if held.farm != membership.farm]
    for held in others:
        if held.certificate.name == membership.certificate.name:
            raise BadInput("another farm of this name is joined", hint="modelex farm leave NAME")
        if held.certificate.payee == membership.certificate.payee:
            raise BadInput(
                f"farm {held.certificate.name} is paid to the same account",
                hint="one of the two: their lanes would be the same",
            )
    if len(others) >= limits.FARMS_MAX:
        raise BadInput(f"{len(others)} farms are joined", hint="modelex farm leave NAME")
    _write(home.farms / "joined" / f"{membership.certificate.name}.json", file)


def remove_joined(home: Home, name: str) -> None:
    """Cease to be a member of a farm; BadInput if the home is not."""
    path = home.farms / "joined" / f"{name}.json"
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise BadInput(f"no farm {name} is joined here", hint="modelex farm list") from error


async def follow_farms(home: Home, join: Callable[[Farms], Any], known: Farms) -> None:
    """Tell a running node what commands change; for ever. What is damaged is reported once."""
    reported = ""
    while True:
        await trio.sleep(INTERVAL_S)
        try:
            farms = await trio.to_thread.run_sync(read_farms, home)
        except ModelexError as error:
            if error.message != reported:
                reported = error.message
                log.warning("farms_unread", reason=error.message)
            continue
        if farms != known:
            known = farms
            await join(farms)
            log.info("farms", joined=len(farms.certificates), owned=len(farms.owned))


def _list_files(folder: Path, most: int) -> Sequence[Path]:
    paths = sorted(folder.glob("*.json"))
    if len(paths) > most:
        raise ConfigurationError(f"{folder} has {len(paths)} farms, at most {most}")
    return paths


def _read(path: Path, kind: type[S], most: int, check: Callable[[S], object]) -> S:
    try:
        with path.open("rb") as opened:
            content = opened.read(most + 1)
        file = msgspec.json.decode(content, type=kind)
        check(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, BadInput) as error:
        raise ConfigurationError(
            f"{path} is damaged, or no farm's file: {error}", hint="ask whose it is again"
        ) from error
    return file


def _write(path: Path, file: msgspec.Struct) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check owner and free space"
        ) from error


def encode_certificate_file(certificate: Envelope, record: str) -> bytes:
    """Return the content of the file that a member is handed."""
    file = CertificateFile(codec.encode(certificate).hex(), record)
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
