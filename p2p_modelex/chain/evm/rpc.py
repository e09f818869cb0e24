"""JSON-RPC 2.0 over HTTP on Trio: the few things a node asks of an Ethereum endpoint, bounded.

web3.py's asynchronous provider does not run on Trio, and its codec costs 0.9 ms a call; this and
eth_abi cost a tenth of that. The endpoint is not trusted with our memory or our time.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import trio

from p2p_modelex.chain.evm.http import HttpEndpoint, TooLarge
from p2p_modelex.errors import ChainError, ChainUnreachable
from p2p_modelex.kept import FAILURES
from p2p_modelex.limits import MIB

TIMEOUT_S = 10.0
ATTEMPTS = 4  # 0.2 + 0.4 + 0.8 s of pauses: a restart of the endpoint is survived, an outage told
BACKOFF_S = 0.2
BATCH_MAX = 100  # public endpoints refuse more
RESPONSE_BYTES = 16 * MIB  # the logs of a thousand busy blocks fit

# json's parser recurses, and libraries raise Python's recursion limit past what the C stack holds
# (py_ecc, which eth-account imports, sets 100,000): nested brackets alone would end the process.
NESTING_MAX = 64
_BRACKETS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))

# Answers that say "later": HTTP too many requests and server errors, and of EIP-1474 "resource
# unavailable", with which geth gives up what goes on behind it, and "limit exceeded".
_RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_LATER_CODES = (-32002, -32005)  # no set: an endpoint may say a list
INTERNAL_ERROR = -32603
"""Something broke in the endpoint or behind it, before or after what was asked."""


class RpcError(ChainError):
    """The endpoint answered with a JSON-RPC error. reason: revert bytes, when there are any."""

    def __init__(self, code: int, message: str, reason: bytes) -> None:
        super().__init__(f"the endpoint answered {code}: {message}")
        self.code = code
        self.text = message
        self.reason = reason


class AnswerTooLarge(ChainUnreachable):
    """The answer has more than RESPONSE_BYTES; to a smaller question it may not."""


class _Later(Exception):
    """Worth another attempt."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a batch."""

    method: str
    params: tuple[Any, ...] = ()


class Rpc:
    """A JSON-RPC endpoint. Use as `async with Rpc(url) as rpc`; safe for several tasks at once."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        backoff_s: float = BACKOFF_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """timeout_s bounds each attempt as a whole. ConfigurationError if `url` is not http(s)."""
        self._endpoint = HttpEndpoint(url)
        self.name = self._endpoint.name
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._jitter = jitter
        self._next_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):
            await self._endpoint.aclose()

    async def call(self, method: str, *params: Any, retry: bool = True) -> Any:
        """Return one result. RpcError if the endpoint refuses, ChainUnreachable if it is silent.

        retry=False for what must not happen twice.
        """
        [result] = await self._exchange([Call(method, params)], self._attempts if retry else 1)
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Return the results in order, in as few requests as BATCH_MAX allows; the first RpcError
        is raised.
        """
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_MAX):
            results += await self._exchange(calls[start : start + BATCH_MAX], self._attempts)
        for result in results:
            if isinstance(result, RpcError):
                raise result
        return results

    async def _exchange(self, calls: Sequence[Call], attempts: int) -> list[Any]:
        problem = "no attempt allowed"
        for attempt in range(attempts):
            if attempt:
                await trio.sleep(self._backoff_s * 2 ** (attempt - 1) * (0.5 + self._jitter()))
            try:
                with trio.fail_after(self._timeout_s):
                    return await self._attempt(calls)
            except trio.TooSlowError:
                problem = f"no answer in {self._timeout_s:g} s"
            except (_Later, *FAILURES) as error:
                # Trio wraps a refused certificate and tells only in the cause.
                problem = str(error) or str(error.__cause__ or "") or type(error).__name__
        raise ChainUnreachable(
            f"{self.name} failed {attempts} attempts at {calls[0].method}: {problem}",
            hint="is the endpoint running, and its URL in the configuration right?",
        )

    async def _attempt(self, calls: Sequence[Call]) -> list[Any]:
        first = self._next_id
        self._next_id += len(calls)
        requests = [
            {"jsonrpc": "2.0", "id": first + i, "method": call.method, "params": call.params}
            for i, call in enumerate(calls)
        ]
        body = json.dumps(requests if len(requests) > 1 else requests[0])
        answers = await self._post(body)
        if isinstance(answers, dict):
            # One answer to one request; to a batch it is an error about the batch as a whole.
            single = _read_answer(answers)
            return [single] if len(calls) == 1 else [single] * len(calls)
        by_id = {
            a["id"]: a for a in answers if isinstance(a, dict) and isinstance(a.get("id"), int)
        }
        try:
            return [_read_answer(by_id[first + i]) for i in range(len(calls))]
        except KeyError as error:
            raise _Later("an answer is missing from the batch") from error

    async def _post(self, body: str) -> dict[str, Any] | list[Any]:
        try:
            status, received = await self._endpoint.post(body.encode(), RESPONSE_BYTES)
        except TooLarge as error:
            raise AnswerTooLarge(
                f"{self.name} answered more than {RESPONSE_BYTES} bytes"
            ) from error
        if status in _RETRY_STATUS:
            raise _Later(f"HTTP {status}")
        if measure_nesting(received) > NESTING_MAX:
            raise self._not_json_rpc(status)
        try:
            answer = json.loads(received)
        except ValueError as error:
            raise self._not_json_rpc(status) from error
        if not isinstance(answer, dict | list):
            raise self._not_json_rpc(status)
        return answer

    def _not_json_rpc(self, status: int) -> ChainUnreachable:
        return ChainUnreachable(
            f"{self.name} answered HTTP {status} without JSON-RPC",
            hint="the URL must be that of an Ethereum JSON-RPC endpoint",
        )


def measure_nesting(text: bytes) -> int:
    """Return how deep brackets nest, those inside strings included (few, in honest answers)."""
    steps = map(_BRACKETS.__getitem__, text.translate(None, _NOT_BRACKETS))
    return max(accumulate(steps, initial=0))


def _read_answer(answer: dict[str, Any]) -> Any:
    """Return the result or an RpcError object; _Later if it asks for patience or is malformed."""
    error = answer.get("error")
    if error is None:
        if "result" not in answer:
            raise _Later("an answer with neither result nor error")
        return answer["result"]
    if not isinstance(error, dict):
        raise _Later("a malformed error")
    code = error.get("code")
    message = str(error.get("message", ""))[:500]
    if code in _LATER_CODES:
        raise _Later(message)
    return RpcError(code if isinstance(code, int) else 0, message, _revert_bytes(error.get("data")))


def _revert_bytes(data: Any) -> bytes:
    """Return the revert data; nodes put it in `data` itself or one level down."""
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    if not isinstance(data, str) or not data.startswith("0x"):
        return b""
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return b""
