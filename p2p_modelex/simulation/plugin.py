"""What a plug-in says, by decorators: behaviours, gossipers, policies, measures and checkers.

    from p2p_modelex.simulation.plugin import behaviour

    @behaviour("hoarder")
    def hoard(life, effect): ...

A scenario uses it by its name once the file is loaded (scenario/plugins.py); docs/simulation.md has
a walk. What a program registers itself is there for all its runs.
"""

import inspect
import math
import traceback
from collections.abc import Callable, Container, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from p2p_modelex.core import effects as fx
from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.profile import FILTERS, PICKERS, PROFILES, Profile, build_profile
from p2p_modelex.core.routing.scorers import SCORERS
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS
from p2p_modelex.simulation.models.gossip import Router, Rpc
from p2p_modelex.simulation.scenario.settings import Engine
from p2p_modelex.simulation.scenario.tables import PRICING_POLICIES, Pricing
from p2p_modelex.units import AI

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life
    from p2p_modelex.simulation.opening import Run

_Function = TypeVar("_Function", bound=Callable[..., Any])

NAME_CHARACTERS = 64
WEIGHT_MAX = 1000
"""Of a scorer in a profile."""
SIGNATURES = {
    "behaviour": ("life", "effect"),
    "gossiper": ("router", "peer", "rpc", "now"),
    "scorer": ("candidates", "want", "sight"),
    "profile": (),
    "pricing": ("life", "engine", "pricing"),
    "measure": ("run",),
    "checker": ("run",),
}
"""What a function of each kind is called with."""

ROUTING: dict[str, Profile] = dict(PROFILES)
"""Routing policies by the name that a population gives."""
GOSSIP: dict[str, Callable[[Router, PeerId, Rpc, int], Rpc | None]] = {}
"""How routers of plug-ins gossip, by name."""
PRICING: dict[str, Callable[["Life", Engine, Pricing], int]] = {}
"""Pricing policies of plug-ins, by name."""
PRICE_MAX = 10**6 * AI
"""For 1,000 tokens: a price that no budget bears is a mistake."""
_TAKEN: dict[str, Container[str]] = {
    "behaviour": BEHAVIOURS,
    "gossiper": GOSSIPERS,
    "profile": ROUTING,
    "pricing": PRICING_POLICIES,
}
"""The names that the package itself has of a kind."""


class WrongAnswer(ValueError):
    """What a plug-in returned is not what was asked for. place: its file, line and function."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True, slots=True)
class Plugged:
    """One function of a plug-in. owner: the file it came from; None for a program's own."""

    name: str
    function: Callable[..., Any]
    owner: str | None

    @property
    def place(self) -> str:
        """File, line and function, for messages."""
        code = self.function.__code__
        return f"plug-in {code.co_filename}, line {code.co_firstlineno}, {code.co_qualname}"


loading: ContextVar[str | None] = ContextVar("loading", default=None)
"""The file whose text runs now."""
_PLUGGED: dict[tuple[str, str], Plugged] = {}


def behaviour(name: str) -> Callable[[_Function], _Function]:
    """Register an adversary: `function(life, effect)` returns what happens in place of an effect of
    a core, None for nothing. BadInput if it cannot be called so, or the name is taken.
    """
    _validate_name("behaviour", name)

    def register(function: _Function) -> _Function:
        plugged = _plug("behaviour", name, function)

        def act(life: "Life", effect: fx.Effect) -> fx.Effect | None:
            found = function(life, effect)
            if found is not None and not isinstance(found, fx.Effect):
                message = f"it returned {found!r:.80}, which is no effect and not None"
                raise WrongAnswer(plugged.place, message)
            return found

        BEHAVIOURS[name] = act
        return function

    return register


def gossiper(name: str) -> Callable[[_Function], _Function]:
    """Register an adversary among routers alone: `function(router, peer, rpc, now)` returns what
    goes to a neighbour in place of an Rpc, None for nothing; now is in microseconds.
    """
    _validate_name("gossiper", name)

    def register(function: _Function) -> _Function:
        plugged = _plug("gossiper", name, function)

        def act(router: Router, peer: PeerId, rpc: Rpc, now: int) -> Rpc | None:
            found = function(router, peer, rpc, now)
            if found is not None and not isinstance(found, Rpc):
                message = f"it returned {found!r:.80}, which is no Rpc and not None"
                raise WrongAnswer(plugged.place, message)
            return found

        GOSSIP[name] = act
        return function

    return register


def scorer(
    name: str, *, picker: str = "power_of_d", weight: int = 1, beside: dict[str, int] | None = None
) -> Callable[[_Function], _Function]:
    """Register a routing policy by how it scores: `function(candidates, want, sight)` returns a
    number in [0, 1] for each candidate.

    The policy has all filters, this scorer with its weight, those of core/routing/scorers.py that
    `beside` weighs, and the picker. BadInput as for the others, and for what there is not.
    """
    _validate_name("scorer", name)

    def register(function: _Function) -> _Function:
        if picker not in PICKERS:
            raise BadInput(f"no picker {picker!r}", hint="known: " + ", ".join(PICKERS))
        if not 1 <= weight <= WEIGHT_MAX:
            raise BadInput(f"a weight of {weight}", hint=f"1 to {WEIGHT_MAX}")
        for other in beside or {}:
            if other not in SCORERS:
                raise BadInput(f"no scorer {other!r}", hint="known: " + ", ".join(SCORERS))
        scoring = _Scorer(name, _plug("scorer", name, function))
        # A profile must weigh something by itself; the plug-in's scorer stands in front of those.
        like = build_profile(name, picker, beside or {"price": 1})
        others = like.scorers if beside else ()
        ROUTING[name] = Profile(name, FILTERS, ((scoring, weight), *others), like.picker)
        return function

    return register


