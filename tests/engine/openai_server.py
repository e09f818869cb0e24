"""A small real server of the OpenAI API on loopback: a MemoryEngine behind HTTP, told to misbehave.

It speaks vLLM's dialect by default, with /tokenize; `ways` replaces the answer at a path.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import h11
import msgspec
import trio

from p2p_modelex.engine.abc import Done, Output, Piece, Started
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.errors import PromptTooLong, Unsupported
from p2p_modelex.node.failures import flattened
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.logprobs import Alternative, TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import (
    MARK,
    Call,
    CallReader,
    Part,
    ToolBox,
    encode_tools,
    join_calls,
)

Send = Callable[[bytes], Awaitable[None]]
Way = Callable[["OpenAiServer", Any, Send], Awaitable[None]]


class OpenAiServer:
    """Serves `engine` as model `m`. running: completions under way. seen: (path, headers, body)."""

    def __init__(self, engine: MemoryEngine, owner: str = "vllm") -> None:
        self.engine = engine
        self.owner = owner
        self.tells_logprobs = self.calls_tools = True
        self.ways: dict[str, Way] = {}
        self.running = 0
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            connection = h11.Connection(h11.SERVER)
            try:
                while await self._serve_one(stream, connection):
                    connection.start_next_cycle()
            except* (trio.BrokenResourceError, h11.RemoteProtocolError):
                pass  # whoever asked has hung up

    async def _serve_one(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        body, head = b"", None
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.ConnectionClosed):
                return False
        assert head is not None
        path = head.target.decode()
        asked = json.loads(body) if body else None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        self.seen.append((path, headers, asked))

        if path in self.ways:
            # As a request may be answered with what is no HTTP, this ends the connection.
            await self.ways[path](self, asked, stream.send_all)
            return False
        if path.endswith("completions"):
            return await self._stream(path, asked, stream, connection)
        status, content = await self._answer(path, asked)
        await stream.send_all(_whole(connection, status, content))
        return True

    async def _answer(self, path: str, asked: Any) -> tuple[int, Any]:
        match path:
            case "/v1/models":
                length = self.engine.info.context_length
                served = {"id": "m", "object": "model", "owned_by": self.owner}
                return 200, {"data": [{**served, "max_model_len": length}]}
            case "/tokenize":
                request = self._read(asked, tokens=1)
                # A tokenizer refuses nothing for its length.
                unbounded = MemoryEngine(context_length=2**31)
                count = await unbounded.count_tokens(request)
                return 200, {"count": count, "max_model_len": 4096}
            case "/v1/embeddings":
                vector = [float(len(asked["input"])), 0.5, -1.0]
                return 200, {"data": [{"embedding": vector}], "usage": {"prompt_tokens": 3}}
            case _:
                return 404, {"error": {"message": f"nothing at {path}"}}

    def _read(self, asked: Any, tokens: int) -> Request:
        messages = tuple(_read_turn(one) for one in asked.get("messages", ()))
        return Request(
            model="m",
            weights=bytes(32),
            kind="chat" if messages else "completion",
            text=asked.get("prompt", ""),
            messages=messages,
            max_tokens=tokens,
            temperature=float(asked.get("temperature", 0)),
            top_p=1.0,
            top_k=0,
            seed=asked.get("seed", 0),
            stop=tuple(asked.get("stop", ())),
            grammar="",
            logprobs=_read_logprobs(asked) if self.tells_logprobs else 0,
            tools=_read_tools(asked) if self.calls_tools else "",
        )

    async def _stream(
        self, path: str, asked: Any, stream: trio.SocketStream, connection: h11.Connection
    ) -> bool:
        request = self._read(asked, asked["max_tokens"])
        is_chat = path.endswith("chat/completions")
        self.running += 1
        try:
            async with (
                trio.open_nursery() as nursery,
                aclosing(self.engine.generate(request)) as outputs,
                aclosing(_events(outputs, is_chat)) as parts,
            ):
                nursery.start_soon(_cancel_when_closed, stream, nursery.cancel_scope)
                async for part in parts:
                    if part is None:
                        head = h11.Response(
                            status_code=200, headers=[("content-type", "text/event-stream")]
                        )
                        await stream.send_all(connection.send(head) or b"")
                    else:
                        await stream.send_all(connection.send(h11.Data(data=part)) or b"")
                nursery.cancel_scope.cancel()
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        except* (PromptTooLong, Unsupported) as group:
            message = str(group.exceptions[0])
            status, fault = 400, {"error": {"message": message, "type": "invalid_request_error"}}
            await stream.send_all(_whole(connection, status, fault))
        finally:
            self.running -= 1
        return connection.our_state is h11.DONE


async def _cancel_when_closed(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Servers stop their work when whoever asked hangs up."""
    with suppress(trio.BrokenResourceError):
        await stream.receive_some(1)
    scope.cancel()


