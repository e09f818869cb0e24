"""Our own advertisement: what it says, when it was last said, and what others must yet be told."""

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.rules import is_withdrawal
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.ids import NetworkId, PublicKey, public_key_of
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import (
    DOMAIN,
    Advertisement,
    Announcement,
    Announcements,
    Change,
)
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.units import UnixMs


def seal_advertisement(
    advertisement: Advertisement, network: NetworkId, signer: PeerSigner
) -> bytes:
    """Return the encoded envelope of an advertisement."""
    payload = codec.encode(advertisement)
    return codec.encode(envelopes.seal(DOMAIN, network, payload, signer))


class OwnAdvertisement:
    """Keeps our entry of the directory as we want it."""

    def __init__(self, directory: Directory, signer: PeerSigner) -> None:
        self.content: Advertisement | None = None
        """What we want to be known for, with any sequence; None if we never advertised."""
        self._directory = directory
        self._signer = signer
        self._sealed = b""
        self._change: Change | None = None

    @property
    def has_news(self) -> bool:
        """Whether a change waits to be announced."""
        return self._change is not None

    def is_current(self) -> bool:
        """Whether the directory has what we sealed last, and not another holder of our key."""
        return self.content is None or self._directory.own_envelope == self._sealed

    def publish(self, content: Advertisement, now: UnixMs) -> None:
        """Seal with the next sequence (ADV-15: now, or one above the last) and keep.

        Raises LocalProtocolError if others would reject it.
        """
        directory = self._directory
        known = directory.get(directory.own)
        sequence = max(int(now), directory.own_sequence + 1)
        content = msgspec.structs.replace(content, sequence=sequence)
        sealed = seal_advertisement(content, directory.network, self._signer)
        verdict = directory.judge(sealed, now, expected=directory.own)
        if not verdict.accepted:
            raise LocalProtocolError(
                f"our advertisement breaks {verdict.rule}: {verdict.reason}",
                hint="correct the offers, addresses or ownership proofs, or the clock",
            )
        self._note_change(content, is_new=known is None or known.withdrawn)
        self.content, self._sealed = content, sealed

    def _note_change(self, content: Advertisement, *, is_new: bool) -> None:
        before = self.content
        if before is not None and _same(before, content):
            return
        if is_withdrawal(content):
            self._change = Change.WITHDRAWN
        elif self._change is not Change.NEW:
            self._change = Change.NEW if is_new else Change.CHANGED

    def wants(self, content: Advertisement) -> bool:
        """Whether `content` says anything that we have not said; silence needs no withdrawal."""
        if self.content is None:
            return not is_withdrawal(content)
        return not _same(self.content, content)

    def withdrawal(self) -> Advertisement | None:
        """Return the content of a withdrawal; None if there is nothing to withdraw.

        It holds for longer than what it replaces, which could be replayed otherwise (ADV-16).
        """
        if self.content is None or is_withdrawal(self.content):
            return None
        return msgspec.structs.replace(
            self.content, ttl_ms=limits.TTL_MAX_MS, addresses=(), offers=(), accounts=(), farms=()
        )

    def take_announcements(self) -> tuple[bytes, ...]:
        """Return the gossip payload of our changes since the last call (ANN-6), at most one."""
        if self._change is None or self.content is None:
            return ()
        key: PublicKey = public_key_of(self._directory.own)
        item = Announcement(key, self.content.sequence, self._change)
        self._change = None
        return (codec.encode(Announcements((item,))),)


def _same(one: Advertisement, other: Advertisement) -> bool:
    return one == msgspec.structs.replace(other, sequence=one.sequence)
