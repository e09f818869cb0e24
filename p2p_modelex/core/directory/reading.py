"""What of an advertisement follows from its bytes alone, whoever judges it and when."""

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.directory import rules
from p2p_modelex.core.verdict import ACCEPTED, Verdict, reject
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Digest, NetworkId, PeerId, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.units import UnixMs


class Reading(msgspec.Struct, frozen=True, gc=False):
    """An envelope opened, and what follows from its bytes."""

    peer: PeerId
    opened: Envelope
    advertisement: Advertisement
    envelope: bytes
    expires_at: UnixMs
    weight: int


def read(envelope: bytes) -> Reading | Verdict:
    """Open the envelope of an advertisement; a rejection if there is none in it (ADV-1, 2, 4)."""
    if len(envelope) > limits.ADVERTISEMENT_BYTES:
        return reject("ADV-1", f"{len(envelope)} bytes")
    try:
        opened = envelopes.decode_envelope(envelope, limit=limits.ADVERTISEMENT_BYTES)
    except RemoteProtocolError as error:
        return reject("ADV-2", error.message)
    peer = opened.peer
    try:
        advertisement: Advertisement = codec.decode(
            Advertisement, opened.payload, limit=limits.ADVERTISEMENT_BYTES
        )
    except RemoteProtocolError as error:
        return msgspec.structs.replace(reject("ADV-4", error.message), peer=peer)
    expires_at, weight = rules.expires_at(advertisement), rules.weigh(advertisement)
    return Reading(peer, opened, advertisement, envelope, expires_at, weight)


def judge(reading: Reading, registry_domain: Digest, network: NetworkId) -> Verdict:
    """Judge what is said and by whom: ADV-9 to ADV-12, and ADV-17. In order of cost."""
    advertisement, signer = reading.advertisement, PublicKey(reading.opened.signer)
    verdict = rules.judge_content(advertisement)
    if verdict is ACCEPTED:
        verdict = rules.judge_proofs(advertisement, signer, registry_domain)
    if verdict is ACCEPTED:
        verdict = rules.judge_farms(advertisement, signer, network)
    return rules.judge_signature(reading.opened, network) if verdict is ACCEPTED else verdict
