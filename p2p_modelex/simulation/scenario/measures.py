"""Every measure of a run: its name, its unit, what it says, and which runs have it.

docs/scenarios.md and `--measures` list them, and what `[[hold]]` or `--show` names is looked up
here before a run begins. A test holds this to what runs measure.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple, get_args

from p2p_modelex.net.reputation import OFFENCES
from p2p_modelex.records.job import FailureCode, RefusalCode
from p2p_modelex.simulation.models.transactions import NAMES
from p2p_modelex.simulation.plugin import list_plugged
from p2p_modelex.simulation.scenario.tables import Scenario


class Measure(NamedTuple):
    """name: what is in braces stands for each of FAMILIES, or for a population. unit: empty for a
    count.
    """

    name: str
    unit: str
    meaning: str


SHARE = "share"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "at": ("p50", "p90", "p99", "max"),
    "code": (
        *dict.fromkeys((*get_args(RefusalCode), *get_args(FailureCode))),
        *("dial", "stream", "protocol", "no_provider", "cancelled"),
    ),
    "offence": tuple(OFFENCES),
    "transaction": tuple(NAMES.values()),
}
"""What a name in braces stands for. `at`: what that share of the values is not above."""


class Group(NamedTuple):
    """Measures that runs of a kind have. title: of which runs."""

    title: str
    covers: Callable[[Scenario], bool]
    measures: tuple[Measure, ...]


GROUPS = (
    Group(
        "Every run",
        lambda _: True,
        (
            Measure("nodes", "", "Nodes that ever came."),
            Measure("events", "", "Events of the simulation."),
            Measure("virtual_s", "s", "How far virtual time got."),
            Measure("sent_bytes", "bytes", "Sent by all nodes together."),
            Measure("gossip_deliveries", "", "Gossip messages that a node had for the first time."),
            Measure("gossip_duplicates", "", "Those that it had already."),
            Measure("gossip_delay_ms_{at}", "ms", "From publishing to a first delivery."),
            Measure("gossip_hops_{at}", "", "Links that a first delivery had come over."),
        ),
    ),
    Group(
        "Whole nodes",
        lambda one: one.has_cores,
        (
            Measure("frames", "", "Frames of all protocols that were sent."),
            Measure("record_delay_ms_{at}", "ms", "Age of an advertisement as a node keeps it."),
            Measure("known", SHARE, "Of all directory entries that there could be, in the end."),
            Measure("complete_at_s", "s", "Since when every directory has been complete."),
            Measure("honest_known", SHARE, "Honest advertisers an honest node knows, in the mean."),
            Measure("honest_known_min", SHARE, "The same of the node that knows the fewest."),
            Measure("offence_{offence}", "", "How often a node blamed another one for it."),
            Measure("cheated_ai", "AI", "What honest nodes worked or paid for nothing."),
            Measure("cheated_windows_max", "windows", "The most that one lost to one peer."),
        ),
    ),
    Group(
        "Routers alone",
        lambda one: not one.has_cores,
        (
            Measure("routers", "", "Routers: a node has one in each of its shards."),
            Measure("connections_per_node", "", "Of an honest node, in the mean."),
            Measure("messages", "", "Messages that honest routers published."),
            Measure("delivered_share", SHARE, "Honest routers that got what they were up to hear."),
            Measure("gossip_asked", "", "Messages that were asked for by IWANT."),
            Measure("sent_bytes_per_node", "bytes", "Sent by an honest node, in the mean."),
            Measure("mesh_size", "", "Members of an honest router's mesh, in the end."),
            Measure("mesh_honest_share", SHARE, "Of these, the honest."),
            Measure("eclipsed_share", SHARE, "Honest routers with nobody honest in their mesh."),
        ),
    ),
    Group(
        "Routers with `victims`",
        lambda one: any(population.victims for population in one.population),
        (
            Measure("victims_told_share", SHARE, "As `delivered_share`, of the victims' messages."),
            Measure("victims_heard_share", SHARE, "As `delivered_share`, of who gets it, victims."),
            Measure("told_delay_ms_{at}", "ms", "As `gossip_delay_ms`, of the victims' messages."),
        ),
    ),
    Group(
        "A workload",
        lambda one: bool(one.workload),
        (
            Measure("requests", "", "Requests of honest nodes."),
            Measure("finished", "", "Those that ended with a receipt."),
            Measure("finished_share", SHARE, "Of `requests`."),
            Measure("sensible_share", SHARE, "Of `finished`, whose text reads like an answer."),
            Measure("failed_{code}", "", "Those that ended without, by the code."),
            Measure("interrupted", "", "Those whose node went away."),
            Measure("restarted", "", "How often one began again at another provider."),
            Measure("declined", "", "Not asked for, as the hour's budget was spent."),
            Measure("completion_tokens", "", "Of finished requests."),
            Measure("paid_ai", "AI", "For finished requests."),
            Measure("paid_ai_ktoken", "AI", "For 1,000 completion tokens, in the mean."),
            Measure("first_text_ms_{at}", "ms", "From a request to its first text."),
            Measure("whole_ms_{at}", "ms", "From a request to the end of its answer."),
            Measure("calm_at_s", "s", "Since when no unusual number of requests is in hand."),
        ),
    ),
    Group(
        "Engines",
        lambda one: any(population.engine for population in one.population),
        (
            Measure("engines_alike", SHARE, "Jain's index of the tokens made: 1 if all alike."),
            Measure("engines_busy", SHARE, "Of the time since their population came."),
            Measure("engine_tokens", "", "Completion tokens that they made."),
            Measure("engine_loads", "", "How often a model was loaded."),
            Measure("cached_share", SHARE, "Prompt tokens that were not read anew."),
            Measure("preempted", "", "Sequences that gave way for want of memory."),
        ),
    ),
    Group(
        "Farms",
        lambda one: any(population.farm for population in one.population),
        (
            Measure("members_told", "", "How often a member told others what it served."),
            Measure("members_asked", "", "How often one asked others for a part of a deposit."),
            Measure("members_lent", "", "How often one gave of its part."),
        ),
    ),
    Group(
        "A chain",
        lambda one: one.chain is not None,
        (
            Measure("transactions", "", "Transactions that stand in the end."),
            Measure("transactions_{transaction}", "", "Those of a kind."),
            Measure("gas_{transaction}", "gas", "What they took."),
            Measure("fees_{transaction}_gwei", "gwei", "What they cost."),
            Measure("transaction_s_{at}", "s", "From sending one to its block."),
            Measure("base_fee_gwei_max", "gwei", "The highest base fee of a gas."),
            Measure("redeem_s_{at}", "s", "From a lane's oldest voucher to its redeeming."),
            Measure("earned_ai", "AI", "Promised to honest providers by the vouchers they hold."),
            Measure("earned_ai_{population}", "AI", "The same of a population."),
            Measure("redeemed_ai", "AI", "Of that, what was paid out on chain."),
            Measure("owed_ai", "AI", "Of that, what can still be redeemed."),
            Measure("lost_ai", "AI", "Of that, what went with a channel that is closed or undone."),
            Measure("reorgs", "", "How often blocks left the chain."),
            Measure("reorg_deepest", "", "The most blocks that left at once."),
            Measure("reorg_undone", "", "Transactions that were undone."),
            Measure("reorg_forgotten", "", "Those that nobody sent again."),
            Measure("reorg_exposed_ai", "AI", "The most promised at once over undone deposits."),
        ),
    ),
    Group(
        "A chain and `pricing`",
        lambda one: (
            one.chain is not None and any(population.pricing for population in one.population)
        ),
        (Measure("asked_ai_{population}", "AI", "For 1,000 completion tokens, in the end."),),
    ),
)


def list_declared(scenario: Scenario) -> list[Measure]:
    """Return what a run of a scenario may measure, families as one, those of plug-ins last.

    What does not happen in a run, such as a failure, is not measured in it.
    """
    own = [one for group in GROUPS if group.covers(scenario) for one in group.measures]
    return own + [Measure(name, "", "Of a plug-in.") for name in _list_plugged(scenario)]


def list_families(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return what each name in braces stands for."""
    return {**FAMILIES, "population": tuple(one.name for one in scenario.population)}


def list_measures(scenario: Scenario) -> list[str]:
    """Return the names of all that a run of a scenario may measure."""
    families = list_families(scenario)
    return [name for one in list_declared(scenario) for name in _fill(one.name, families)]


def list_taken(scenario: Scenario) -> list[str]:
    """Return what its plug-ins call a measure that its runs have themselves."""
    names = list_measures(scenario)
    return [name for name in _list_plugged(scenario) if names.count(name) > 1]


def _list_plugged(scenario: Scenario) -> list[str]:
    return list_plugged("measure", scenario.plugin.files)


def _fill(name: str, families: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    before, brace, rest = name.partition("{")
    if not brace:
        yield name
        return
    family, _, after = rest.partition("}")
    yield from (f"{before}{one}{after}" for one in families[family])


def suggest_measure(name: str, scenario: Scenario) -> str:
    """Say what to write instead of a name that is not measured."""
    for group in GROUPS:
        if any(name in _fill(one.name, {**FAMILIES, "population": ()}) for one in group.measures):
            return f"{group.title[0].lower()}{group.title[1:]} would have it"
    near = get_close_matches(name, list_measures(scenario), n=1)
    return f"did you mean `{near[0]}`?" if near else "--measures lists them"
