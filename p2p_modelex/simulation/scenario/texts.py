"""The files that a researcher writes: text, and no more of it than is expected."""

from pathlib import Path

from p2p_modelex.errors import BadInput


def read_text(path: Path, limit: int, *, hint: str, what: str = "") -> str:
    """Return a file's text. BadInput if it cannot be read, is over `limit` bytes or not UTF-8.

    what: the kind of file, as errors name it. hint: what to do where it cannot be read.
    """
    name = f"{what} {path}".lstrip()
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror}", hint=hint) from error
    if len(content) > limit:
        raise BadInput(f"{name} is over {limit} bytes", hint="check the path, or cut it into parts")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text", hint="save it as UTF-8") from error
