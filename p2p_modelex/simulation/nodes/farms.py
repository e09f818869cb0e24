"""Farms: what each one's owner signs for its members before the world begins.

The owner's rules are core/farm/roll.py's; it runs no node, and nobody else has its key.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p_modelex.core.farm import roll as rolls
from p2p_modelex.core.farm.roll import Roll
from p2p_modelex.ids import (
    Address,
    PeerId,
    PublicKey,
    format_address,
    format_peer_id,
    peer_id_of,
)
from p2p_modelex.limits import FARM_TTL_MAX_MS
from p2p_modelex.records import codec
from p2p_modelex.records.envelope import Envelope, PeerSigner, seal
from p2p_modelex.records.farm import CERTIFICATE_DOMAIN, RECORD_DOMAIN, WHOLE
from p2p_modelex.simulation.actors.behaviours.farming import Past
from p2p_modelex.simulation.models.chain import DEPLOYMENT
from p2p_modelex.simulation.models.cryptography import Notary
from p2p_modelex.simulation.nodes.life import START_MS
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.scenario.tables import NODES_MAX
from p2p_modelex.units import Millis, UnixMs

OUTCAST = "outcast"
"""The behaviour of those whom a farm's owner has put out."""
_AGO_MS = Millis(3_600_000)
_HOLDS_MS = Millis(90 * 86_400 * 1000)
"""Longer than any run takes, as an advertisement shows only what outlasts it."""


@dataclass(frozen=True, slots=True)
class Farm:
    """One farm. key: its owner's. record: the owner's newest, encoded. past: of those whom it has
    put out.
    """

    key: PublicKey
    payee: Address
    certificates: dict[PeerId, Envelope]
    record: bytes
    past: dict[PeerId, Past]


def found_farms(machines: Iterable[Machine], notary: Notary) -> dict[str, Farm]:
    """Found every farm that a population names, by its name."""
    members: dict[str, list[Machine]] = {}
    for machine in machines:
        if machine.population.farm:
            members.setdefault(machine.population.farm, []).append(machine)
    # Behind the numbers of all nodes, as keys are derived from numbers.
    return {
        name: _found(name, NODES_MAX + at, found, notary)
        for at, (name, found) in enumerate(members.items())
    }


def _found(name: str, number: int, members: list[Machine], notary: Notary) -> Farm:
    owner, payee = notary.open_peer(number), notary.open_account(number).address
    farm = format_peer_id(peer_id_of(owner.public_key))
    outcasts = [one.peer for one in members if one.population.behaviour == OUTCAST]
    roll, past = _put_out(Roll(name, farm, format_address(payee)), outcasts, owner)
    slots = {
        one.peer: sum(each.slots for each in one.population.engines)
        for one in members
        if one.peer not in past
    }
    certificates = {}
    now, total = UnixMs(START_MS), sum(slots.values())
    for peer, count in slots.items():
        weight = max(1, WHOLE * count // total)
        roll, made = rolls.admit(roll, peer, weight, None, now, UnixMs(now + _HOLDS_MS))
        certificates[peer] = _sign(CERTIFICATE_DOMAIN, rolls.build_certificate(roll, made), owner)
    roll, record = rolls.build_record(roll, now, Millis(FARM_TTL_MAX_MS))
    told = codec.encode(_sign(RECORD_DOMAIN, record, owner))
    return Farm(owner.public_key, payee, certificates, told, past)


def _put_out(
    roll: Roll, outcasts: Sequence[PeerId], owner: PeerSigner
) -> tuple[Roll, dict[PeerId, Past]]:
    """Admit some before the world begins, for a while and then for long, and revoke it."""
    if not outcasts:
        return roll, {}
    since, weight = UnixMs(START_MS - _AGO_MS), WHOLE // len(outcasts)
    roll, record = rolls.build_record(roll, since, Millis(FARM_TTL_MAX_MS))
    told, past = codec.encode(_sign(RECORD_DOMAIN, record, owner)), {}
    for peer in outcasts:
        signed = []
        for until in (UnixMs(START_MS - 1), UnixMs(START_MS + _HOLDS_MS)):
            roll, made = rolls.admit(roll, peer, weight, None, since, until)
            certificate = rolls.build_certificate(roll, made)
            signed.append(_sign(CERTIFICATE_DOMAIN, certificate, owner))
        past[peer] = Past(signed[0], signed[1], told)
    for peer in outcasts:
        roll, _ = rolls.revoke(roll, format_peer_id(peer))
    return roll, past


def _sign(domain: str, said: object, owner: PeerSigner) -> Envelope:
    return seal(domain, DEPLOYMENT.network, codec.encode(said), owner)
