"""What we change in py-libp2p 0.8.1, each with the fault it mends; the table is docs/libp2p.md.

Every mend replaces private names, so the version is asserted. A mend can be taken out again
(`unmended`), which is how tests/net/libp2p/test_mends.py shows that the fault is real.
"""

import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from libp2p.crypto import rsa
from libp2p.host import basic_host
from libp2p.kad_dht import common, kad_dht, peer_routing
from libp2p.network import swarm
from libp2p.network.connection import swarm_connection
from libp2p.network.exceptions import SwarmException
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.pubsub import gossipsub, pubsub
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.ids import PeerId
from p2p_modelex.net.libp2p import hostile_input, peer_table
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream
from p2p_modelex.net.libp2p.muxer import ACCEPT_MAX, Yamux
from p2p_modelex.net.libp2p.negotiation import MuxedService, accept_negotiated

LIBP2P_VERSION = "0.8.1"


def validate_version(installed: str) -> None:
    """Raise ConfigurationError unless `installed` is the version that the mends are for."""
    if installed != LIBP2P_VERSION:
        raise ConfigurationError(
            f"libp2p {installed} is installed; the mends are for {LIBP2P_VERSION}",
            hint=f"pip install libp2p=={LIBP2P_VERSION}",
        )


validate_version(importlib.metadata.version("libp2p"))

_log = logging.getLogger(__name__)
_quiet = logging.getLogger("libp2p.network.connection")


@dataclass(frozen=True, slots=True)
class Mend:
    """Replaces `attribute` of each owner by `build(original)`; `fault` says what it is for."""

    name: str
    fault: str
    owners: tuple[Any, ...]
    attribute: str
    build: Callable[[Any], Any]


def _contain_handlers(original: Any) -> Any:
    async def handle_muxed_stream(self: Any, muxed_stream: Any) -> None:
        # Handlers outlive streams that were reset under them, so they are counted themselves.
        running = self.__dict__.get("modelex_running", 0)
        if running >= ACCEPT_MAX:
            await muxed_stream.reset()
            return
        self.modelex_running = running + 1
        # Without the mend `muxer` it is another's stream.
        serve = _serve_muxed_stream if isinstance(muxed_stream, MuxedStream) else original
        try:
            await serve(self, muxed_stream)
        except Exception as error:  # anything else would end every connection of the host
            _log.info("a stream of %s failed: %r", self.muxed_conn.peer_id, error)
            with suppress(Exception):
                await muxed_stream.reset()
        finally:
            self.modelex_running -= 1

    return handle_muxed_stream


async def _serve_muxed_stream(connection: Any, stream: Any) -> None:
    """Agree on a protocol and run its handler: libp2p's own way costs a millisecond."""
    # The host's bound method; the table is its, so protocols added later are found.
    handlers = connection.swarm.common_stream_handler.__self__.get_mux().handlers
    timeout_s = connection.swarm.connection_config.inbound_stream_protocol_negotiation_timeout
    with trio.fail_after(timeout_s):
        protocol = await accept_negotiated(stream, handlers)
    handler = handlers[protocol]
    if isinstance(handler, MuxedService):
        await handler.serve(stream)
        return
    net_stream = await connection._add_stream(stream)
    net_stream.set_protocol(protocol)
    try:
        await handler(net_stream)
    finally:
        connection.remove_stream(net_stream)


def _refuse_bad_text(original: Any) -> Any:
    async def read(self: Any) -> Any:
        try:
            return await original(self)
        except UnicodeDecodeError as error:
            raise MultiselectCommunicatorError("a protocol name is not UTF-8") from error

    return read


def _contain_gossip_stream(original: Any) -> Any:
    async def stream_handler(self: Any, stream: Any) -> None:
        try:
            await original(self, stream)
        except Exception as error:  # not protobuf: drop the peer's gossip, keep everyone else's
            if isinstance(error, MuxedStreamError):  # it left, as anybody may
                _log.debug("gossip from %s has ended: %r", stream.muxed_conn.peer_id, error)
            else:
                _log.info("gossip from %s is malformed: %r", stream.muxed_conn.peer_id, error)
            await stream.reset()
            self._handle_dead_peer(stream.muxed_conn.peer_id)

    return stream_handler


def _hold_token_while_open(original: Any) -> Any:
    async def upgrade_inbound_raw_conn(self: Any, raw: Any, address: Any) -> Any:
        connection = await original(self, raw, address)
        place = getattr(raw.stream, "modelex_place", None)
        if place is not None:
            place.peer = PeerId(connection.peer_id.to_bytes())
        await connection.event_closed.wait()
        if place is not None:
            place.violation = getattr(connection, "violation", "")
        # The caller would go on waiting for the end of the host; an error makes it let go.
        raise SwarmException("the connection is over")

    return upgrade_inbound_raw_conn


