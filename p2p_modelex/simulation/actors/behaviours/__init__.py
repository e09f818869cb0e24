"""How dishonest nodes differ: each changes the effects of an honest core before they happen.

A behaviour is one function of the life and an effect: what it returns happens instead, None for
nothing. What it has to remember is in the life's `memory`. Add one to the file of its kind and
here, or register your own from a program (docs/simulation.md).
"""

from p2p_modelex.simulation.actors.behaviours import (
    buying,
    farming,
    garbling,
    mesh,
    selling,
)
from p2p_modelex.simulation.actors.behaviours.base import Behaviour, be_honest

BEHAVIOURS: dict[str, Behaviour] = {
    "honest": be_honest,
    "colluder": be_honest,
    "free-rider": buying.withhold_payment,
    "last-voucher": buying.pay_one_late,
    "double-spender": buying.spend_twice,
    "overspender": buying.spend_over,
    "replayer": buying.replay,
    "no-receipt": selling.withhold_receipts,
    "no-chunks": selling.withhold_chunks,
    "overcharge": selling.inflate_tokens,
    "load-liar": selling.understate_load,
    "garbage": selling.sell_blanks,
    "padder": selling.pad_tokens,
    "misshaper": selling.misshape,
    "slow-loris": selling.drip,
    "spammer": mesh.repeat_announcements,
    "corrupt": mesh.corrupt_records,
    "silent": mesh.fall_silent,
    "eclipser": mesh.hide_peers,
    "sybil": mesh.invent_peers,
    "outcast": farming.impersonate,
    "garbler": garbling.garble,
}
"""By the name that a population gives. A colluder lies on chain alone (raters.py)."""

BUYERS = (
    "colluder",
    "free-rider",
    "last-voucher",
    "double-spender",
    "overspender",
    "replayer",
)
"""Those that lie to who sells to them, or of them: requesters."""
