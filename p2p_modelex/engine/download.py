"""Fetch a file over HTTP, going on where an earlier try was cut off."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import trio

from p2p_modelex.engine.catalogue import check_room, storing
from p2p_modelex.errors import BadInput, ModelRejected, NetworkError

Progress = Callable[[int, int], None]
"""Told how many bytes are here and how many there will be (0: not known)."""

FILE_BYTES_MAX = 64 * 2**30
TRIES_MAX = 5
_TIMEOUT = httpx.Timeout(30.0)
PAUSE_FIRST_S = 0.5
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


async def download(url: str, target: Path, *, on_progress: Progress = lambda *_: None) -> None:
    """Fetch `url` into `target`, which must not exist; an unfinished one is kept beside it.

    The unfinished file and the server's tag for it (ETag) stay as `.part` and `.tag`; a later
    call asks only for the rest, and starts over if the server has another version. Raises
    NetworkError after TRIES_MAX tries, ModelRejected if the answer is too large, StoreError if
    the disk is full, BadInput for another scheme than http and https.
    """
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"not an http or https address: {url[:200]!r}")
    part = target.with_name(target.name + ".part")
    with storing(target.parent):
        part.touch()
    async with httpx.AsyncClient(follow_redirects=True, timeout=_TIMEOUT) as session:
        for attempt in range(1, TRIES_MAX + 1):
            try:
                await _fetch_rest(session, url, part, on_progress)
                break
            except httpx.HTTPStatusError as error:
                code = error.response.status_code
                if code < 500 or attempt == TRIES_MAX:
                    raise NetworkError(
                        f"{url} answers {code}", hint="Check the address."
                    ) from error
            except httpx.HTTPError as error:
                if attempt == TRIES_MAX:
                    raise NetworkError(
                        f"{url}: {error!r} ({TRIES_MAX} tries)",
                        hint="Run the command again: it goes on where it stopped.",
                    ) from error
            await trio.sleep(PAUSE_FIRST_S * 2 ** (attempt - 1))
    with storing(target.parent):
        part.replace(target)
        _tag_of(part).unlink(missing_ok=True)


def _tag_of(part: Path) -> Path:
    return part.with_suffix(".tag")


async def _fetch_rest(
    session: httpx.AsyncClient, url: str, part: Path, on_progress: Progress
) -> None:
    have = (await trio.Path(part).stat()).st_size
    tag = _tag_of(part).read_text("utf-8") if _tag_of(part).exists() else ""
    # Without a tag nothing says that the rest belongs to the same version.
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have and tag else {}
    headers["Accept-Encoding"] = "identity"  # what is written must be the file, byte for byte
    async with session.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            _tag_of(part).unlink()
            raise httpx.ReadError("the server has no such range; starting over")
        answer.raise_for_status()
        begins, total = _extent(answer)
        if begins not in (0, have):
            raise httpx.ReadError("the server sent another range than asked")
        check_room(part.parent, total - begins)
        with storing(part.parent):
            _remember_tag(part, answer.headers.get("etag", ""))
            await _append(answer, part, begins, total, on_progress)


def _extent(answer: httpx.Response) -> tuple[int, int]:
    """Return where the answer begins and how long the whole file is (0: not known)."""
    begins, total = 0, 0
    if answer.status_code == httpx.codes.PARTIAL_CONTENT:
        match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if match is None:
            raise httpx.ReadError("a partial answer without Content-Range")
        begins, total = int(match[1]), int(match[2])
    elif (length := answer.headers.get("content-length", "")).isdigit():
        total = int(length)
    if total > FILE_BYTES_MAX:
        raise ModelRejected(f"the file has {total} bytes, more than {FILE_BYTES_MAX}")
    return begins, total


def _remember_tag(part: Path, tag: str) -> None:
    # A weak tag (W/...) may stay the same while bytes differ: RFC 9110, 13.1.5.
    if tag and not tag.startswith("W/"):
        _tag_of(part).write_text(tag, "utf-8")
    else:
        _tag_of(part).unlink(missing_ok=True)


async def _append(
    answer: httpx.Response, part: Path, begins: int, total: int, on_progress: Progress
) -> None:
    async with await trio.open_file(part, "r+b") as file:
        await file.truncate(begins)
        await file.seek(begins)
        here = begins
        async for chunk in answer.aiter_raw():
            here += len(chunk)
            if here > FILE_BYTES_MAX:
                raise ModelRejected(f"the file is larger than {FILE_BYTES_MAX} bytes")
            await file.write(chunk)
            on_progress(here, total)
    if total and here != total:
        raise httpx.ReadError(f"{here} of {total} bytes came")