def _admit_first(original: Any) -> Any:
    async def handle_inbound(self: Any, connection: Any, address: Any) -> None:
        gate = getattr(self, "modelex_gate", None)
        if gate is None:
            await original(self, connection, address)
        else:
            await gate.admit(connection, partial(original, self, connection, address))

    return handle_inbound


def _sign_record_once(original: Any) -> Any:
    def signed_record(host: Any) -> tuple[bytes, bool]:
        # Our addresses do not change while the host runs, so neither does the record.
        record: bytes | None = host.__dict__.get("modelex_record")
        if record is None:
            record = host.modelex_record = original(host)[0]
        return record, False

    return signed_record


MENDS = (
    Mend(
        "handlers",
        "any exception in any stream handler ends the host; streams of a peer are not counted",
        (swarm_connection.SwarmConn,),
        "_handle_muxed_stream",
        _contain_handlers,
    ),
    Mend(
        "protocol-names",
        "two bytes that are not UTF-8 in protocol negotiation end the host",
        (MultiselectCommunicator,),
        "read",
        _refuse_bad_text,
    ),
    Mend(
        "gossip-stream",
        "a gossip frame that is not protobuf ends the host",
        (pubsub.Pubsub,),
        "stream_handler",
        _contain_gossip_stream,
    ),
    Mend(
        "negotiation-size",
        "before a handshake, one connection fills memory with a protocol name without end",
        (multiselect_communicator,),
        "read_delim",
        hostile_input.limit_line,
    ),
    Mend(
        "rsa-keys",
        "an RSA private key in place of a peer's public key stops the program for minutes",
        (rsa,),
        "RSA",
        hostile_input.refuse_rsa,
    ),
    Mend(
        "identify-size",
        "what a peer says of itself in identify is kept whole, megabytes of it",
        (basic_host,),
        "update_peerstore_from_identify",
        hostile_input.cut_identify,
    ),
    Mend(
        "dht-name",
        "the DHT ignores the prefix it is given and joins the public network's",
        (common, kad_dht, peer_routing),
        "PROTOCOL_ID",
        lambda _original: peer_table.PROTOCOL,
    ),
    Mend(
        "dht-answers",
        "the answer to a lookup may be 4 MiB of addresses, and all are kept",
        (peer_routing,),
        "read_varint_prefixed_bytes_limited",
        peer_table.limit_answers,
    ),
    Mend(
        "inbound-tokens",
        "closed inbound connections are counted for ever: after N in all, none is accepted",
        (swarm.Swarm,),
        "upgrade_inbound_raw_conn",
        _hold_token_while_open,
    ),
    Mend(
        "admission",
        "one address can hold every inbound place with silent connections",
        (swarm.Swarm,),
        "_handle_inbound_connection",
        _admit_first,
    ),
    Mend(
        "dial-delay",
        "every dial by peer id waits 250 ms before it starts",
        (swarm,),
        "_HAPPY_EYEBALLS_DELAY",
        lambda _original: 0.0,
    ),
    Mend(
        "muxer",
        "a cancelled read or write ends the connection or loses data; a reader that pauses 5 s "
        "is reset; a peer that ignores its window fills memory; 256 streams hang silently",
        (muxer_multistream,),
        "Yamux",
        lambda _original: Yamux,
    ),
    Mend(
        "root-logger",
        "connections log through the root logger, which configures it behind the program's back",
        (swarm_connection,),
        "logging",
        lambda _original: _quiet,
    ),
    Mend(
        "sender-record",
        "(speed) the address record is compared, and often signed, for every gossip message, "
        "where we do not even send it",
        (pubsub, gossipsub),
        "env_to_send_in_RPC",
        _sign_record_once,
    ),
)

# Mend's name -> what each of its owners had.
_originals: dict[str, list[Any]] = {}


def apply_mends() -> None:
    """Put every mend in place; doing it again changes nothing. Also quietens libp2p's logger."""
    for mend in MENDS:
        if mend.name not in _originals:
            originals = [getattr(owner, mend.attribute) for owner in mend.owners]
            _originals[mend.name] = originals
            _replace(mend, [mend.build(original) for original in originals])
    logger = logging.getLogger("libp2p")
    # It ships a stderr handler and calls routine events errors: what matters, we log ourselves.
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.setLevel(logging.CRITICAL)


def _replace(mend: Mend, values: Sequence[Any]) -> None:
    for owner, value in zip(mend.owners, values, strict=True):
        setattr(owner, mend.attribute, value)


@contextmanager
def unmended(*names: str) -> Iterator[None]:
    """Take mends out for the length of a block; for the tests that show the faults."""
    chosen = [mend for mend in MENDS if mend.name in names]
    mended = [[getattr(owner, mend.attribute) for owner in mend.owners] for mend in chosen]
    for mend in chosen:
        _replace(mend, _originals[mend.name])
    try:
        yield
    finally:
        for mend, values in zip(chosen, mended, strict=True):
            _replace(mend, values)
