"""Providers that cheat those who buy from them."""

from typing import TYPE_CHECKING

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.exchange.parameters import PROTOCOL as EXCHANGE
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.records import codec
from p2p_modelex.records.job import Chunk, Finished, Load
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import MARK
from p2p_modelex.simulation.actors.behaviours.base import Behaviour, drop_sent, read_sent
from p2p_modelex.simulation.models.answers import count_tokens, count_wanted

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life

BLANK = " "
"""What a seller of nothing sends for a token."""
_PADDING = 1000
_DRIP_US = 50_000_000
_QUICK_US = 1_000
_PACE_US = 25_000


def withhold_receipts(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Serve and be paid as it streams, and never sign for it."""
    return drop_sent(life, effect, EXCHANGE, Finished)


def withhold_chunks(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Take the first voucher, and send nothing of the answer: who runs with the money."""
    return drop_sent(life, effect, EXCHANGE, Chunk, Finished)


def understate_load(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Answer each probe as if it were idle, and quick."""
    load = read_sent(life, effect, PROBE_PROTOCOL, Load)
    if load is None or not isinstance(effect, fx.Send):
        return effect
    idle = msgspec.structs.replace(load, running=0, waiting=0, slots=64, latency_ms=1)
    return fx.Send(effect.stream, codec.encode(idle))


def inflate_tokens(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Bill each chunk for more tokens than it has: its receipt will not agree."""
    chunk = read_sent(life, effect, EXCHANGE, Chunk)
    if chunk is None or not isinstance(effect, fx.Send):
        return effect
    more = msgspec.structs.replace(chunk, tokens=chunk.tokens + _PADDING)
    return fx.Send(effect.stream, codec.encode(more))


def misshape(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Give answers in no right form: vectors that are none, calls within calls, log probabilities
    of more tokens than there are; and a receipt for what the engine said.
    """
    chunk = read_sent(life, effect, EXCHANGE, Chunk)
    if chunk is None or not isinstance(effect, fx.Send):
        return effect
    if chunk.logprobs:
        wrong = msgspec.structs.replace(chunk, logprobs=chunk.logprobs * 2)
    else:
        wrong = msgspec.structs.replace(chunk, text=MARK + chunk.text)
    return fx.Send(effect.stream, codec.encode(wrong))


def _make_up(meaning: str, text: str, tokens: int, pause_us: int) -> Behaviour:
    """Return a provider with no engine: it makes answers up, pieces of `text` billed as `tokens`
    each, `pause_us` apart, and signs for them as its core does for an engine's.
    """

    def make_up(life: "Life", effect: fx.Effect) -> fx.Effect | None:
        if not isinstance(effect, fx.Generate):
            return effect
        job, request = effect.job, effect.request
        asked, left = count_tokens(request), min(count_wanted(request), request.max_tokens)
        pieces, at = max(1, left // tokens), life.kernel.now
        life.kernel.at(at, life, inp.EngineStarted(job, asked))
        for piece in range(1, pieces + 1):
            produced = inp.EngineProduced(job, text, tokens)
            life.kernel.at(at + piece * pause_us, life, produced)
        end = inp.EngineFinished(job, Finish.STOP, asked, pieces * tokens)
        life.kernel.at(at + pieces * pause_us, life, end)
        return None

    make_up.__doc__ = meaning  # docs/scenarios.md is made of it
    return make_up


sell_blanks = _make_up(
    "Sell whitespace, at once, with a right signature: no engine costs anything.",
    BLANK,
    1,
    _QUICK_US,
)
pad_tokens = _make_up(
    "Send half an answer at the pace of a whole one, each of its tokens billed twice.",
    "word0 ",
    2,
    _PACE_US,
)
drip = _make_up(
    "Send a token a minute, just before the buyer would give up, and hold a request for hours.",
    "word0 ",
    1,
    _DRIP_US,
)
