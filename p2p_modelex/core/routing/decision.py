"""Why a request goes where it goes: everything that the router looked at."""

from dataclasses import dataclass

from p2p_modelex.core.routing.picking import Scored


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice, explained.

    seen: offers looked at. removed: (rule, name, how many) of each filter that took some. scorers:
    the names that the scores are in the order of. ranked: in the order of trying, of which the
    first `listed` were compared by the picker. why: why the first is the first; why none is left if
    there is none.
    """

    profile: str
    picker: str
    seen: int
    removed: tuple[tuple[str, str, int], ...]
    scorers: tuple[str, ...]
    ranked: tuple[Scored, ...]
    listed: int
    why: str
