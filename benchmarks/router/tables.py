"""The results as Markdown. A row that was measured on a busy machine says so."""

from collections.abc import Mapping

from benchmarks.router import balancing, conversations
from benchmarks.router.machine import OTHERS_MAX, Spent
from benchmarks.router.overhead import GATEWAY, MESH, Row

_OVERHEAD_HEAD = """\
| router | added p50 / p99, ms | CPU us a request | ceiling, requests/s | CPU us a request there \
| added to the first token, ms | CPU us a streamed token | RSS, MiB | others used |
|---|---|---|---|---|---|---|---|---|
"""


def show_overhead(rows: Mapping[str, Row]) -> str:
    """Return the table of what routers add, and where our own CPU goes."""
    table = _OVERHEAD_HEAD + "".join(_show_router(row) for row in rows.values())
    layers = [_show_layers(row) for row in rows.values() if row.layers]
    targets = [show_targets(rows[GATEWAY])] if GATEWAY in rows else []
    return "\n".join([table, *targets, *layers])


def _show_router(row: Row) -> str:
    latency, ceiling, streams = row.latency, row.ceiling, row.streams
    at = "" if row.rate == 100 else f" (at {row.rate}/s)"
    behind = f" + {latency.behind_us:,.0f} behind" if latency.behind_us else ""
    cells = (
        row.name,
        f"{latency.p50_ms:.2f} / {latency.p99_ms:.2f}{at}",
        f"{latency.cpu_us:,.0f}{behind}",
        f"{ceiling.rate:,.0f} ({ceiling.share:.0%} of its core){_show_lost(ceiling.lost)}",
        f"{ceiling.cpu_us:,.0f}",
        f"{streams.first_ms:.1f}",
        f"{streams.token_us:.0f}",
        f"{row.memory_mib:.0f}",
        " / ".join(_show_others(one) for one in (latency.spent, ceiling.spent, streams.spent)),
    )
    return f"| {' | '.join(cells)} |\n"


def _show_layers(row: Row) -> str:
    spent = (row.latency.cpu_us, row.latency.behind_us)
    return "".join(
        f"Of {whose} {us:,.0f} us a request at {row.rate}/s: "
        f"{', '.join(f'{layer} {share * us:,.0f}' for layer, share in layers.items())}.\n"
        for whose, us, layers in zip(_WHOSE[row.name], spent, row.layers, strict=False)
    )


_WHOSE = {GATEWAY: ("the gateway's",), MESH: ("the requester's", "the provider's")}


def show_targets(row: Row) -> str:
    """Return how the gateway alone stands to what is asked of it."""
    latency, ceiling = row.latency, row.ceiling
    held = (
        ("CPU of a request in the closed loop", ceiling.cpu_us, "us", "<=", 1000),
        ("the ceiling", ceiling.rate, "requests/s", ">=", 1000),
        ("added at p50", latency.p50_ms, "ms", "<=", 2),
        ("added at p99", latency.p99_ms, "ms", "<=", 8),
        ("CPU of a streamed token", row.streams.token_us, "us", "<=", 150),
    )
    shown = (
        f"{what} {measured:,.4g} {unit} ({sign} {limit:,}: "
        f"{'met' if (measured <= limit) == (sign == '<=') else '**not met**'})"
        for what, measured, unit, sign, limit in held
    )
    spent = (latency.spent, ceiling.spent, row.streams.spent)
    caveat = "" if all(one.is_quiet for one in spent) else " The machine was **busy**."
    return f"Targets of {row.name}: {'; '.join(shown)}.{caveat}\n"


def show_balance(rows: Mapping[str, balancing.Row]) -> str:
    """Return p50 / p95 / p99 in ms by policy and load."""
    loads = next(iter(rows.values()), {})
    head = f"| policy | {' | '.join(f'{load:.0%}' for load in loads)} |\n"
    lines = "".join(
        f"| {name} | {' | '.join(_show_spread(spread) for spread in row.values())} |\n"
        for name, row in rows.items()
    )
    return f"{head}|{'---|' * (len(loads) + 1)}\n{lines}"


def _show_spread(spread: balancing.Spread) -> str:
    shown = f"{spread.p50_ms:,.0f} / {spread.p95_ms:,.0f} / {spread.p99_ms:,.0f}"
    return shown + _show_lost(spread.lost) + _show_busy(spread.spent)


def show_conversations(rows: Mapping[str, conversations.Hits]) -> str:
    """Return hit ratio and time to the first token by policy."""
    head = "| policy | turns | cache hits | first token p50 / p95, ms |\n|---|---|---|---|\n"
    return head + "".join(
        f"| {name} | {hits.turns:,}{_show_lost(hits.lost)} | {hits.hit_ratio:.0%} "
        f"| {hits.p50_ms:,.0f} / {hits.p95_ms:,.0f}{_show_busy(hits.spent)} |\n"
        for name, hits in rows.items()
    )


def _show_lost(lost: int) -> str:
    return f", {lost:,} lost" if lost else ""


def _show_busy(spent: Spent) -> str:
    return "" if spent.is_quiet else f" **busy {spent.others:.1f}**"


def _show_others(spent: Spent) -> str:
    return f"{spent.others:.2f}" if spent.is_quiet else f"**{spent.others:.1f}**"


LEGEND = f"""\
*Others used*: cores that processes not of this run took meanwhile (latency / ceiling / streams). In
bold, or as **busy**: over {OTHERS_MAX}, so the figures are a direction and no more.
"""
