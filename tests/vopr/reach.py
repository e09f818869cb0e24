"""What random worlds reach: the options drawn; rules, messages, refusals and blame of the cores.

A table at the end shows what they never reach, which is where the next option should lead.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, get_args
from unittest.mock import patch

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core import verdict
from p2p_modelex.errors import ModelexError
from p2p_modelex.ids import PeerId
from p2p_modelex.net.reputation import OFFENCES
from p2p_modelex.records.job import Failed, FailureCode, RefusalCode, Refused
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS
from p2p_modelex.simulation.models.gossip import Message
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.observer import Observer
from p2p_modelex.simulation.opening import Run
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.options import OPTIONS
from p2p_modelex.simulation.scenario.tables import FAULT_KINDS, Scenario
from p2p_modelex.simulation.scenario.writing import find_changed
from tests.tidy.test_rules import headed
from tests.tidy.tree import PACKAGE, RULE, read, under

_NAMED = re.compile(rf'(?<!")"({RULE.pattern})')
_TAG_AT = 1
_NO = {Refused.__struct_config__.tag: Refused, Failed.__struct_config__.tag: Failed}
_REPLACED = ("ignore", "reject")


def list_rules() -> list[str]:
    """The rules that cores name when they drop something or refuse it."""
    folders = (PACKAGE / "core", PACKAGE / "records")
    code = "".join(read(path) for folder in folders for path in under(folder, ".py"))
    return sorted(set(headed()) & set(_NAMED.findall(code)))


class Reach:
    """Counts over many worlds, each thing by its kind and name."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        for kind, names in self._list_all().items():
            self._counts[kind] = Counter(dict.fromkeys(names, 0))

    def _list_all(self) -> dict[str, list[str]]:
        return {
            **{
                f"worlds with {table.__name__}": sorted(options)
                for table, options in OPTIONS.items()
            },
            "worlds with faults": list(FAULT_KINDS),
            "worlds with behaviours": [*BEHAVIOURS, *GOSSIPERS],
            "rules": list_rules(),
            "effects": [kind.__name__ for kind in get_args(fx.Effect)],
            "inputs": [kind.__name__ for kind in get_args(inp.Input)],
            "what buyers hear": [kind.__name__ for kind in get_args(fx.RunEvent)],
            "what runs fail by": [],
            "refusals": list(get_args(RefusalCode)),
            "failures": list(get_args(FailureCode)),
            "offences": list(OFFENCES),
        }

    def note(self, kind: str, name: str) -> None:
        self._counts[kind][name] += 1

    def note_scenario(self, scenario: Scenario) -> None:
        """Count each option once for a world, however often it was drawn there."""
        seen: dict[tuple[str, str], None] = {}
        _collect(scenario, seen)
        for table, field in seen:
            kind = f"worlds with {table}"
            if field in self._counts.get(kind, ()):
                self.note(kind, field)
        for fault in dict.fromkeys(fault.kind for fault in scenario.fault):
            self.note("worlds with faults", fault)
        for behaviour in dict.fromkeys(one.behaviour for one in scenario.population):
            self.note("worlds with behaviours", behaviour)

    def note_rules(self, text: str) -> None:
        for rule in RULE.findall(text):
            if rule in self._counts["rules"]:
                self.note("rules", rule)

    @contextmanager
    def watching(self, run: Run) -> Iterator[None]:
        """Count what the nodes of a run do, from before its first event."""
        if isinstance(run, Simulation):
            run.world._observer = _Watch(run.world._observer, self)
        places = [
            (module, name) for name in _REPLACED for module in _find_users(getattr(verdict, name))
        ]
        raised = ModelexError.__init__

        def count(error: ModelexError, message: str, **rest: Any) -> None:
            self.note_rules(message)
            raised(error, message, **rest)

        with patch.object(ModelexError, "__init__", count):
            before = [(module, name, getattr(module, name)) for module, name in places]
            for module, name, judge in before:
                setattr(module, name, self._count_verdicts(judge))
            try:
                yield
            finally:
                for module, name, judge in before:
                    setattr(module, name, judge)

    def _count_verdicts(self, judge: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(judge)
        def counted(rule: str, *rest: Any, **options: Any) -> Any:
            self.note_rules(rule)
            return judge(rule, *rest, **options)

        return counted

    def tell(self) -> Iterator[str]:
        """Say how often each was reached, and what never was."""
        for kind, counts in self._counts.items():
            reached = [f"{name} {count:,}" for name, count in counts.most_common() if count]
            never = [name for name, count in counts.items() if not count]
            yield f"{kind}: {', '.join(reached) or 'none'}"
            if never:
                yield f"  never: {', '.join(never)}"


def _collect(table: msgspec.Struct, seen: dict[tuple[str, str], None]) -> None:
    for name, value in find_changed(table):
        seen[type(table).__name__, name] = None
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, msgspec.Struct):
                _collect(inner, seen)


def _find_users(function: Callable[..., Any]) -> list[Any]:
    name = function.__name__
    return [
        module
        for path, module in sorted(sys.modules.items())
        if path.startswith("p2p_modelex.") and getattr(module, name, None) is function
    ]


class _Watch:
    """Counts, and passes on to whoever watched before."""

    def __init__(self, before: Observer, reach: Reach) -> None:
        self._before = before
        self._reach = reach

    def on_input(self, life: Life, happened: inp.Input) -> None:
        self._reach.note("inputs", type(happened).__name__)
        self._before.on_input(life, happened)

    def on_effect(self, life: Life, effect: fx.Effect, at: int) -> None:
        self._reach.note("effects", type(effect).__name__)
        match effect:
            case fx.Send() if life.speaks_exchange(effect.stream):
                self._on_sent(effect.payload)
            case fx.Penalize():
                self._reach.note("offences", effect.offence)
                self._reach.note_rules(effect.reason)
            case fx.Emit():
                self._reach.note("what buyers hear", type(effect.event).__name__)
                if isinstance(effect.event, fx.RunFailed):
                    self._reach.note("what runs fail by", effect.event.code)
                    self._reach.note_rules(effect.event.reason)
        self._before.on_effect(life, effect, at)

    def _on_sent(self, payload: bytes) -> None:
        kind = _NO.get(payload[_TAG_AT]) if len(payload) > _TAG_AT else None
        if kind is not None:
            try:
                said = msgspec.msgpack.decode(payload, type=kind)
            except (msgspec.MsgspecError, ValueError):  # a liar's need not be whole, nor text
                return
            self._reach.note("refusals" if kind is Refused else "failures", said.code)
            self._reach.note_rules(said.reason)

    def on_rows(self, life: Life, rows: Any) -> None:
        self._before.on_rows(life, rows)

    def on_ban(self, life: Life, peer: PeerId) -> None:
        self._before.on_ban(life, peer)

    def on_gossip(self, life: Life, message: Message) -> None:
        self._before.on_gossip(life, message)
