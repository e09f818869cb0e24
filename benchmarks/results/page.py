"""The page of all scenarios, made of what their runs wrote, and one plot of each."""

import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from benchmarks.results.running import Entry
from p2p_modelex.simulation.results.code import compute_code
from p2p_modelex.simulation.results.files import SUMMARY, Summary, write_whole
from p2p_modelex.simulation.results.points import format_number
from p2p_modelex.simulation.results.report import Held, list_held

ROOT = Path(__file__).parents[2]
PAGE = "scenarios.md"
PLOTS = "plots"
PICTURES = {
    "absconders": "exposure",
    "buyers": "known",
    "doublespenders": "exposure",
    "censorship": "exposure",
    "churn": "known",
    "coldboot": "delivery",
    "congestion": "requests",
    "convergence": "delivery",
    "covertflash": "delivery",
    "crowd": "delivery",
    "day": "money",
    "degradation": "delivery",
    "eclipse": "known",
    "farms": "load",
    "flashcrowd": "requests",
    "freeriders": "exposure",
    "garbage": "money",
    "gossipcensor": "delivery",
    "jobs": "requests",
    "loadliars": "latency",
    "market": "latency",
    "newcomer": "delivery",
    "outage": "requests",
    "partition": "known",
    "priceliars": "money",
    "pricewar": "money",
    "ratings": "money",
    "reorg": "exposure",
    "routers": "load",
    "sharding": "delivery",
    "sleepers": "exposure",
    "spam": "known",
    "sybil": "known",
}
"""Which of a run's plots shows best what the scenario asks."""
_CAPTIONS = {
    "delivery": "share of deliveries within a time",
    "exposure": "how far honest nodes are ahead of the other side, in AI",
    "known": "share known, and nodes that are up, over virtual time",
    "latency": "share of answers within a time",
    "load": "time to answers by requests in flight",
    "money": "AI paid, and the price of tokens, over virtual time",
    "requests": "requests in flight and ended, over virtual time",
}
_DIGITS = 12
_QUESTION = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
_SOURCES = ("p2p_modelex", ":(glob)simulations/*.toml", "simulations/plugins")
_HEAD = """\
# Scenarios

Made by `make results`; do not edit. Every scenario of [simulations](../README.md) as it stands,
with its own size and seed, run by p2p-modelex {code} (digest of the package's code `{digest}`).
All figures are virtual: the same on any machine. What was learned of each:
[results](../RESULTS.md#by-scenario).

| scenario | what it asks | held |
|---|---|---|
"""


class Outcome(msgspec.Struct, frozen=True):
    """What there is to show of a scenario. said: how it went, in short; summary: None if it has no
    result.
    """

    said: str
    summary: Summary | None
    held: tuple[Held, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether it got all that it asks."""
        return self.summary is not None and all(one.is_met for one in self.held)


def find_outcome(entry: Entry) -> Outcome:
    """Return what the last run of a scenario came to."""
    ended = entry.read()
    if ended is None:
        return Outcome("not run with this code", None)
    if ended.said:
        return Outcome(ended.said, None)
    summary = msgspec.json.decode((entry.folder / SUMMARY).read_bytes(), type=Summary)
    asked = entry.recipe.build().hold
    held = tuple(list_held(asked, summary.measures, is_whole=summary.is_whole))
    return Outcome(f"{sum(one.is_met for one in held)} of {len(held)}", summary, held)


def read_questions() -> dict[str, str]:
    """Return what each scenario asks, as the list of scenarios says it."""
    text = (ROOT / "simulations" / "README.md").read_text(encoding="utf-8")
    return dict(_QUESTION.findall(text))


def write_page(entries: Sequence[Entry], folder: Path) -> Path:
    """Write the page of all scenarios, and their plots, into the folder; returns the page."""
    questions = read_questions()
    rows, sections = [], []
    for entry in entries:
        outcome, question = find_outcome(entry), questions[entry.name]
        rows.append(f"| [`{entry.name}`](#{entry.name}) | {question} | {outcome.said} |\n")
        parts = [f"## {entry.name}", question, f"    modelex simulate {entry.name}"]
        plot = folder / PLOTS / f"{entry.name}.png"
        if outcome.summary is None:
            plot.unlink(missing_ok=True)  # it would be of another run
            parts.append(f"No result: {outcome.said}.")
        else:
            parts += [_tell(outcome.summary), _tabulate(outcome.held), _copy_plot(entry, plot)]
        sections.append("\n\n".join(parts) + "\n")
    head = _HEAD.format(code=_find_code(), digest=compute_code())
    text = head + "".join(rows) + "\n" + "\n".join(sections)
    return write_whole(folder / PAGE, text.encode())


def _tell(summary: Summary) -> str:
    measures = summary.measures
    return (
        f"Seed {summary.seed}, {measures['nodes']:,.0f} nodes, {measures['virtual_s']:,.0f} s of "
        f"virtual time, {measures['events']:,.0f} events, digest `{summary.digest[:_DIGITS]}`."
    )


def _tabulate(held: Sequence[Held]) -> str:
    lines = ["| asked | measured | held |", "|---|---|---|"]
    for one in held:
        value = "not measured" if one.value is None else format_number(one.value)
        lines.append(f"| {one.wanted} | {value} | {'yes' if one.is_met else 'NO'} |")
    return "\n".join(lines)


def _copy_plot(entry: Entry, plot: Path) -> str:
    """Put the plot of a run beside the page; returns the link to it."""
    picture = PICTURES[entry.name]
    drawn = entry.folder / f"{picture}.png"
    if not drawn.exists():
        plot.unlink(missing_ok=True)
        return f"The run had nothing for the plot `{picture}`."
    write_whole(plot, drawn.read_bytes())
    return f"![{entry.name}: {_CAPTIONS[picture]}]({PLOTS}/{plot.name})"


def _find_code() -> str:
    """Return the version, and the last commit that changed what is run: others change no result."""
    version = metadata.version("p2p-modelex")
    try:
        commit = _ask_git("log", "-1", "--format=%h")
        changed = _ask_git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return version
    return f"{version} at {commit}{', with changes' if changed else ''}"


def _ask_git(*command: str) -> str:
    words = ["git", "-C", str(ROOT), *command, "--", *_SOURCES]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.strip()
