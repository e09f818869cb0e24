"""Fill corpus/: from the vectors of protocols/, and from what the fuzzer has learnt in work/.

`python -m tests.fuzz.seeds` after a long run. Keeps at most FILES_MAX of BYTES_MAX each.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.records import codec
from tests.fuzz import places
from tests.fuzz.targets.codec import KINDS, LIMIT

FILES_MAX = 16
BYTES_MAX = 1024
_VECTORS = places.ROOT / "protocols"


def main() -> None:
    for name in sys.argv[1:] or places.target_names():
        learnt = _read(places.WORK / name) or _read(places.CORPUS / name)
        seeds = _spread(sorted(learnt, key=lambda content: (len(content), content)))
        if name == "codec":
            seeds |= set(_build_vectors())
        _write(places.CORPUS / name, seeds)
        sys.stdout.write(f"{name}: {len(seeds)} files\n")


def _read(folder: Path) -> set[bytes]:
    """Whatever is in `work` reached something new when it was found."""
    files = folder.iterdir() if folder.is_dir() else ()
    return {file.read_bytes() for file in files if file.stat().st_size <= BYTES_MAX}


def _spread(contents: list[bytes]) -> set[bytes]:
    """Of all sizes: the shortest alone would miss what is deep."""
    count = min(FILES_MAX, len(contents))
    return {contents[at * len(contents) // count] for at in range(count)}


def _write(folder: Path, seeds: set[bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for content in seeds:
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def _build_vectors() -> Iterator[bytes]:
    """The vectors' good messages, each for its own type and as it is."""
    for message in sorted({bytes.fromhex(text) for text in _find_hex()}):
        for number, kind in enumerate(KINDS):
            with suppress(RemoteProtocolError):
                codec.decode(kind, message, limit=LIMIT)
                if len(message) <= BYTES_MAX:
                    yield bytes([number, 0]) + message


def _find_hex() -> Iterator[str]:
    for file in sorted(_VECTORS.glob("*/vectors/*.json")):
        yield from _texts(json.loads(file.read_text(encoding="ascii")))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str) and len(value) > 8 and len(value) % 2 == 0:
        text = value.removeprefix("0x")
        if all(digit in "0123456789abcdef" for digit in text):
            yield text


if __name__ == "__main__":
    main()
