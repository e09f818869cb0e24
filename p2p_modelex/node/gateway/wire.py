"""The way back to whoever asked over HTTP: answers, whole or in pieces, framed and sent."""

import os
from collections.abc import Awaitable, Callable, Sequence

import h11
import trio

from p2p_modelex.node.gateway.refusal import Refusal

SEND_S = 30.0
"""Whoever does not read for this long is taken to have gone."""

# What sending may end with: the other side broke off, or stopped reading.
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)

Headers = Sequence[tuple[str, str]]
JSON: Headers = (("content-type", "application/json"),)
EVENTS: Headers = (("content-type", "text/event-stream"), ("cache-control", "no-store"))


class Wire:
    """The way back to whoever asked: `respond` once, or `begin`, `send` any number, `end`.

    None of these raises: once the other side has gone, which `is_gone` says and `on_gone` is
    called for, they do nothing.
    """

    def __init__(self, stream: trio.SocketStream, state: h11.Connection) -> None:
        self._stream = stream
        self._state = state
        self.is_gone = False
        self.is_begun = False
        self.is_bodiless = False
        """Answers have a head only, as those to HEAD."""
        self.on_gone: Callable[[], Awaitable[None]] | None = None

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer whole."""
        head = [*headers, ("content-length", str(len(body)))]
        await self._write(
            h11.Response(status_code=status, headers=head),
            h11.Data(data=b"" if self.is_bodiless else body),
            h11.EndOfMessage(),
        )

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with an error."""
        await self.respond(refusal.status, [*JSON, *refusal.headers], refusal.body)

    async def invite(self) -> None:
        """Ask for the body of a request that waits to be asked (`Expect: 100-continue`)."""
        await self._write(h11.InformationalResponse(status_code=100, headers=[]))

    async def begin(self, headers: Headers, first: bytes) -> None:
        """Answer 200 with a body that comes in pieces, of which this is the first."""
        self.is_begun = True
        await self._write(h11.Response(status_code=200, headers=[*headers]), h11.Data(data=first))

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body."""
        if piece and self._state.their_http_version == b"1.1":
            # What h11 writes, and its states are the same before and after: to ask it was a tenth
            # of a token's calls.
            await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            await self._write(h11.Data(data=piece))

    async def end(self, last: bytes) -> None:
        """Send the last piece."""
        await self._write(h11.Data(data=last), h11.EndOfMessage())

    async def leave(self) -> None:
        """The other side has gone."""
        if not self.is_gone:
            self.is_gone = True
            if self.on_gone is not None:
                await self.on_gone()

    async def _write(self, *parts: h11.Event | bytes) -> None:
        """Send events, and what is framed already."""
        if self.is_gone:
            return
        await trio.lowlevel.checkpoint_if_cancelled()
        whole = b"".join([self._frame(part) for part in parts])
        try:
            # Almost always the socket takes it all: no deadline is set then, and no task switch
            # made, which for a token are half of what sending costs. What makes tokens waits.
            sent = self._send_nowait(whole)
            if sent < len(whole):
                with trio.fail_after(SEND_S):
                    await self._stream.send_all(whole[sent:])
        except BROKEN:
            await self.leave()

    def _frame(self, part: h11.Event | bytes) -> bytes:
        return part if isinstance(part, bytes) else self._state.send(part) or b""

    def _send_nowait(self, whole: bytes) -> int:
        """Send what the socket takes at once; returns how much that was."""
        try:
            return os.write(self._stream.socket.fileno(), whole)
        except BlockingIOError:
            return 0
        except OSError as error:  # also if it is closed here, which has the number -1
            raise trio.BrokenResourceError from error
