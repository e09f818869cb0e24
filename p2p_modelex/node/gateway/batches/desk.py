"""`/v1/files` and `/v1/batches`: what they take and show. Everybody sees their own only."""

import secrets
import time
from collections.abc import Mapping, Sequence

import msgspec
import trio

from p2p_modelex.node.gateway.asking import decode
from p2p_modelex.node.gateway.batches.cabinet import (
    FILES_MAX,
    UNFINISHED_MAX,
    BatchCard,
    Cabinet,
    FileCard,
)
from p2p_modelex.node.gateway.batches.form import read_form
from p2p_modelex.node.gateway.batches.paging import L, Page, cut, read_page
from p2p_modelex.node.gateway.batches.running import Batches, Run, read_lines
from p2p_modelex.node.gateway.batches.shapes import (
    Batch,
    BatchList,
    BatchRequest,
    Counts,
    FileDeleted,
    FileList,
    FileObject,
)
from p2p_modelex.node.gateway.heads import HttpRequest
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.wire import JSON, Wire

WINDOW_S = 24 * 3600
_CONTENT = (("content-type", "application/octet-stream"),)


class Desk:
    """Takes files and batches in, and hands them out."""

    def __init__(self, cabinet: Cabinet, run: Run) -> None:
        self._cabinet = cabinet
        self.batches = Batches(cabinet, run)

    async def load(self) -> None:
        """Read what there is; call once, first. Raises OSError."""
        await trio.to_thread.run_sync(self._cabinet.load)

    async def answer(self, request: HttpRequest, owner: str, wire: Wire) -> None:
        """Answer a request for what is `owner`'s. Raises Refusal."""
        try:
            await self._answer(request, owner, wire)
        except OSError as error:
            raise Refusal(503, "storage", f"the gateway's disk: {error.strerror}") from error

    async def _answer(self, request: HttpRequest, owner: str, wire: Wire) -> None:
        _, _, kind, *rest = request.path.split("/")
        match request.method, kind, rest:
            case "GET", "files", [name, "content"]:
                await wire.respond(200, _CONTENT, await self._read(name, owner))
                return
            case "POST", "files", []:
                shown: msgspec.Struct = await self._take(request, owner)
            case "GET", "files", []:
                shown = self._list_files(request.query, owner)
            case "GET", "files", [name]:
                shown = self._find_file(name, owner).file
            case "DELETE", "files", [name]:
                shown = await self._remove(name, owner)
            case "POST", "batches", []:
                shown = await self._begin(request, owner)
            case "GET", "batches", []:
                shown = self._list_batches(request.query, owner)
            case "GET", "batches", [name]:
                shown = self._find_batch(name, owner).batch
            case "POST", "batches", [name, "cancel"]:
                await self.batches.cancel(self._find_batch(name, owner).batch.id)
                shown = self._find_batch(name, owner).batch
            case _:
                is_known = kind in ("files", "batches") and len(rest) < 2
                status, code = (405, "wrong_method") if is_known else (404, "unknown_path")
                message = f"there is no {request.method[:20]} {request.path[:80]}"
                raise Refusal(status, code, message)
        await wire.respond(200, JSON, msgspec.json.encode(shown))

    async def _take(self, request: HttpRequest, owner: str) -> FileObject:
        form = read_form(request.headers.get("content-type", ""), request.body)
        if "file" not in form or "purpose" not in form:
            raise Refusal(400, "invalid_value", "a form has the fields file and purpose")
        purpose = form["purpose"].content
        if purpose != b"batch":
            message = "files are for batches only: purpose is batch"
            raise Refusal(400, "unsupported", message, param="purpose")
        self._check_room()
        file = FileObject(
            id=f"file-{secrets.token_hex(12)}",
            bytes=len(form["file"].content),
            created_at=int(time.time()),
            filename=form["file"].filename,
            purpose="batch",
        )
        await self._cabinet.keep_file(FileCard(owner, file), form["file"].content)
        return file

    async def _read(self, name: str, owner: str) -> bytes:
        return await self._cabinet.read(self._find_file(name, owner).file.id)

    async def _remove(self, name: str, owner: str) -> FileDeleted:
        self._find_file(name, owner)
        for card in self._cabinet.batches.values():
            if card.batch.input_file_id == name and not card.is_over:
                message = f"{card.batch.id} still reads it; cancel that first"
                raise Refusal(400, "in_use", message)
        await self._cabinet.remove_file(name)
        return FileDeleted(name)

    async def _begin(self, request: HttpRequest, owner: str) -> Batch:
        asked = decode(BatchRequest, request.body)
        card = self._find_file(asked.input_file_id, owner)
        lines = read_lines(await self._cabinet.read(card.file.id), asked.endpoint)
        unfinished = sum(not one.is_over for one in self._cabinet.batches.values())
        if unfinished >= UNFINISHED_MAX:
            message = f"{unfinished} batches are under way already"
            raise Refusal(429, "too_many_batches", message)
        self._check_room()
        now = int(time.time())
        batch = Batch(
            id=f"batch_{secrets.token_hex(12)}",
            endpoint=asked.endpoint,
            input_file_id=card.file.id,
            completion_window=asked.completion_window,
            created_at=now,
            in_progress_at=now,
            expires_at=now + WINDOW_S,
            request_counts=Counts(len(lines)),
            metadata=asked.metadata,
        )
        await self.batches.begin(BatchCard(owner, batch))
        return batch

    def _check_room(self) -> None:
        if not self._cabinet.has_room:
            raise Refusal(400, "too_many_files", "there is no room for more files; delete some")

    def _list_files(self, query: Mapping[str, str], owner: str) -> FileList:
        purpose = query.get("purpose")
        mine = [
            card.file
            for card in self._cabinet.files.values()
            if card.owner == owner and purpose in (None, card.file.purpose)
        ]
        return FileList(*_cut(mine, read_page(query, default=FILES_MAX, most=10_000)))

    def _list_batches(self, query: Mapping[str, str], owner: str) -> BatchList:
        mine = [card.batch for card in self._cabinet.batches.values() if card.owner == owner]
        return BatchList(*_cut(mine, read_page(query, default=20, most=100)))

    def _find_file(self, name: str, owner: str) -> FileCard:
        card = self._cabinet.files.get(name)
        if card is None or card.owner != owner:
            raise Refusal(404, "file_not_found", f"there is no file {name[:80]}")
        return card

    def _find_batch(self, name: str, owner: str) -> BatchCard:
        card = self._cabinet.batches.get(name)
        if card is None or card.owner != owner:
            raise Refusal(404, "batch_not_found", f"there is no batch {name[:80]}")
        return card


def _cut(items: Sequence[L], page: Page) -> tuple[list[L], bool, str | None, str | None]:
    """Return the fields of a list's answer."""
    shown, has_more = cut(items, page)
    return shown, has_more, shown[0].id if shown else None, shown[-1].id if shown else None
