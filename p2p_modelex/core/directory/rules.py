"""The advertisement's rules that need no memory. Numbers: protocols/directory/README.md."""

from p2p_modelex import limits
from p2p_modelex.core.directory.addresses import find_fault
from p2p_modelex.core.verdict import ACCEPTED, Verdict, ignore, reject
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Digest, NetworkId, PublicKey
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records import farm, ownership
from p2p_modelex.records.advertisement import DOMAIN, Advertisement, Offer
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.units import UnixMs


def is_withdrawal(advertisement: Advertisement) -> bool:
    """Whether the peer takes itself out of the directory."""
    return not advertisement.offers and not advertisement.addresses


def expires_at(advertisement: Advertisement) -> UnixMs:
    """Return the first moment at which the advertisement no longer holds."""
    return UnixMs(advertisement.sequence + advertisement.ttl_ms)


WEIGHT_MEAN = 4096
"""Bytes of memory that a full directory has for an entry on average; a plain one takes 2 KiB."""

_ENTRY_BYTES, _OFFER_BYTES, _FARM_BYTES, _TEXT_BYTES = 1536, 1024, 768, 72


def weigh(advertisement: Advertisement) -> int:
    """Return about how many bytes of memory an entry takes: names cost more than their letters."""
    texts = sum(len(offer.features) + len(offer.kinds) for offer in advertisement.offers)
    texts += len(advertisement.addresses) + len(advertisement.accounts)
    parts = _OFFER_BYTES * len(advertisement.offers) + _FARM_BYTES * len(advertisement.farms)
    return _ENTRY_BYTES + parts + _TEXT_BYTES * texts


def judge_time(advertisement: Advertisement, now: UnixMs) -> Verdict:
    """ADV-5 and ADV-6: neither from the future nor expired."""
    if advertisement.sequence > now + limits.CLOCK_SKEW_MS:
        ahead = advertisement.sequence - now
        return ignore("ADV-5", f"the sequence is {ahead} ms in the future")
    if expires_at(advertisement) <= now:
        return ignore("ADV-6", "the advertisement has expired")
    return ACCEPTED


def _find_offer_fault(offer: Offer) -> str:
    if list(offer.features) != sorted(set(offer.features)):
        return "features are not sorted or repeat"
    if len(set(offer.kinds)) != len(offer.kinds):
        return "kinds repeat"
    if not 1 <= offer.max_tokens <= offer.context_length:
        return "max_tokens lies outside 1..context_length"
    return ""


def judge_content(advertisement: Advertisement) -> Verdict:
    """ADV-9 and ADV-10: addresses are multiaddrs, offers are consistent."""
    for address in advertisement.addresses:
        fault = find_fault(address)
        if fault:
            return reject("ADV-9", fault)
    names = [offer.model for offer in advertisement.offers]
    if len(set(names)) != len(names):
        return reject("ADV-10", "two offers of one model")
    if names and not advertisement.addresses:
        return reject("ADV-10", "offers without an address")
    for offer in advertisement.offers:
        fault = _find_offer_fault(offer)
        if fault:
            return reject("ADV-10", f"{offer.model}: {fault}")
    return ACCEPTED


def judge_proofs(advertisement: Advertisement, signer: PublicKey, domain: Digest) -> Verdict:
    """ADV-11: every ownership proof is good for as long as the advertisement holds."""
    operators = {signed.ownership.operator for signed in advertisement.accounts}
    if len(operators) != len(advertisement.accounts):
        return reject("ADV-11", "two proofs of one operator")
    until = UnixMs(expires_at(advertisement) - 1)
    for signed in advertisement.accounts:
        try:
            ownership.validate(signed, signer, domain, until)
        except RemoteProtocolError as error:
            return reject("ADV-11", error.message)
    return ACCEPTED


def judge_farms(advertisement: Advertisement, signer: PublicKey, network: NetworkId) -> Verdict:
    """ADV-17: every certificate is good for as long as the advertisement holds."""
    if len({envelope.signer for envelope in advertisement.farms}) != len(advertisement.farms):
        return reject("ADV-17", "two certificates of one farm")
    since, until = UnixMs(advertisement.sequence), UnixMs(expires_at(advertisement) - 1)
    for envelope in advertisement.farms:
        try:
            farm.validate_certificate(envelope, signer, network, since, until)
        except RemoteProtocolError as error:
            return reject("ADV-17", error.message)
    return ACCEPTED


def judge_signature(envelope: Envelope, network: NetworkId) -> Verdict:
    """ADV-12: signed by the peer, for this network."""
    try:
        envelopes.verify(envelope, DOMAIN, network)
    except RemoteProtocolError as error:
        return reject("ADV-12", error.message)
    return ACCEPTED