def profile(name: str) -> Callable[[_Function], _Function]:
    """Register a routing policy whole: `function()` returns a core.routing.profile.Profile."""
    _validate_name("profile", name)

    def register(function: _Function) -> _Function:
        plugged = _plug("profile", name, function)
        found = function()
        if not isinstance(found, Profile):
            raise BadInput(f"{plugged.place}: it returned no Profile", hint="build_profile(...)")
        ROUTING[name] = found
        return function

    return register


def pricing(name: str) -> Callable[[_Function], _Function]:
    """Register a pricing policy: `function(life, engine, pricing)` returns what a provider asks for
    1,000 completion tokens from now on, in wei, of its engine and its table in the scenario. It
    never sells under the table's cost.
    """
    _validate_name("pricing", name)

    def register(function: _Function) -> _Function:
        plugged = _plug("pricing", name, function)

        def ask(life: "Life", engine: Engine, table: Pricing) -> int:
            price = function(life, engine, table)
            if not isinstance(price, int) or not 0 <= price <= PRICE_MAX:
                message = f"it asks {price!r:.80}: no whole number of wei from 0 to {PRICE_MAX}"
                raise WrongAnswer(plugged.place, message)
            return price

        PRICING[name] = ask
        return function

    return register


def measure(name: str) -> Callable[[_Function], _Function]:
    """Register a measure: `function(run)` returns a number, asked once when a run ends."""
    _validate_name("measure", name)

    def register(function: _Function) -> _Function:
        _plug("measure", name, function)
        return function

    return register


def checker(name: str) -> Callable[[_Function], _Function]:
    """Register a checker: `function(run)` returns what is wrong, or None; asked at each sample."""
    _validate_name("checker", name)

    def register(function: _Function) -> _Function:
        _plug("checker", name, function)
        return function

    return register


def _validate_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
        raise BadInput(f"{name!r:.80} is no name", hint=f'@{kind}("a-name")')


def _plug(kind: str, name: str, function: Callable[..., Any]) -> Plugged:
    """Keep a function of a kind; what the same file registered before is replaced."""
    wanted = f"def {getattr(function, '__name__', 'it')}({', '.join(SIGNATURES[kind])})"
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise BadInput(f"{kind} {name!r} is no plain function", hint=f"write {wanted}")
    plugged = Plugged(name, function, loading.get())
    try:
        inspect.signature(function).bind(*SIGNATURES[kind])
    except TypeError as error:
        said = f"{plugged.place}{inspect.signature(function)} does not fit a {kind}: {error}"
        raise BadInput(said, hint=f"write {wanted}") from error
    table = "profile" if kind in ("scorer", "profile") else kind
    known = _PLUGGED.get((table, name))
    if (known is not None and known.owner != plugged.owner) or (
        known is None and name in _TAKEN.get(table, ())
    ):
        by = "the package" if known is None else known.place
        raise BadInput(f"{plugged.place}: {name!r} is a {kind} of {by}", hint="another name")
    _PLUGGED[table, name] = plugged
    return plugged


@dataclass
class _Scorer:
    """A plug-in's function as core/routing has scorers."""

    name: str
    plugged: Plugged
    rule: str = "plug-in"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return what the function says, if it is a number in [0, 1] for each."""
        if not candidates:
            return []
        found = list(self.plugged.function(candidates, want, sight))
        good = all(isinstance(one, int | float) and 0 <= one <= 1 for one in found)
        if len(found) != len(candidates) or not good:
            message = f"{len(candidates)} candidates, and it scores {found!r:.80}: not 0 to 1 each"
            raise WrongAnswer(self.plugged.place, message)
        return found


def _find(kind: str, owners: Sequence[str]) -> list[Plugged]:
    return [
        one
        for (kept, _), one in _PLUGGED.items()
        if kept == kind and (one.owner is None or one.owner in owners)
    ]


def list_plugged(kind: str, owners: Sequence[str]) -> list[str]:
    """Return the names of a kind that these files register, or a program itself."""
    return [one.name for one in _find(kind, owners)]


def take_measures(run: "Run", own: Container[str]) -> dict[str, float]:
    """Return the measures of a run's plug-ins. WrongAnswer if one is not a finite number, or named
    as one of the run's own.
    """
    found = {}
    for one in _find("measure", run.scenario.plugin.files):
        if one.name in own:
            raise WrongAnswer(one.place, f"a run has a measure {one.name!r} of its own")
        value = one.function(run)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise WrongAnswer(one.place, f"it measured {value!r:.80}, which is no finite number")
        found[one.name] = value
    return found


def find_wrong(run: "Run") -> str:
    """Return what the first of a run's checkers finds wrong, empty if none does."""
    for one in _find("checker", run.scenario.plugin.files):
        wrong = one.function(run)
        if wrong is not None:
            return f"{one.name} ({one.place}): {wrong}"
    return ""


def find_place(error: BaseException) -> str:
    """Say where an error was raised: in the line of a plug-in that led to it, if one did."""
    if isinstance(error, WrongAnswer):
        return error.place
    files = {one.function.__code__.co_filename for one in _PLUGGED.values()}
    at, found = "a node", ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        at = code.co_qualname
        if code.co_filename in files:
            found = f"plug-in {code.co_filename}, line {line}, {at}"
    return found or at
