"""`modelex map`."""

import json
import signal
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import trio

from p2p_modelex import limits
from p2p_modelex.cli.asking import farm_option
from p2p_modelex.cli.common import home_option, quiet_log, run_trio
from p2p_modelex.cli.files import EXISTING_FILE
from p2p_modelex.cli.kinds import AMOUNT
from p2p_modelex.cli.map_output import check_output, write_results
from p2p_modelex.cli.map_report import print_summary, show_summary, watch
from p2p_modelex.errors import BadInput, JobFailed, ModelexError
from p2p_modelex.node.home import Home
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.registry import SECTIONS
from p2p_modelex.units import Epoch, Wei

if TYPE_CHECKING:
    from p2p_modelex.node.mapping.inputs import Prompt
    from p2p_modelex.node.mapping.maps import Map
    from p2p_modelex.node.mapping.notes import Tally
    from p2p_modelex.node.mapping.template import Template


@dataclass(frozen=True)
class _Asked:
    """count: how many inputs there are, None where that is not known beforehand."""

    template: "Template"
    inputs: Path
    count: int | None
    output: Path | None
    journal: Path | None
    max_price: Wei | None
    max_cost: Wei | None
    section: str | None
    farm: str
    at_once: int
    as_json: bool


@click.command()
@home_option
@click.argument("template", type=EXISTING_FILE)
@click.argument(
    "inputs", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the results; one that this map began is continued. [default: standard output]",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that makes an interrupted map go on. [default: OUTPUT.journal, if there is one]",
)
@click.option("--model", help="In place of the template's.")
@click.option(
    "--kind",
    type=click.Choice(["chat", "completion", "score", "embedding"]),
    help="In place of the template's.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1, limits.COMPLETION_TOKENS_MAX),
    help="In place of the template's.",
)
@click.option("--max-price", type=AMOUNT, help="Most to pay for one prompt.")
@click.option("--max-cost", type=AMOUNT, help="Most to pay for all of them. [default: no bound]")
@click.option("--section", type=click.Choice(list(SECTIONS)), help="As in `modelex run`.")
@farm_option
@click.option(
    "--at-once",
    type=click.IntRange(1, limits.MAP_ORDERS_MAX),
    default=256,
    show_default=True,
    help="Most prompts under way, of all members together.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the summary as JSON, on standard output if results go to a file.",
)
def map(  # noqa: A001  # the command is called so
    home: Home,
    template: Path,
    inputs: Path,
    output: Path | None,
    journal: Path | None,
    model: str | None,
    kind: Kind | None,
    max_tokens: int | None,
    max_price: Wei | None,
    max_cost: Wei | None,
    section: str | None,
    farm: str,
    at_once: int,
    *,
    as_json: bool,
) -> None:
    """Fill TEMPLATE with each line of INPUTS and have the mesh answer all of them.

    INPUTS has a JSON object a line ("-" reads standard input); {name} in the template stands for
    its field of that name. Results are JSON lines in the same order. The same command again goes on
    after an interruption; what has a result is neither run nor paid again.
    """
    from p2p_modelex.node.mapping.inputs import check_prompts
    from p2p_modelex.node.mapping.template import Override, read_template

    filled = read_template(template, Override(model, kind, max_tokens))
    # Nothing is paid before all inputs are known to be good; a pipe can be read only once.
    count = check_prompts(inputs, filled) if inputs.is_file() else None
    kept = journal or (output.with_name(output.name + ".journal") if output else None)
    check_output(output, kept)
    quiet_log()
    asked = _Asked(
        filled, inputs, count, output, kept, max_price, max_cost, section, farm, at_once, as_json
    )
    if not run_trio(_map, home, asked):
        raise KeyboardInterrupt


async def _map(home: Home, asked: _Asked) -> bool:
    """Run it to its end; False if Ctrl-C ended it."""
    from p2p_modelex.node.exchange import Terms, connect

    terms = Terms(max_cost=asked.max_price, section=asked.section, farm=asked.farm)
    async with (
        connect(home.path) as exchange,
        exchange.map_prompts(
            asked.template,
            _read(asked),
            terms=terms,
            max_cost=asked.max_cost,
            at_once=asked.at_once,
            journal=asked.journal,
        ) as results,
    ):
        interrupted = trio.Event()
        stopped = await _collect(results, asked, interrupted)
        tally, epoch = await results.tally(), results.progress.epoch
        if asked.as_json or tally.jobs or stopped is None:
            _tell(asked, tally, results.taken, epoch)
    if stopped is not None or interrupted.is_set():
        # What is wrong with an input is to be put right first, as the error says.
        if tally.jobs and not isinstance(stopped, BadInput):
            _tell_how_to_go_on(asked)
        if stopped is not None:
            raise stopped
    elif tally.failures:
        raise JobFailed(
            f"{tally.failures} of {results.taken} prompts have no answer",
            hint="each says why in its `error`",
        )
    return not interrupted.is_set()


async def _collect(results: "Map", asked: _Asked, interrupted: trio.Event) -> ModelexError | None:
    """Write all results, with a bar beside; return what stopped the map early, if anything did."""
    stopped: ModelexError | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_leave_at_signal, results, interrupted)
        nursery.start_soon(watch, results, asked.count)
        try:
            await write_results(results, asked.output)
        except ModelexError as error:
            stopped = error
        nursery.cancel_scope.cancel()
    return stopped


def _tell(asked: _Asked, tally: "Tally", taken: int, epoch: Epoch) -> None:
    """Print the summary, where results do not go."""
    if not asked.as_json:
        print_summary(tally, epoch)
    else:
        shown = json.dumps(show_summary(tally, taken, epoch), indent=2)
        click.echo(shown, err=asked.output is None)


async def _read(asked: _Asked) -> AsyncGenerator["Prompt", None]:
    from p2p_modelex.node.mapping.inputs import BATCH, in_batches, open_inputs, read_prompts

    is_piped = asked.inputs == Path("-")
    with _standard_input() if is_piped else open_inputs(asked.inputs) as file:
        prompts = read_prompts(file, str(asked.inputs), asked.template)
        batch = BATCH if asked.count is not None else 1
        async with aclosing(in_batches(prompts, batch)) as batches:
            async for prompt in batches:
                yield prompt


@contextmanager
def _standard_input() -> Iterator[BinaryIO]:
    yield sys.stdin.buffer


async def _leave_at_signal(
    results: "Map", interrupted: trio.Event, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """The first Ctrl-C lets what is in hand finish, the second one cancels it, a third stops."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        times = 0
        async for _ in signals:
            times += 1
            interrupted.set()
            if times > 2:
                raise KeyboardInterrupt
            results.leave(at_once=times > 1)
            if times == 1:
                many = results.progress.in_hand
                click.echo(f"\nfinishing the {many} in hand; Ctrl-C again cancels them", err=True)


def _tell_how_to_go_on(asked: _Asked) -> None:
    again = "the same command goes on from here"
    if asked.journal is None:
        again = "to be able to go on another time, give --output or --journal"
    click.echo(again, err=True)
