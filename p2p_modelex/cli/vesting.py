"""`modelex token vesting`: the founders' part of $AI, under lock-up."""

from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import reads, sends
from p2p_modelex.cli.kinds import ADDRESS
from p2p_modelex.cli.showing import Answer, Moment, Percent, tell_sent
from p2p_modelex.ids import Address

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.vesting import Vesting

_PPM_IN_HUNDREDTHS = 100


@click.group()
def vesting() -> None:
    """The founders' part: nothing before the cliff, then in proportion to time."""


@vesting.command()
@reads
async def grants(network: "Network") -> Answer:
    """List all grants; they are fixed for ever."""
    return [
        {
            "beneficiary": grant.beneficiary,
            "share": Percent(grant.share // _PPM_IN_HUNDREDTHS),
            "share_ppm": grant.share,
            "start": Moment(grant.start),
            "cliff": Moment(grant.start + grant.cliff),
            "end": Moment(grant.start + grant.duration),
        }
        for grant in await _vesting(network).fetch_grants()
    ]


@vesting.command()
@click.argument("account", type=ADDRESS, required=False)
@reads
async def releasable(network: "Network", account: Address | None) -> Answer:
    """Show what ACCOUNT was given and may have now; by default the home's."""
    beneficiary = account or network.account
    vested = await _vesting(network).fetch_vested(beneficiary)
    return {
        "beneficiary": beneficiary,
        "released": vested.released,
        "releasable": vested.releasable,
    }


@vesting.command()
@click.argument("account", type=ADDRESS, required=False)
@sends
async def release(network: "Network", account: Address | None) -> Answer:
    """Pay ACCOUNT what is due; by default this account. Anyone may: it goes nowhere else."""
    beneficiary = account or network.account
    sent = await _vesting(network).release(beneficiary)
    return tell_sent(sent, beneficiary=beneficiary, released=sent.sum_amounts("Released"))


def _vesting(network: "Network") -> "Vesting":
    from p2p_modelex.chain.contracts.vesting import Vesting

    return Vesting(network)
