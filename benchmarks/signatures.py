"""Judging advertisements and verifying vouchers, against the bare signature operations."""

import coincurve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_hash.backends.pysha3 import keccak256
from nacl.bindings import crypto_sign_open

from benchmarks.measuring import Result, begin, measure, report
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.records import envelope, ownership, voucher
from p2p_modelex.records.advertisement import DOMAIN as ADVERTISEMENT
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState
from p2p_modelex.records.eip712 import compute_domain
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import AI, Epoch, Wei
from tests.core.directory.worlds import (
    NETWORK,
    NOW,
    REGISTRY,
    Key,
    advertisement,
    directory,
    offer,
    sealed,
)

ADVERTISEMENTS = 1000
VOUCHERS = 1000
PAYEE = Address(b"\x07" * 20)
CHANNEL = ChannelId(b"\x05" * 32)
DOMAIN = compute_domain(31337, Address(b"\x02" * 20))
JOB = JobId(bytes(16))


def main() -> None:
    """Report advertisements judged and vouchers verified each second of CPU."""
    begin()
    _report_advertisements()
    _report_owned_advertisements()
    _report_vouchers()


def _report_advertisements() -> None:
    content = advertisement(offers=(offer("smollm2-135m-instruct", features=("grammar",)),))
    sealed_ones = [sealed(Key(1000 + number), content) for number in range(ADVERTISEMENTS)]
    opened = [envelope.decode_envelope(one, limit=4096) for one in sealed_ones]
    messages = [
        (one.signer, envelope.signing_input(ADVERTISEMENT, NETWORK, one.payload), one.signature)
        for one in opened
    ]
    signed = [(signature + message, signer) for signer, message, signature in messages]

    def judge() -> None:
        known = directory(entries_max=2 * ADVERTISEMENTS)
        for one in sealed_ones:
            assert known.judge(one, NOW).accepted

    def verify_by_nacl() -> None:
        for message, signer in signed:
            crypto_sign_open(message, signer)

    def verify_by_cryptography() -> None:
        for signer, message, signature in messages:
            Ed25519PublicKey.from_public_bytes(signer).verify(signature, message)

    judged = ADVERTISEMENTS / measure(judge).cpu_s
    raw = {
        "PyNaCl": ADVERTISEMENTS / measure(verify_by_nacl).cpu_s,
        "cryptography": ADVERTISEMENTS / measure(verify_by_cryptography).cpu_s,
    }
    fastest = max(raw, key=lambda name: raw[name])
    ratio = judged / raw[fastest]
    report(
        Result(
            "advertisements judged and kept",
            judged,
            "1/s CPU",
            f"raw Ed25519 verify, {fastest}",
            raw[fastest],
            ratio,
            ">= 50%",
            ratio >= 0.5,
            note=f"{len(sealed_ones[0])} bytes each",
        )
    )


def _report_owned_advertisements() -> None:
    """As providers send them: an account vouches for the peer, which is a second signature."""
    account = EvmSigner(b"\x08" * 32)
    keys = [Key(1000 + number) for number in range(ADVERTISEMENTS)]
    statements = [
        Ownership(key.public_key, account.address, account.address, NOW + 10**9) for key in keys
    ]
    proofs = [ownership.sign(one, REGISTRY, account) for one in statements]
    sealed_ones = [
        sealed(key, advertisement(offers=(offer(),), accounts=(proof,)))
        for key, proof in zip(keys, proofs, strict=True)
    ]
    opened = [envelope.decode_envelope(one, limit=len(one)) for one in sealed_ones]
    signed = [
        (one.signature + envelope.signing_input(ADVERTISEMENT, NETWORK, one.payload), one.signer)
        for one in opened
    ]
    recoverable = [one.signature[:64] + bytes([one.signature[64] - 27]) for one in proofs]

    def judge() -> None:
        known = directory(entries_max=2 * ADVERTISEMENTS)
        for one in sealed_ones:
            assert known.judge(one, NOW).accepted

    def verify() -> None:
        for (message, signer), proof in zip(signed, recoverable, strict=True):
            crypto_sign_open(message, signer)
            coincurve.PublicKey.from_signature_and_message(proof, bytes(32), hasher=None)

    judged, raw = ADVERTISEMENTS / measure(judge).cpu_s, ADVERTISEMENTS / measure(verify).cpu_s
    report(
        Result(
            "advertisements with an ownership proof judged",
            judged,
            "1/s CPU",
            "raw Ed25519 verify and secp256k1 recover",
            raw,
            judged / raw,
            note=f"{len(sealed_ones[0])} bytes each",
        )
    )


def _report_vouchers() -> None:
    payer = EvmSigner(b"\x09" * 32)
    signed = [_sign(payer, number + 1) for number in range(VOUCHERS)]

    def verify_raw() -> None:
        for one in signed:
            _verify_raw(one)

    def recover() -> None:
        for one in signed:
            assert voucher.recover_signer(one, DOMAIN) == payer.address

    def receive() -> None:
        ledger = _open_ledger(payer, signed[0])
        for one in signed[1:]:
            assert ledger.receive(JOB, one)

    raw = VOUCHERS / measure(verify_raw).cpu_s
    against = "raw digest + coincurve recover"
    for work, function in (
        ("vouchers verified", recover),
        ("vouchers taken by the ledger, all rules", receive),
    ):
        rate = VOUCHERS / measure(function).cpu_s
        ratio = rate / raw
        report(Result(work, rate, "1/s CPU", against, raw, ratio, ">= 80%", ratio >= 0.8))


def _sign(payer: EvmSigner, amount: int) -> SignedVoucher:
    return voucher.sign(Voucher(CHANNEL, 0, Wei(amount), 0), DOMAIN, payer)


_TYPE_HASH = keccak256(voucher.TYPE)


def _verify_raw(signed: SignedVoucher) -> bytes:
    """The least that any verifier must do: the digest, the key, its address."""
    promise = signed.voucher
    body = b"".join(
        (
            _TYPE_HASH,
            promise.channel,
            promise.lane.to_bytes(32, "big"),
            promise.amount.to_bytes(32, "big"),
            promise.epoch.to_bytes(32, "big"),
        )
    )
    digest = Digest(keccak256(b"\x19\x01" + DOMAIN + keccak256(body)))
    recoverable = signed.signature[:64] + bytes([signed.signature[64] - 27])
    key = coincurve.PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    return keccak256(key.format(compressed=False)[1:])[12:]


def _open_ledger(payer: EvmSigner, first: SignedVoucher) -> PayeeLedger:
    ledger = PayeeLedger(PAYEE, DOMAIN, SettlementPolicy())
    address, deposit = payer.address, Wei(AI)
    salt = bytes(32)
    state = ChannelState(CHANNEL, address, PAYEE, PAYER_SIGNS, salt, deposit, Wei(0), 0, 0)
    ledger.note_channel(state)
    ledger.open_lane(JOB, first, Epoch(0), base=Wei(0), window=Wei(1), ceiling=Wei(AI))
    return ledger


if __name__ == "__main__":
    main()
