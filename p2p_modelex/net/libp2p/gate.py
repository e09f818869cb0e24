"""The gate: what admission and reputation together mean for connections, in and out."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio

from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.net.libp2p.admission import Admission
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.reputation import Reputation

_log = logging.getLogger(__name__)


class Gate:
    """Outlives hosts that are restarted, so that an offender gains nothing by breaking one."""

    def __init__(self, options: Libp2pConfiguration, is_busy: Callable[[PeerId], bool]) -> None:
        self._reputation = Reputation(loopback_exempt=options.loopback_exempt)
        self._admission = Admission(options, self._reputation, is_busy)

    async def admit(self, connection: Any, serve: Callable[[], Awaitable[None]]) -> None:
        """Serve an accepted connection to its end if there is a place; else close it at once.

        An evicted connection is closed under its server.
        """
        remote = connection.get_remote_address()
        place = self._admission.enter(remote[0] if remote else "", trio.current_time())
        if place is None:
            await _close(connection)
            return
        connection.modelex_place = place
        try:
            with place.scope:
                await serve()
        finally:
            self._admission.leave(place)
            await _close(connection)
        if place.violation and place.peer is not None:
            _log.info("%s broke the rules: %s", format_peer_id(place.peer), place.violation)
            self.blame(place.peer, "muxer", place.host)
        elif place.peer is None and not place.evicted:
            self._reputation.blame_host(place.host, "handshake", trio.current_time())

    def refuses(self, peer: PeerId) -> bool:
        """Whether a peer is kept away now."""
        return self._reputation.refuses_peer(peer, trio.current_time())

    def blame(self, peer: PeerId, offence: str, *hosts: str) -> bool:
        """Count an offence against a peer, the addresses it is connected from, and `hosts`.

        True if the peer is now kept away. Inbound connections of who is kept away are ended.
        """
        now_s = trio.current_time()
        refused = self._reputation.blame_peer(peer, offence, now_s)
        homes = {*hosts, *self._admission.hosts_of(peer)}
        away = [host for host in homes if self._reputation.blame_host(host, offence, now_s)]
        if refused or away:
            _log.warning("%s is kept away after %s", format_peer_id(peer), offence)
            self._admission.evict_refused(now_s)
        return refused


async def _close(connection: Any) -> None:
    with trio.CancelScope(shield=True), suppress(Exception):
        await connection.close()