async def _events(
    outputs: AsyncGenerator[Output, None], is_chat: bool
) -> AsyncGenerator[bytes | None, None]:
    reader = CallReader()
    async for output in outputs:
        match output:
            case Started():
                yield None
            case Piece(text, _, logprobs):
                if MARK in text or reader.calls or not reader.is_whole:
                    for part in reader.feed(text):
                        yield _call(part)
                else:
                    yield event(text, is_chat=is_chat, logprobs=logprobs)
            case Done(finish, prompt, tokens):
                yield event("", is_chat=is_chat, finish=finish is not Finish.LENGTH)
                yield usage(tokens, prompt)
                yield b"data: [DONE]\n\n"


def event(
    text: str,
    *,
    is_chat: bool = True,
    finish: bool | None = None,
    logprobs: Sequence[TokenLogprob] = (),
) -> bytes:
    """Return a chunk as an event. finish: None for more to come, whether it stopped by itself."""
    reason = None if finish is None else "stop" if finish else "length"
    said: Any = {"delta": {"content": text}} if is_chat else {"text": text}
    if logprobs:
        said["logprobs"] = _tell_chat(logprobs) if is_chat else _tell_text(logprobs)
    return line({"choices": [{"index": 0, **said, "finish_reason": reason}]})


def _read_turn(one: Any) -> Message:
    calls = [
        Call(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in one.get("tool_calls", ())
    ]
    if one["role"] == "tool":
        return Message("tool", join_calls("", [Call(one["tool_call_id"], "", one["content"])]))
    return Message(one["role"], join_calls(one["content"] or "", calls))


def _read_tools(asked: Any) -> str:
    named = {name: asked[name] for name in ToolBox.__struct_fields__ if name in asked}
    return encode_tools(msgspec.convert(named, ToolBox)) if named else ""


def _call(part: Part) -> bytes:
    shown: Any = {"index": part.index, "function": {"arguments": part.text}}
    if part.head is not None:
        shown |= {"id": "random", "type": "function"}
        shown["function"] = {"name": part.head.name, "arguments": ""}
    delta = {"content": part.text} if part.index < 0 else {"tool_calls": [shown]}
    return line({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def _read_logprobs(asked: Any) -> int:
    if "messages" in asked:
        return 1 + int(asked.get("top_logprobs", 0)) if asked.get("logprobs") else 0
    return 1 + int(asked["logprobs"]) if "logprobs" in asked else 0


def _tell_chat(logprobs: Sequence[TokenLogprob]) -> Any:
    def show(one: TokenLogprob | Alternative) -> dict[str, Any]:
        return {"token": one.token.decode(), "logprob": one.logprob, "bytes": list(one.token)}

    tops = [{"top_logprobs": [show(other) for other in one.top]} for one in logprobs]
    return {"content": [show(one) | top for one, top in zip(logprobs, tops, strict=True)]}


def _tell_text(logprobs: Sequence[TokenLogprob]) -> Any:
    return {
        "tokens": [one.token.decode() for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        "top_logprobs": [{o.token.decode(): o.logprob for o in one.top} for one in logprobs],
    }


def usage(tokens: int, prompt: int = 3) -> bytes:
    """Return the event that says how many tokens there were."""
    return line({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": tokens}})


def line(content: Any) -> bytes:
    """Return an event."""
    return b"data: " + json.dumps(content).encode() + b"\n\n"


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def fault(status: int, content: object, *headers: str) -> bytes:
    """Return a whole answer of a status."""
    body = json.dumps(content).encode()
    head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def saying(*parts: bytes) -> Way:
    """A way that sends these parts and closes."""

    async def say(_: OpenAiServer, __: Any, send: Send) -> None:
        for part in parts:
            await send(part)

    return say


def _whole(connection: h11.Connection, status: int, content: Any) -> bytes:
    body = json.dumps(content).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    events = (
        h11.Response(status_code=status, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    )
    return b"".join(connection.send(event) or b"" for event in events)


@asynccontextmanager
async def serving_openai(
    engine: MemoryEngine, owner: str = "vllm", port: int = 0
) -> AsyncGenerator[OpenAiServer, None]:
    """Serve on a port of 127.0.0.1, any free one if 0, until the block ends."""
    server = OpenAiServer(engine, owner)
    [listener] = await trio.open_tcp_listeners(port, host="127.0.0.1")
    server.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
    with flattened():
        async with engine, trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.serve, [listener])
            yield server
            nursery.cancel_scope.cancel()
