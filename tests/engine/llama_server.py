"""llama.cpp's own HTTP server in a process of its own, as an upstream."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

KEY = "a-key-of-the-tests"
_SCRIPT = """
import sys, time
import xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.model_alias = sys.argv[1], {"m"}
parameters.n_parallel = int(sys.argv[3])
parameters.n_ctx = int(sys.argv[2]) * parameters.n_parallel
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.warmup = parameters.fit_params = parameters.ui = False
parameters.verbosity = -1
parameters.embedding = sys.argv[4] == "1"
parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
parameters.api_keys = [sys.argv[5]]
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
import os
os._exit(0)
"""


@asynccontextmanager
async def serving_llama(
    path: Path, *, slots: int = 2, context: int = 512, embedding: bool = False
) -> AsyncGenerator[str, None]:
    """Serve a GGUF file as model `m`; gives the API's URL. It asks for KEY."""
    command = [sys.executable, "-c", _SCRIPT, str(path), str(context), str(slots)]
    process = await trio.lowlevel.open_process(
        [*command, "1" if embedding else "0", KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        address = b""
        with trio.fail_after(60):
            while not address.endswith(b"\n"):
                part = await process.stdout.receive_some(200)
                assert part, "the server ended"
                address += part
        yield f"{address.decode().strip()}/v1"
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()
