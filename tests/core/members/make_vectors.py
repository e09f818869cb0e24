"""Builds protocols/members/vectors: `python -m tests.core.members.make_vectors` writes them."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[3] / "protocols" / "members" / "vectors" / "lines.json"


def build_lines() -> dict[str, Any]:
    """The whole file; the numbers are worked out by hand."""
    return {
        "format": "members-lines/1",
        "rules": ["MEM-5", "MEM-7", "MEM-8", "MEM-9"],
        "parts": [
            part("a third, rounded down", 100, 3333, 33),
            part("all", 10**27, 10_000, 10**27),
            part("too little to share", 9_999, 1, 0),
        ],
        "lends": [
            lend("half of what can be spared", (0, 0), (0, 10, 0), (100, 0), (50, 0)),
            lend("what is wanted, if that is more", (0, 0), (0, 70, 0), (100, 0), (70, 0)),
            lend("no more than can be spared", (0, 0), (0, 170, 0), (100, 0), (100, 0)),
            lend("on top of before", (40, 0), (40, 70, 0), (100, 0), (110, 0)),
            lend("nothing to spare", (40, 0), (40, 70, 0), (0, 0), (40, 0)),
            lend("nothing is wanted", (40, 0), (40, 0, 0), (100, 0), (40, 0)),
            lend("a grant was lost", (40, 0), (39, 70, 0), (100, 0), (40, 0)),
            lend("the asker has seen a split", (40, 0), (80, 7, 1), (100, 0), (180, 1)),
            lend("and lost a grant", (40, 0), (79, 7, 1), (100, 0), (80, 1)),
            lend("the giver has seen a split", (80, 1), (40, 7, 0), (100, 1), (130, 1)),
        ],
        "takes": [
            take("the first", (0, 0), (30, 0), (30, 0)),
            take("more", (30, 0), (31, 0), (31, 0)),
            take("again", (31, 0), (31, 0), (31, 0)),
            take("late", (31, 0), (30, 0), (31, 0)),
            take("after a split", (31, 0), (63, 1), (63, 1)),
            take("the same after a split", (31, 0), (62, 1), (31, 0)),
            take("late, of before a split", (63, 1), (31, 0), (63, 1)),
        ],
    }


def part(name: str, deposit: int, weight: int, wei: int) -> dict[str, Any]:
    return {"deposit": str(deposit), "name": name, "part": str(wei), "weight": weight}


def lend(
    name: str,
    gave: tuple[int, int],
    asked: tuple[int, int, int],
    spare: tuple[int, int],
    given: tuple[int, int],
) -> dict[str, Any]:
    have, want, epoch = asked
    return {
        "askEpoch": epoch,
        "gaveBefore": str(gave[0]),
        "gaveEpoch": gave[1],
        "given": str(given[0]),
        "givenEpoch": given[1],
        "have": str(have),
        "name": name,
        "spare": str(spare[0]),
        "spareEpoch": spare[1],
        "want": str(want),
    }


def take(
    name: str, took: tuple[int, int], told: tuple[int, int], taken: tuple[int, int]
) -> dict[str, Any]:
    return {
        "name": name,
        "taken": str(taken[0]),
        "takenEpoch": taken[1],
        "told": str(told[0]),
        "toldEpoch": told[1],
        "tookBefore": str(took[0]),
        "tookEpoch": took[1],
    }


def render() -> str:
    return json.dumps(build_lines(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
