"""`modelex route`."""

import dataclasses
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.asking import farm_option, request_options
from p2p_modelex.cli.common import home_option, print_json, print_table, quiet_log, run_trio
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.routing.picking import Scored
from p2p_modelex.errors import NoProvider
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.home import Home
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Request
from p2p_modelex.records.registry import SECTIONS

if TYPE_CHECKING:
    from p2p_modelex.node.exchange import Terms

SHOWN = 10


@click.command()
@home_option
@click.argument("prompt")
@request_options
@click.option("--section", type=click.Choice(list(SECTIONS)), help="As in `modelex run`.")
@farm_option
@click.option("--profile", help="Routing profile. [default: profile in [requester]]")
@click.option("--explain", is_flag=True, help="Show the others, their scores, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all that --explain shows.")
def route(
    home: Home,
    prompt: str,
    model: str,
    kind: Kind,
    max_tokens: int,
    section: str | None,
    farm: str,
    profile: str | None,
    *,
    explain: bool,
    as_json: bool,
) -> None:
    """Say which node PROMPT would go to, and why; nothing is ordered.

    Those drawn are probed as for a request, so the next one may go elsewhere.
    """
    from p2p_modelex.node.exchange import Terms, build_request
    from p2p_modelex.node.run_errors import hint_of

    tokens = 1 if kind == "embedding" else max_tokens
    request = build_request(prompt, model=model, kind=kind, max_tokens=tokens)
    quiet_log()
    decision: Decision = run_trio(
        _decide, home, request, Terms(section=section, farm=farm), profile
    )
    if as_json:
        print_json(_show(decision))
    elif explain:
        _print_decision(decision)
    if not decision.ranked:
        raise NoProvider(decision.why, hint=hint_of(decision.why))
    if not explain and not as_json:
        click.echo(format_peer_id(decision.ranked[0].candidate.peer))


async def _decide(home: Home, request: Request, terms: "Terms", profile: str | None) -> Decision:
    from p2p_modelex.node.exchange import connect

    async with connect(home.path, profile=profile) as exchange:
        return await exchange.explain(request, terms)


def _print_decision(decision: Decision) -> None:
    click.echo(
        f"profile {decision.profile}, picker {decision.picker}; {decision.seen} offers looked at"
    )
    for rule, name, many in decision.removed:
        click.echo(f"  {many} left out by {name} ({rule})")
    rows = [
        (
            "chosen from" if at < decision.listed else "for failover",
            f"{one.total:.3f}",
            *(f"{score:.2f}" for score in one.scores),
            format_peer_id(one.candidate.peer),
        )
        for at, one in enumerate(decision.ranked[:SHOWN])
    ]
    if rows:
        print_table(("", "score", *decision.scorers, "peer"), rows, indent="  ")
        click.echo(f"{format_peer_id(decision.ranked[0].candidate.peer)}: {decision.why}")


def _show(decision: Decision) -> dict[str, object]:
    """The whole decision, for programs."""
    plain = {
        field.name: getattr(decision, field.name)
        for field in dataclasses.fields(decision)
        if field.name not in ("ranked", "removed", "listed", "scorers")
    }
    removed = [
        {"rule": rule, "filter": name, "offers": many} for rule, name, many in decision.removed
    ]
    ranked = [_show_candidate(decision, at, one) for at, one in enumerate(decision.ranked)]
    return {**plain, "removed": removed, "ranked": ranked}


def _show_candidate(decision: Decision, at: int, one: Scored) -> dict[str, object]:
    offer = one.candidate.offer
    return {
        "peer": format_peer_id(one.candidate.peer),
        "model": offer.model,
        "standing": one.candidate.standing.name.lower(),
        "prompt_wei": str(int(offer.prompt_price)),
        "completion_wei": str(int(offer.completion_price)),
        "compared": at < decision.listed,
        "score": round(one.total, 6),
        "scores": {
            name: round(score, 6) for name, score in zip(decision.scorers, one.scores, strict=True)
        },
    }
