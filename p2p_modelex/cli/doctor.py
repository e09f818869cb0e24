"""`modelex doctor`."""

import sys

import click

from p2p_modelex.cli.common import home_option, run_trio, unlock
from p2p_modelex.cli.text import printable
from p2p_modelex.node.home import Home

EXIT_CODE = 15


@click.command()
@home_option
def doctor(home: Home) -> None:
    """Look at everything a node needs; exit code 15 if something is wrong."""
    wrong = run_trio(_examine, home)
    if wrong:
        click.echo(f"{wrong} {'thing' if wrong == 1 else 'things'} to mend")
        sys.exit(EXIT_CODE)
    click.echo("all is well")


async def _examine(home: Home) -> int:
    from p2p_modelex.node.examination import Examination

    wrong = 0
    async for finding in Examination(home, unlock).run():
        click.echo(
            f"{'ok   ' if finding.is_well else 'WRONG'} {finding.name}: {printable(finding.seen)}"
        )
        if not finding.is_well:
            wrong += 1
            if finding.remedy:
                click.echo(f"      try: {printable(finding.remedy)}")
    return wrong
