"""Fill corpus/: from the vectors of protocols/, and the best of what the fuzzer has learnt.

`python -m tests.fuzz.seeds` after a long run; needs atheris. Keeps at most FILES_MAX of BYTES_MAX.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz import places

FILES_MAX = 60
BYTES_MAX = 1024
_VECTORS = places.ROOT / "protocols"


def main() -> None:
    for name in sys.argv[1:] or places.target_names():
        folder = places.CORPUS / name
        with tempfile.TemporaryDirectory() as merged:
            sources = [places.WORK / name, folder, *_write_vectors(name, Path(merged, "vectors"))]
            best = Path(merged, "best")
            best.mkdir()
            _merge(name, best, [str(one) for one in sources if one.is_dir()])
            _replace(folder, sorted(best.iterdir(), key=lambda file: file.stat().st_size))
        sys.stdout.write(f"{name}: {len(list(folder.iterdir()))} files\n")


def _merge(name: str, best: Path, sources: list[str]) -> None:
    command = [sys.executable, "-m", "tests.fuzz.drive", name, "-merge=1", str(best), *sources]
    subprocess.run(command, cwd=places.ROOT, check=True, capture_output=True)


def _replace(folder: Path, files: list[Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    small = [file.read_bytes() for file in files if file.stat().st_size <= BYTES_MAX]
    # Spread over the sizes: the shortest inputs alone would miss what is deep.
    step = max(1.0, len(small) / FILES_MAX)
    for content in {small[int(i * step)] for i in range(min(FILES_MAX, len(small)))}:
        name = hashlib.sha256(content).hexdigest()[:16]
        (folder / name).write_bytes(content)


def _write_vectors(name: str, folder: Path) -> list[Path]:
    """The vectors' messages, for the target that takes messages as they are."""
    if name != "codec":
        return []
    from tests.fuzz.targets.codec import KINDS

    folder.mkdir()
    messages = {bytes.fromhex(text) for text in _find_hex()}
    for number, message in enumerate(sorted(messages, key=len)):
        for kind in range(len(KINDS)):
            (folder / f"{number}-{kind}").write_bytes(bytes([kind, 0]) + message)
    return [folder]


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
