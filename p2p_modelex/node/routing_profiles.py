"""Routing profiles in a configuration: those shipped, and an operator's own."""

from dataclasses import MISSING, dataclass

from p2p_modelex.core.routing.profile import (
    BOUND_MS,
    CHOICES,
    HEDGES,
    PICKERS,
    PROFILES,
    Profile,
    build_profile,
)
from p2p_modelex.core.routing.scorers import SCORERS
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import PeerId, parse_peer_id
from p2p_modelex.node.options import SWITCH, TEXT, choice, option, texts, whole
from p2p_modelex.records.farm import parse_farm

PROFILES_MAX = 16
PEERS_MAX = 256
WEIGHT_MAX = 100
_WEIGHT = whole(0, WEIGHT_MAX, "parts")


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """A way to choose providers. One `[[profiles]]` table for each.

    Weights are parts of the whole score; 0 leaves a quality out.
    """

    name: str = option(
        TEXT, MISSING, "What `profile` in [requester] and `--profile` call it.", example='"mine"'
    )
    picker: str = option(
        choice(*PICKERS),
        "power_of_d",
        "Who is tried first: `random`; `weighted`, by score; `power_of_d`, the best score of a few "
        "drawn and probed; `hot_cold`, the quickest that is not busy, of those probed lately; "
        "`affinity`, whom the conversation belongs to, if it has room; `cheapest`, of those that "
        "answer soon.",
    )
    choices: int = option(
        whole(1, 16, "providers"),
        CHOICES,
        "How many power_of_d and affinity draw and probe; cheapest twice as many. More know more "
        "and cost each request more probes.",
    )
    latency_bound_ms: int = option(
        whole(1, 600_000, "milliseconds"),
        BOUND_MS,
        "What `cheapest` counts as soon: the time to the first token.",
    )
    price: int = option(_WEIGHT, 1, "Weight of a low price.")
    latency: int = option(
        _WEIGHT, 1, "Weight of a short time to the first token, as told and as seen."
    )
    load: int = option(_WEIGHT, 2, "Weight of free slots, by the last probe.")
    affinity: int = option(
        _WEIGHT, 0, "Weight of being the one that a conversation belongs to, for its cache."
    )
    record: int = option(_WEIGHT, 1, "Weight of having served this node well.")
    rating: int = option(
        _WEIGHT, 0, "Weight of ratings on chain by the `evaluators` of [requester]."
    )
    distance: int = option(_WEIGHT, 0, "Weight of a short round trip, as probes measured it.")
    cache: int = option(
        _WEIGHT, 1, "Weight of having read the prompt before, as far as its caches keep that."
    )
    allow: tuple[str, ...] = option(
        texts(PEERS_MAX), (), "Peer ids to buy from; empty for all.", example='["12D3KooW..."]'
    )
    deny: tuple[str, ...] = option(
        texts(PEERS_MAX), (), "Peer ids never to buy from.", example='["12D3KooW..."]'
    )
    farm: str = option(
        TEXT,
        "",
        "Farm to buy from where a request names none: its name, or its id if several share the "
        "name. Empty for anybody.",
        example='"harvest"',
    )
    evidence: bool = option(
        SWITCH, False, "Only providers whose advertisement has the digest of some evidence."
    )
    minimum_rating: int = option(
        whole(0, 100, "per cent"),
        0,
        "Only providers that the `evaluators` of [requester] rate so high, by the median; 0 "
        "takes all, rated or not.",
    )
    late_binding: bool = option(
        SWITCH,
        True,
        "Stand in a second line where the first provider has no free slot or does not start in "
        "time, and keep who starts first. Off, a request waits where it was sent.",
    )
    hedge: bool = option(
        SWITCH,
        HEDGES,
        "Order at another provider as well where the first word is later than nineteen of twenty, "
        "and take who is sooner; the other is cancelled and paid for what it began.",
    )


def build_own(settings: ProfileSettings) -> Profile:
    """Return the profile that settings describe; BadInput where they do not make one."""
    return build_profile(
        settings.name,
        settings.picker,
        {name: getattr(settings, name) for name in SCORERS},
        choices=settings.choices,
        bound_ms=settings.latency_bound_ms,
        allow=_parse(settings.name, settings.allow),
        deny=_parse(settings.name, settings.deny),
        needs_evidence=settings.evidence,
        farm=_parse_farm(settings.name, settings.farm),
        least_rating=100 * settings.minimum_rating,
        binds_late=settings.late_binding,
        hedges=settings.hedge,
    )


def _parse(profile: str, peers: tuple[str, ...]) -> tuple[PeerId, ...]:
    try:
        return tuple(map(parse_peer_id, peers))
    except BadInput as error:
        raise BadInput(
            f"profile {profile!r}: {error.message}", hint="peer ids look like 12D3KooW..."
        ) from error


def _parse_farm(profile: str, farm: str) -> str:
    try:
        return parse_farm(farm) if farm else ""
    except BadInput as error:
        raise BadInput(f"profile {profile!r}: {error.message}", hint=error.hint) from error


def find_profile(name: str, own: tuple[ProfileSettings, ...]) -> Profile:
    """Return a profile by its name; BadInput, with the names there are, if there is none."""
    for settings in own:
        if settings.name == name:
            return build_own(settings)
    if name not in PROFILES:
        names = ", ".join((*PROFILES, *(settings.name for settings in own)))
        raise BadInput(f"there is no routing profile {name!r}", hint=f"there are: {names}")
    return PROFILES[name]


def validate_profiles(own: tuple[ProfileSettings, ...]) -> None:
    """Raise BadInput unless each has a name of its own and makes a profile."""
    names = [*PROFILES, *(settings.name for settings in own)]
    for settings in own:
        if not settings.name or names.count(settings.name) > 1:
            raise BadInput(
                f"profile {settings.name!r} appears twice, is one of those shipped or is empty",
                hint="name each once",
            )
        build_own(settings)
