"""The vectors of protocols/records say what the code does, and are what their builders build."""

import json
from collections.abc import Callable
from typing import Any

import coincurve
import msgspec
import pytest
from nacl.signing import SigningKey

from p2p_modelex import ids
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, Digest, NetworkId, PublicKey
from p2p_modelex.records import codec, eip712, envelope, ownership, receipt, report, voucher
from p2p_modelex.records.channel import ChannelTerms, compute_id
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.ownership import Ownership, SignedOwnership
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.records.report import Report, SignedReport
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.records.eip712_vectors import CHAIN_ID
from tests.records.make_vectors import BUILDERS, VECTORS, render
from tests.records.strategies import wire_structs
from tests.records.wire_vectors import readable

KINDS = {kind.__name__: kind for kind in wire_structs()}
LIMIT = 1 << 16


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="ascii"))


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


EIP712 = load("eip712.json")
ENVELOPE = load("envelope.json")
OWNERSHIP = load("ownership.json")
WIRE = load("wire.json")
REGISTRY = eip712.compute_domain(CHAIN_ID, Address(raw(EIP712["domain"]["registry"])))
ORACLE = eip712.compute_domain(CHAIN_ID, Address(raw(EIP712["domain"]["oracle"])))
CHANNELS = eip712.compute_domain(CHAIN_ID, Address(raw(EIP712["domain"]["channels"])))


