"""nginx as a worker that answers at once, the same each time: one port whole, one as a stream."""

import json
from pathlib import Path

STATIC, TIMED = "static", "timed"
"""Models: what nginx answers at once, and what benchmarks/router/worker.py takes its time for."""

CONTEXT_TOKENS = 131_072


def _describe(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "owned_by": "x", "max_model_len": CONTEXT_TOKENS}


MODELS = json.dumps({"object": "list", "data": [_describe(STATIC), _describe(TIMED)]})


def line_of(choice: dict[str, object] | None = None, usage: object = None) -> bytes:
    """Return an event of a stream."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    chunk = {**head, "choices": [] if choice is None else [choice], "usage": usage}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


_USAGE = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
_WHOLE = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": STATIC,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "length",
            }
        ],
        "usage": _USAGE,
    }
)
_STREAMED = (
    line_of({"index": 0, "delta": {"content": "Hello"}, "finish_reason": None})
    + line_of({"index": 0, "delta": {}, "finish_reason": "length"}, _USAGE)
    + b"data: [DONE]\n\n"
).decode()

_SERVER = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location = /v1/chat/completions {{ default_type {kind}; return 200 '{answer}'; }}
        location / {{ return 200 '{models}'; }}
    }}
"""


def write_static(folder: Path, whole_port: int, stream_port: int) -> Path:
    """Write the configuration of both workers; our engine asks for streams, everybody else asks
    for what is asked of them, so each has its own port.
    """
    shown = (
        (whole_port, "application/json", _WHOLE),
        (stream_port, "text/event-stream", _STREAMED),
    )
    servers = "".join(
        _SERVER.format(port=port, kind=kind, answer=answer, models=MODELS)
        for port, kind, answer in shown
    )
    return write_nginx(folder, servers)


def write_nginx(folder: Path, servers: str) -> Path:
    """Write a configuration that keeps all its files in `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "user root;\n"
        "events { worker_connections 4096; }\n"
        "http {\n    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;\n"
        f"{temporary}{servers}}}\n",
        encoding="utf-8",
    )
    return path
