"""A contract's ABI: calls, events and custom errors, encoded and decoded with eth_abi.

web3's codec does the same at 45 times the cost (0.90 ms against 0.02 for one call).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import abi as codec
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.evm.wire import Log
from p2p_modelex.errors import BadInput, ChainUnreachable
from p2p_modelex.ids import Address

# Solidity's own two errors: require's message and the compiler's checks.
_BUILT_IN_ERRORS = (
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)

# What eth_abi raises for bytes of another shape, and for a string that is not UTF-8.
_UNDECODABLE = (DecodingError, OverflowError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    indexed: tuple[bool, ...]
    outputs: tuple[str, ...]

    @property
    def id(self) -> bytes:
        """Keccak-256 of the signature: an event's topic; a selector is its first four bytes."""
        return keccak(f"{self.name}({','.join(self.types)})".encode())


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded event: its name and its arguments by name."""

    name: str
    arguments: dict[str, Any]
    block: int
    contract: Address


@dataclass(frozen=True, slots=True)
class CustomError:
    """Why a contract refused: name and arguments, both empty if the bytes are of no known error."""

    name: str
    arguments: dict[str, Any]
    text: str
    """`Name(argument=value, ...)`; unknown ones as hex."""


class Abi:
    """What one or several contracts can be asked, and what they say."""

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self._functions: dict[str, _Entry] = {}
        self._events: dict[bytes, _Entry] = {}
        self._topics: dict[str, bytes] = {}
        self._errors: dict[bytes, _Entry] = {}
        self._constructor = _Entry("", (), (), (), ())
        for raw in (*entries, *_BUILT_IN_ERRORS):
            self._add(raw)

    def _add(self, raw: dict[str, Any]) -> None:
        entry = _read_entry(raw)
        match raw["type"]:
            case "function":
                # By name, and for overloaded ones by signature as well.
                self._functions.setdefault(entry.name, entry)
                self._functions[f"{entry.name}({','.join(entry.types)})"] = entry
            case "event":
                self._events[entry.id] = entry
                self._topics[entry.name] = entry.id
            case "error":
                # Contracts name the arguments of one error differently: the first names them.
                self._errors.setdefault(entry.id[:4], entry)
            case "constructor":
                self._constructor = entry

    def topic(self, event: str) -> bytes:
        """Return the first topic of an event."""
        return self._topics[event]

    def encode_call(self, function: str, *arguments: Any) -> bytes:
        """Return the payload of a call; BadInput if the arguments do not fit."""
        entry = self._functions[function]
        return entry.id[:4] + _encode(entry, arguments)

    def encode_constructor(self, *arguments: Any) -> bytes:
        """Return what follows the bytecode in a creation; BadInput if it does not fit."""
        return _encode(self._constructor, arguments)

    def decode_result(self, function: str, payload: bytes) -> tuple[Any, ...]:
        """Return a call's results; ChainUnreachable if the endpoint's answer does not decode."""
        try:
            return codec.decode(self._functions[function].outputs, payload)
        except _UNDECODABLE as error:
            raise ChainUnreachable(
                f"the answer to {function} does not decode: {error}",
                hint="are the contract addresses in the network file right?",
            ) from error

    def decode_event(self, log: Log) -> Event | None:
        """Return the event, or None for one this ABI does not know."""
        entry = self._events.get(log.topics[0]) if log.topics else None
        if entry is None:
            return None
        fields = list(zip(entry.names, entry.types, entry.indexed, strict=True))
        in_topics = [(name, kind) for name, kind, indexed in fields if indexed]
        in_payload = [(name, kind) for name, kind, indexed in fields if not indexed]
        if len(in_topics) != len(log.topics) - 1:
            return None
        try:
            values = codec.decode([kind for _, kind in in_payload], log.payload)
            arguments = {name: v for (name, _), v in zip(in_payload, values, strict=True)}
            for (name, kind), topic in zip(in_topics, log.topics[1:], strict=True):
                [arguments[name]] = codec.decode([kind], topic)
        except _UNDECODABLE:
            return None
        return Event(entry.name, arguments, log.block, log.address)

    def decode_error(self, reason: bytes) -> CustomError:
        """Return what revert bytes say."""
        entry = self._errors.get(reason[:4])
        if entry is None:
            text = f"unknown error 0x{reason[:68].hex()}" if reason else "no reason given"
            return CustomError("", {}, text)
        try:
            values = codec.decode(entry.types, reason[4:])
        except _UNDECODABLE:
            return CustomError(entry.name, {}, entry.name)
        arguments = dict(zip(entry.names, values, strict=True))
        shown = ", ".join(f"{name}={_show(value)}" for name, value in arguments.items())
        return CustomError(entry.name, arguments, f"{entry.name}({shown})")

    def errors(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the custom errors, each with the names of its arguments; a name may come twice."""
        return [(entry.name, entry.names) for entry in self._errors.values()]


def _encode(entry: _Entry, arguments: Sequence[Any]) -> bytes:
    try:
        return codec.encode(entry.types, arguments)
    except (EncodingError, ValueError, TypeError) as error:
        raise BadInput(f"bad arguments of {entry.name or 'the constructor'}: {error}") from error


def _read_entry(raw: dict[str, Any]) -> _Entry:
    inputs = raw.get("inputs", [])
    return _Entry(
        raw.get("name", ""),
        tuple(p.get("name") or str(i) for i, p in enumerate(inputs)),
        tuple(_type_of(p) for p in inputs),
        tuple(bool(p.get("indexed")) for p in inputs),
        tuple(_type_of(p) for p in raw.get("outputs", [])),
    )


def _type_of(parameter: dict[str, Any]) -> str:
    """Return the canonical type: a struct is spelled out, `(bytes32,uint32)[]`."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(_type_of(part) for part in parameter["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def _show(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
