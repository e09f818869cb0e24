"""The demonstration: headlines scored, prompts answered, failures survived, money settled."""

import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from p2p_modelex.core.effects import RunRestarted, RunText
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.demo import money
from p2p_modelex.demo.mesh import (
    CAST,
    CHAT,
    PASSPHRASE,
    SENTIMENT,
    Mesh,
    open_mesh,
    run_gateway,
)
from p2p_modelex.engine.sources import NAMED
from p2p_modelex.errors import VerificationFailed
from p2p_modelex.node.exchange import Completion, Exchange, build_request, connect
from p2p_modelex.node.settling import settle_home
from p2p_modelex.units import format_ai

AT_ONCE = 3
JOIN_TIMEOUT_S = 30.0
CHAT_TOKENS = 48
CHAT_PROMPTS = (
    "Explain gravity to a child in two sentences.",
    "Write one sentence about the sea.",
    "Name three fruits.",
)


@dataclass(slots=True)
class Answer:
    """One finished job: what was asked, and how it went."""

    number: int
    asked: str
    completion: Completion
    failovers: list[RunRestarted] = field(default_factory=list)
    first_s: float = 0.0
    total_s: float = 0.0

    @property
    def tokens(self) -> int:
        assert self.completion.row is not None
        return self.completion.row.receipt.receipt.completion_tokens


async def play(folder: Path, models: Path, console: Console, *, stay: bool) -> None:
    """Run the demonstration; with `stay` the mesh then runs until it is interrupted."""
    began = time.monotonic()
    async with open_mesh(folder, models, console.print) as mesh:
        console.print(f"mesh up after {time.monotonic() - began:.1f} s\n")
        before = await money.read_balances(mesh)
        async with (
            _serve(mesh, console),
            connect(mesh.homes["client"].path, PASSPHRASE) as exchange,
        ):
            await _wait_for_cast(exchange)
            scores = await _score_headlines(mesh, exchange, console)
            chats = await _chat(mesh, exchange, console)
            deposits = exchange.node.core.payer.get_deposits(exchange.node.epoch)
        answers = [*scores, *chats]
        _verify(mesh, answers, console)
        paid = sum(one.completion.paid for one in answers)
        await money.wait_for_vouchers(mesh)
        settled = [await settle_home(mesh.homes[one.name], PASSPHRASE) for one in CAST]
        after = await money.read_balances(mesh)
        others = await money.sum_by_gateway(mesh)
        money.show(money.Sums(before, after, paid, others, deposits), settled, console)
        console.print(f"\ndone in {time.monotonic() - began:.1f} s")
        if stay:
            async with _serve(mesh, console):
                _show_next(mesh, console)
                await trio.sleep_forever()


