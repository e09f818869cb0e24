"""Requesters that cheat those who sell to them."""

from typing import TYPE_CHECKING

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core.exchange.parameters import PROTOCOL as EXCHANGE
from p2p_modelex.records import codec
from p2p_modelex.records.job import Order, Pay
from p2p_modelex.records.rows import ChannelRow
from p2p_modelex.simulation.actors.behaviours.base import drop_sent, read_sent
from p2p_modelex.units import Wei

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life

BOAST = Wei(10**24)
"""A million AI, which no purse of a scenario comes near."""


def withhold_payment(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Order, and never send a voucher after the first: a free rider."""
    return drop_sent(life, effect, EXCHANGE, Pay)


def pay_one_late(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Send each voucher when the next is due, and so never the last."""
    if not isinstance(effect, fx.Send) or read_sent(life, effect, EXCHANGE, Pay) is None:
        return effect
    held: dict[int, fx.Send] = life.memory.setdefault("held", {})
    before, held[effect.stream] = held.get(effect.stream), effect
    return before


def spend_twice(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Pay for an order with the voucher that the last order went with, to whomever that was."""
    order = read_sent(life, effect, EXCHANGE, Order)
    if order is None or not isinstance(effect, fx.Send):
        return effect
    before: Order = life.memory.setdefault("order", order)
    life.memory["order"] = order
    again = msgspec.structs.replace(order, terms=before.terms, voucher=before.voucher)
    return fx.Send(effect.stream, codec.encode(again))


def spend_over(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Reckon as if each deposit had no end: every member of a farm is promised all of it at once,
    each on lanes of its own, and whoever says that it is exhausted is asked again.
    """
    if isinstance(effect, fx.Persist):
        for row in effect.rows:
            if isinstance(row, ChannelRow) and row.is_payer:
                boast = msgspec.structs.replace(row.state, deposit=BOAST)
                life.core.payer.note_channel(boast, row.peer)
    return effect


def replay(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Pay with the first voucher of each lane again and again, and say everything else twice."""
    if not isinstance(effect, fx.Send):
        return effect
    pay = read_sent(life, effect, EXCHANGE, Pay)
    if pay is not None:
        promise = pay.voucher.voucher
        first = life.memory.setdefault((promise.channel, promise.lane), pay.voucher)
        again = msgspec.structs.replace(pay, voucher=first)
        return fx.Send(effect.stream, codec.encode(again))
    life.wires.send(effect, life.kernel.now)
    return effect
