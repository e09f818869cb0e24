"""The report file: one signed report as JSON, from a provider to whoever brings it to the chain.

Bytes are `0x` and hexadecimal digits; numbers are decimal text, which every reader of JSON keeps.
"""

import json
from typing import Any

from p2p_modelex.errors import BadInput, VerificationFailed
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.report import Report, SignedReport
from p2p_modelex.units import Epoch, Wei

FORMAT = "modelex report"
VERSION = 1
FILE_BYTES = 16 * 1024
"""Room for the signature of a contract with many owners."""
_FIELDS = ("subject", "score", "completion", "price", "epoch", "observed_at")


def encode_report_file(signed: SignedReport, chain_id: int, oracle: Address) -> bytes:
    """Return the file's content; `oracle` is the OracleHub whose domain the report is signed in."""
    report = {name: _show(getattr(signed.report, name)) for name in _FIELDS}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "chain_id": str(chain_id),
        "oracle": _show(oracle),
        "report": report,
        "signer": _show(signed.signer),
        "signature": _show(signed.signature),
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def decode_report_file(content: bytes, chain_id: int, oracle: Address) -> SignedReport:
    """Parse a report; BadInput, saying why, if it is not one, VerificationFailed if it is for
    another chain or hub.

    The signature is not looked at: report.validate.
    """
    if len(content) > FILE_BYTES:
        raise BadInput(f"file: larger than {FILE_BYTES} bytes")
    try:
        shown = json.loads(content)
        if not isinstance(shown, dict) or shown.get("format") != FORMAT:
            raise BadInput("file: not a Modelex report")
        if shown["version"] != VERSION:
            raise BadInput(f"file: not of version {VERSION}")
        if (_read_number(shown["chain_id"]), _read_bytes(shown["oracle"])) != (chain_id, oracle):
            raise VerificationFailed("file: a report for another network's oracle")
        report = _read_report(shown["report"])
        signer = Address(_read_bytes(shown["signer"], 20))
        return SignedReport(report, signer, _read_bytes(shown["signature"]))
    # Hostile JSON can hold anything; each of these is what one kind of it raises.
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInput(f"file: malformed: {error!r}") from error


def _read_report(shown: dict[str, Any]) -> Report:
    return Report(
        subject=Digest(_read_bytes(shown["subject"])),
        score=_read_number(shown["score"]),
        completion=Digest(_read_bytes(shown["completion"])),
        price=Wei(_read_number(shown["price"])),
        epoch=Epoch(_read_number(shown["epoch"])),
        observed_at=_read_number(shown["observed_at"]),
    )


def _show(value: bytes | int) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(int(value))


def _read_number(shown: Any) -> int:
    if not isinstance(shown, str) or len(shown) > 40 or str(int(shown)) != shown:
        raise ValueError("numbers are decimal text")
    return int(shown)


def _read_bytes(shown: Any, size: int | None = None) -> bytes:
    if not isinstance(shown, str) or not shown.startswith("0x"):
        raise ValueError("bytes are text that begins with 0x")
    found = bytes.fromhex(shown[2:])
    if size not in (None, len(found)):
        raise ValueError(f"{len(found)} bytes where there are {size}")
    return found