@asynccontextmanager
async def _serve(mesh: Mesh, console: Console) -> AsyncGenerator[None, None]:
    """Serve the OpenAI-style API until the block ends, and say how to try it."""
    async with run_gateway(mesh) as url:
        asked = {
            "model": CHAT,
            "messages": [{"role": "user", "content": "Name three fruits."}],
            "max_tokens": CHAT_TOKENS,
            "stream": True,
        }
        body = msgspec.json.encode(asked).decode()
        console.print(
            f"an OpenAI-style API in front of the mesh; try it while this runs:\n"
            f"  curl -N {url}/chat/completions -d '{body}'\n",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        yield


async def _wait_for_cast(exchange: Exchange) -> None:
    with trio.fail_after(JOIN_TIMEOUT_S):
        await exchange.node.wait_until(lambda: len(exchange.nodes()) == len(CAST))


async def _score_headlines(mesh: Mesh, exchange: Exchange, console: Console) -> list[Answer]:
    text = files("p2p_modelex.demo").joinpath("headlines.txt").read_text()
    headlines = text.splitlines()
    answers: list[Answer] = []
    with _progress(console) as progress:
        task = progress.add_task("headlines", total=len(headlines))
        turn = trio.CapacityLimiter(AT_ONCE)

        async def ask(number: int, headline: str) -> None:
            async with turn:
                prompt = NAMED[SENTIMENT].prompt.format(text=headline)
                request = build_request(prompt, model=SENTIMENT, kind="score", max_tokens=2)
                answers.append(await _ask(number, headline, exchange.request(request)))
                progress.advance(task)

        async with trio.open_nursery() as nursery:
            for number, headline in enumerate(headlines):
                nursery.start_soon(ask, number, headline)
    answers.sort(key=lambda answer: answer.number)
    _show_scores(mesh, answers, console)
    return answers


async def _chat(mesh: Mesh, exchange: Exchange, console: Console) -> list[Answer]:
    answers = []
    for number, prompt in enumerate(CHAT_PROMPTS):
        console.print(f"\n[bold]> {prompt}[/bold]")
        completion = exchange.run(prompt, model=CHAT, max_tokens=CHAT_TOKENS)
        answer = await _ask(number, prompt, completion, lambda text: _write(console, text))
        answers.append(answer)
        rate = answer.tokens / max(answer.total_s - answer.first_s, 1e-3)
        console.print(
            f"\n[dim]{_name_of(mesh, completion)} · {answer.tokens} tokens, {rate:.1f}/s, "
            f"first after {answer.first_s * 1000:.0f} ms · {format_ai(completion.paid)}[/dim]"
        )
    return answers


def _write(console: Console, text: str) -> None:
    console.print(text, end="", markup=False, highlight=False, soft_wrap=True)


async def _ask(
    number: int, asked: str, completion: Completion, say: Callable[[str], None] = lambda _: None
) -> Answer:
    answer = Answer(number, asked, completion)
    began = time.monotonic()
    async for piece in completion:
        if isinstance(piece, RunRestarted):
            answer.failovers.append(piece)
        elif isinstance(piece, RunText):
            answer.first_s = answer.first_s or time.monotonic() - began
            say(piece.text)
    answer.total_s = time.monotonic() - began
    return answer


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _name_of(mesh: Mesh, completion: Completion) -> str:
    return mesh.names.get(completion.provider or b"", "?")


def _show_scores(mesh: Mesh, answers: Sequence[Answer], console: Console) -> None:
    table = Table(title="Sentiment, 1 (very bad) to 9 (very good)", title_justify="left")
    table.add_column("headline", no_wrap=True, overflow="ellipsis", max_width=44)
    for column in ("score", "node", "paid, AI"):
        table.add_column(column, no_wrap=True)
    for answer in answers:
        table.add_row(
            answer.asked,
            answer.completion.text.strip(),
            _name_of(mesh, answer.completion),
            format_ai(answer.completion.paid).removesuffix(" AI"),
        )
    console.print(table)
    for answer in answers:
        for one in answer.failovers:
            failed, took_over = (
                mesh.names.get(peer or b"", "?") for peer in (one.why.peer, one.peer)
            )
            console.print(
                f"failover: {failed} failed headline {answer.number + 1} "
                f"({one.why.code}), {took_over} took over"
            )
    console.print("what a failed attempt had been paid is in the headline's price")


def _verify(mesh: Mesh, answers: Sequence[Answer], console: Console) -> None:
    """Verify every receipt again, as a third party would."""
    for answer in answers:
        if answer.completion.row is None:
            raise VerificationFailed(f"there is no receipt for {answer.asked!r}")
        verify_receipt_row(answer.completion.row, mesh.deployment.registry_domain, None)
    console.print(f"\n{len(answers)} of {len(answers)} receipts verified")
    good = answers[-1].completion.row
    assert good is not None
    forged = msgspec.structs.replace(good, completion=good.completion + "!")
    try:
        verify_receipt_row(forged, mesh.deployment.registry_domain, None)
    except VerificationFailed as refused:
        console.print(f"the last one with a character added is refused: {refused}")
    else:
        raise VerificationFailed("a forged receipt was taken for a good one")


def _show_next(mesh: Mesh, console: Console) -> None:
    client = mesh.homes["client"].path
    console.print(
        "\nThe mesh is running; Ctrl-C stops it. In another terminal:\n\n"
        f"  export PATH={Path(sys.executable).parent}:$PATH\n"
        f"  export MODELEX_HOME={client} MODELEX_PASSPHRASE={PASSPHRASE}\n"
        "  modelex nodes\n"
        f'  modelex run "Tell me about the moon." --model {CHAT}\n'
        "  modelex channels\n",
        markup=False,
        soft_wrap=True,
    )
