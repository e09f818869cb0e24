"""Writes the vectors of protocols/records: `python -m tests.records.make_vectors`.

Run it when a format changes on purpose, and read the difference before committing it.
"""

import json
from pathlib import Path
from typing import Any

from tests.records import eip712_vectors, envelope_vectors, wire_vectors

VECTORS = Path(__file__).parents[2] / "protocols" / "records" / "vectors"
BUILDERS = {
    "eip712": eip712_vectors.build,
    "envelope": envelope_vectors.build_envelopes,
    "ownership": envelope_vectors.build_ownerships,
    "wire": wire_vectors.build,
}


def render(content: dict[str, Any]) -> str:
    """Return the text of a vector file: indented, ASCII, ending in a newline."""
    return json.dumps(content, indent=2, ensure_ascii=True) + "\n"


def main() -> None:
    """Write every file."""
    for name, build in BUILDERS.items():
        (VECTORS / f"{name}.json").write_text(render(build()), encoding="ascii")


if __name__ == "__main__":
    main()
