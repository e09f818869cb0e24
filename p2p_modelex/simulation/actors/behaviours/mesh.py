"""Peers that harm the mesh: spam, corruption, silence, invented peers, withheld ones."""

from typing import TYPE_CHECKING

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core.directory.own import seal_advertisement
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC
from p2p_modelex.ids import public_key_of
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Announcement, Announcements, Change
from p2p_modelex.records.reconciliation import Compared, Offered, Pulled, Records
from p2p_modelex.simulation.actors.behaviours.base import is_a, read_sent
from p2p_modelex.simulation.models.gossip import Rpc
from p2p_modelex.simulation.scenario.tables import NODES_MAX

if TYPE_CHECKING:
    from p2p_modelex.ids import PeerId
    from p2p_modelex.simulation.nodes.life import Life

SYBILS = 100
"""Peers that each inventor invents."""


def repeat_announcements(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Gossip its own record as changed whenever it sends anything: spam that costs no stake."""
    if isinstance(effect, fx.Send):
        change = Announcement(public_key_of(life.peer), life.now_ms, Change.CHANGED)
        life.router.publish(
            ANNOUNCEMENTS_TOPIC, codec.encode(Announcements((change,))), life.kernel.now
        )
    return effect


def corrupt_records(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Change a byte in the middle of what is handed over in reconciliation."""
    is_record = isinstance(effect, fx.Send) and not life.speaks_exchange(effect.stream)
    if isinstance(effect, fx.Send) and is_record and len(effect.payload) > 300:
        middle = len(effect.payload) // 2
        changed = bytes([effect.payload[middle] ^ 1])
        payload = effect.payload[:middle] + changed + effect.payload[middle + 1 :]
        return fx.Send(effect.stream, payload)
    return effect


def fall_silent(_: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Take everything and say nothing."""
    return None if isinstance(effect, fx.Send | fx.Publish) else effect


def hide_peers(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Keep others in the dark: claim that there is nothing they lack, and pass no gossip on."""
    _stop_gossip(life)
    if not isinstance(effect, fx.Send) or not life.speaks(effect.stream, RECONCILE_PROTOCOL):
        return effect
    compared = read_sent(life, effect, RECONCILE_PROTOCOL, Compared)
    if compared is not None:
        return fx.Send(effect.stream, codec.encode(Compared(compared.answered, ())))
    if is_a(effect.payload, Pulled):
        return fx.Send(effect.stream, codec.encode(Pulled((), b"")))
    if is_a(effect.payload, Records):
        return fx.Send(effect.stream, codec.encode(Records(())))
    return None if is_a(effect.payload, Offered) else effect


def _stop_gossip(life: "Life") -> None:
    if life.memory.setdefault("is_mute", False):
        return
    life.memory["is_mute"] = True
    say = life.router.send

    def say_little(peer: "PeerId", rpc: Rpc) -> None:
        say(peer, msgspec.structs.replace(rpc, messages=(), ihave=(), iwant=()))

    life.router.send = say_little


def invent_peers(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Have a directory full of peers that it has the keys of, and hand them to everybody."""
    own = life.core.directory.get(life.peer)
    if own is None or life.memory.setdefault("has_invented", False):
        return effect
    life.memory["has_invented"] = True
    for number in range(SYBILS):
        signer = life.open_key(NODES_MAX * (2 + life.number) + number)
        sequence = own.advertisement.sequence + number
        told = msgspec.structs.replace(own.advertisement, sequence=sequence, accounts=())
        sealed = seal_advertisement(told, life.core.directory.network, signer)
        life.core.directory.judge(sealed, life.now_ms)
    return effect
