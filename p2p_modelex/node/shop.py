"""What a node sells: offers and prices from its configuration and its loaded engines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.core.exchange.terms import Seller, Ware
from p2p_modelex.core.parts import Shop
from p2p_modelex.engine.abc import Engine, EngineInfo
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.records import ownership
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.envelope import digest
from p2p_modelex.records.ownership import Ownership, SignedOwnership
from p2p_modelex.units import Epoch, Millis, UnixMs

OWNERSHIP_VALID_MS = Millis(90 * 24 * 3600 * 1000)
"""How long a node's account vouches for its peer id; renewed at each start."""


def build_ownership(keys: KeyRing, deployment: Deployment, now: UnixMs) -> SignedOwnership:
    """Let the node's account vouch for its peer and sign its receipts."""
    address = keys.account.address
    statement = Ownership(keys.peer.public_key, address, address, now + OWNERSHIP_VALID_MS)
    return ownership.sign(statement, deployment.registry_domain, keys.account)


def build_offer(settings: ModelSettings, info: EngineInfo, epoch: Epoch) -> Offer:
    """Return the offer of one model at its configured terms."""
    return Offer(
        model=settings.model,
        weights=info.weights,
        kinds=info.kinds,
        context_length=info.context_length,
        max_tokens=min(settings.max_tokens, info.context_length),
        features=tuple(sorted(info.features)),
        prompt_price=settings.prompt_price,
        completion_price=settings.completion_price,
        epoch=epoch,
        credit_tokens=settings.credit_tokens,
        deferred_discount=0,
    )


def build_shop(
    keys: KeyRing,
    deployment: Deployment,
    models: Sequence[ModelSettings],
    engines: Mapping[str, Engine],
    epoch: Epoch,
    now: UnixMs,
) -> Shop:
    """Return what the node sells; `engines` maps each model's name to its running engine.

    epoch: the split epoch of the models' prices.
    """
    wares = tuple(
        Ware(
            build_offer(settings, engines[settings.model].info, epoch),
            digest(engines[settings.model].info.fingerprint.encode()),
        )
        for settings in models
    )
    seller = Seller(
        peer_signer=keys.peer,
        receipt_signer=keys.account,
        ownership=build_ownership(keys, deployment, now),
        network=deployment.network,
        registry_domain=deployment.registry_domain,
        wares=wares,
    )
    slots_of = {model: engine.info.slots for model, engine in engines.items()}
    slots = sum(slots_of.values())
    return Shop(seller, tuple(ware.offer for ware in wares), slots, slots_of)


def restock(first: Shop, last: Shop, engines: Mapping[str, Engine]) -> Shop:
    """Return what a node sells now. first: what it sold at its start; last: until now.

    The weights are those that the engines have loaded meanwhile, and only what is ready is
    advertised. What was loaded before is still sold to those who name it: its engine serves it
    for a while after a swap, and refuses it then.
    """
    infos = {model: engine.info for model, engine in engines.items()}
    wares = tuple(
        Ware(_renew(ware.offer, infos), digest(infos[ware.offer.model].fingerprint.encode()))
        for ware in first.seller.wares
    )
    older = tuple(ware for ware in last.seller.wares if ware not in wares)[: len(wares)]
    advertised = tuple(
        _renew(offer, infos) for offer in first.advertised if engines[offer.model].is_ready
    )
    return replace(last, seller=replace(last.seller, wares=wares + older), advertised=advertised)


def _renew(offer: Offer, infos: Mapping[str, EngineInfo]) -> Offer:
    info = infos[offer.model]
    return msgspec.structs.replace(
        offer,
        weights=info.weights,
        kinds=info.kinds,
        context_length=info.context_length,
        max_tokens=min(offer.max_tokens, info.context_length),
        features=tuple(sorted(info.features)),
    )
