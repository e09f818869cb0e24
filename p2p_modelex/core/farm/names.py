"""Which farm a name means. Anyone may call a farm anything; only its id is its own."""

import difflib
from collections.abc import Iterable, Sequence

NAMES_SHOWN = 3
IDS_SHOWN = 8


def explain_farm(farm: str, ids: Sequence[str], names: Iterable[str]) -> str:
    """Say why `farm`, a name or an id, means none or several; empty if it means one (RTE-27).

    ids: of the farms that are called so. names: all there are.
    """
    if len(ids) == 1:
        return ""
    if ids:
        shown = ", ".join(f"farm:{one}" for one in ids[:IDS_SHOWN])
        return f"RTE-27: {len(ids)} farms are called {farm}; say which by its id: {shown}"
    known = list(names)
    near = difflib.get_close_matches(farm, known, NAMES_SHOWN, cutoff=0.5)
    shown = ", ".join(near or known[:NAMES_SHOWN]) or "none"
    return (
        f"RTE-27: nobody sells through farm {farm}; {'nearest' if near else 'there are'}: {shown}"
    )