def cases(vectors: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", vectors, ids=lambda case: case["name"])


class Signer:
    """Signs with one of the vectors' keys."""

    def __init__(self, key: str) -> None:
        self._key = coincurve.PrivateKey(raw(key))

    @property
    def address(self) -> Address:
        return eip712.address_of(self._key.public_key)

    def sign_digest(self, digest: Digest) -> bytes:
        signed = self._key.sign_recoverable(digest, hasher=None)
        return bytes(signed[:64]) + bytes([signed[64] + 27])


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_the_file_is_what_its_builder_builds(name: str) -> None:
    text = (VECTORS / f"{name}.json").read_text(encoding="ascii")
    assert text == render(BUILDERS[name]()), "run: make vectors"


def test_the_domains_and_types() -> None:
    assert raw(EIP712["domain"]["registrySeparator"]) == REGISTRY
    assert raw(EIP712["domain"]["channelsSeparator"]) == CHANNELS
    assert raw(EIP712["domain"]["oracleSeparator"]) == ORACLE
    ours = {
        "ownership": ownership.TYPE,
        "receipt": receipt.TYPE,
        "report": report.TYPE,
        "voucher": voucher.TYPE,
    }
    assert EIP712["types"] == {name: kind.decode() for name, kind in ours.items()}


@cases(EIP712["vouchers"])
def test_voucher(case: dict[str, Any]) -> None:
    statement = Voucher(raw(case["channel"]), case["lane"], Wei(int(case["amount"])), case["epoch"])
    assert voucher.compute_digest(statement, CHANNELS) == raw(case["digest"])
    signed = SignedVoucher(statement, raw(case["signature"]))
    assert voucher.recover_signer(signed, CHANNELS) == raw(case["signer"])
    assert voucher.sign(statement, CHANNELS, Signer(case["privateKey"])) == signed


@cases(EIP712["channels"])
def test_channel(case: dict[str, Any]) -> None:
    """EIP712-4."""
    fields = ("payer", "payee", "signer", "salt")
    terms = ChannelTerms(*(raw(case[field]) for field in fields))
    assert compute_id(terms, CHANNELS) == raw(case["channel"])


@cases(EIP712["receipts"])
def test_receipt(case: dict[str, Any]) -> None:
    statement = Receipt(
        job=raw(case["job"]),
        peer=raw(case["peer"]),
        request=raw(case["request"]),
        completion=raw(case["completion"]),
        weights=raw(case["weights"]),
        engine=raw(case["engine"]),
        prompt_tokens=case["promptTokens"],
        completion_tokens=case["completionTokens"],
        price=Wei(int(case["price"])),
        epoch=case["epoch"],
        channel=raw(case["channel"]),
        lane=case["lane"],
        finished_at=int(case["finishedAt"]),
        finish=Finish(case["finish"]),
    )
    assert receipt.compute_digest(statement, REGISTRY) == raw(case["digest"])
    signed = SignedReceipt(statement, raw(case["signature"]))
    assert receipt.recover_signer(signed, REGISTRY) == raw(case["signer"])
    assert receipt.sign(statement, REGISTRY, Signer(case["privateKey"])) == signed


def _proof(case: dict[str, Any]) -> SignedOwnership:
    fields = (raw(case["peer"]), raw(case["operator"]), raw(case["delegate"]))
    return SignedOwnership(Ownership(*fields, int(case["notAfter"])), raw(case["signature"]))


@cases(EIP712["ownerships"])
def test_ownership(case: dict[str, Any]) -> None:
    signed = _proof(case)
    assert ownership.compute_digest(signed.ownership, REGISTRY) == raw(case["digest"])
    assert ownership.sign(signed.ownership, REGISTRY, Signer(case["privateKey"])) == signed


@cases(EIP712["reports"])
def test_report(case: dict[str, Any]) -> None:
    statement = Report(
        subject=Digest(raw(case["subject"])),
        score=int(case["score"]),
        completion=Digest(raw(case["completion"])),
        price=Wei(int(case["price"])),
        epoch=Epoch(case["epoch"]),
        observed_at=int(case["observedAt"]),
    )
    assert report.compute_digest(statement, ORACLE) == raw(case["digest"])
    signed = SignedReport(statement, Address(raw(case["signer"])), raw(case["signature"]))
    assert report.sign(statement, ORACLE, Signer(case["privateKey"])) == signed
    report.validate(signed, ORACLE)


@cases(EIP712["invalid"])
def test_malformed_signature(case: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        eip712.recover(Digest(raw(case["digest"])), raw(case["signature"]))
    assert caught.value.rule == "EIP712-1"


def judge(rule: str, check: Callable[[], object]) -> None:
    """`check` raises exactly `rule`, or passes where rule is empty."""
    if not rule:
        check()
        return
    with pytest.raises(RemoteProtocolError) as caught:
        check()
    assert caught.value.rule == rule


@cases(OWNERSHIP["cases"])
def test_ownership_proof(case: dict[str, Any]) -> None:
    peer, now = PublicKey(raw(case["expectedPeer"])), UnixMs(int(case["now"]))
    judge(case["rule"], lambda: ownership.validate(_proof(case), peer, REGISTRY, now))


@pytest.mark.parametrize("case", ENVELOPE["networks"], ids=lambda case: str(case["chainId"]))
def test_network_id(case: dict[str, Any]) -> None:
    network = ids.network_id_of(case["chainId"], Address(raw(case["registry"])))
    assert network == raw(case["network"])


class PeerKey:
    """Signs with the vectors' Ed25519 seed."""

    def __init__(self, seed: str) -> None:
        self._key = SigningKey(raw(seed))

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(bytes(self._key.verify_key))

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature


@cases(ENVELOPE["valid"])
def test_envelope(case: dict[str, Any]) -> None:
    network, payload = NetworkId(raw(case["network"])), raw(case["payload"])
    covered = envelope.signing_input(case["domain"], network, payload)
    assert covered == raw(case["signingInput"])
    sealed = envelope.seal(case["domain"], network, payload, PeerKey(case["seed"]))
    assert sealed == Envelope(raw(case["signer"]), payload, raw(case["signature"]))
    assert sealed.peer == raw(case["peerId"])
    assert envelope.decode_envelope(raw(case["encoded"]), limit=LIMIT) == sealed
    envelope.verify(sealed, case["domain"], network)


@cases(ENVELOPE["invalid"])
def test_forged_envelope(case: dict[str, Any]) -> None:
    forged = Envelope(raw(case["signer"]), raw(case["payload"]), raw(case["signature"]))
    network = NetworkId(raw(case["network"]))
    judge(case["rule"], lambda: envelope.verify(forged, case["domain"], network))


@cases(WIRE["valid"])
def test_encoding(case: dict[str, Any]) -> None:
    value = codec.decode(KINDS[case["kind"]], raw(case["encoded"]), limit=LIMIT)
    assert readable(value) == case["value"]
    assert codec.encode(value) == raw(case["encoded"])


@cases(WIRE["invalid"])
def test_broken_encoding(case: dict[str, Any]) -> None:
    kind: type[msgspec.Struct] = KINDS[case["kind"]]
    judge(case["rule"], lambda: codec.decode(kind, raw(case["encoded"]), limit=LIMIT))
