"""Our own anchor: when a transaction is worth sending. Rules ANC-2 to ANC-4."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from p2p_modelex.core.anchoring.registrations import Registration
from p2p_modelex.core.anchoring.substance import compute_anchor
from p2p_modelex.core.effects import Effect, Persist, PutAnchor, SetTimer, TimerId
from p2p_modelex.ids import Digest, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.rows import Row, SettingRow
from p2p_modelex.records.types import U64, Bytes32
from p2p_modelex.units import Millis, UnixMs

ANCHOR_TIMER = TimerId("anchoring/anchor")
SENT = "anchoring/sent"
"""The setting that holds the last Sent, durable before its transaction goes out."""

RETRY_MS = Millis(60_000)
"""The pause after a failure; it doubles up to RETRY_MAX_MS. Most failures are refusals, which cost
no gas: no coin for gas, an endpoint that is away.
"""
RETRY_MAX_MS = Millis(3600_000)
RESEND_MS = Millis(10 * 60_000)
"""A transaction that was not refused, and whose digest is not in the registry, is given up after
this long: three times what the port waits for a receipt, and some blocks.
"""
_SENT_BYTES = 128


@dataclass(frozen=True, slots=True)
class AnchoringPolicy:
    """registers: whether the node keeps an entry in the registry. interval_ms: a change of what it
    advertises is anchored no sooner than this after the last one.
    """

    registers: bool = False
    interval_ms: Millis = Millis(3600_000)  # noqa: RUF009  # a NewType of int


class Sent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The last anchor that was begun, at `at`; failed: and was told by then not to be made."""

    digest: Bytes32
    sequence: U64
    at: U64
    failed: bool


class OwnAnchor:
    """Keeps our registry entry as our advertisement is."""

    def __init__(
        self, peer: PublicKey, policy: AnchoringPolicy, get_sequence: Callable[[], int]
    ) -> None:
        """get_sequence: of our advertisement as it was signed last."""
        self._peer = peer
        self._policy = policy
        self._get_sequence = get_sequence
        self._wanted: Digest | None = None
        self._entry: Registration | None = None
        self._sent: Sent | None = None
        self._failures = 0
        self._is_under_way = False
        self._has_left = False

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over the SettingRow SENT; other rows are skipped."""
        for row in rows:
            if isinstance(row, SettingRow) and row.name == SENT:
                sent: Sent = codec.decode(Sent, row.value, limit=_SENT_BYTES)
                self._sent, self._failures = sent, int(sent.failed)

    def want(self, advertisement: Advertisement | None) -> None:
        """ANC-2: this is what we advertise; None while we do not, which is no reason to leave."""
        self._wanted = None if advertisement is None else compute_anchor(advertisement)

    def note_entry(self, entry: Registration | None, *, undone: bool = False) -> None:
        """This is our entry now. One that its operator took away is not made again (ANC-4)."""
        if entry is not None:
            self._has_left = False
        elif self._entry is not None and not undone:
            self._has_left = True
        self._entry = entry

    def proceed(self, now: UnixMs) -> list[Effect]:
        """Anchor if it is time (ANC-3), or wait until it is. Only once the registry was read."""
        wanted = self._wanted
        if not self._policy.registers or wanted is None or self._is_under_way or self._has_left:
            return []
        if self._entry is not None and self._entry.digest == wanted:
            return []
        due = self._compute_due(wanted, now)
        if now < due:
            return [SetTimer(ANCHOR_TIMER, due)]
        self._is_under_way = True
        sent = Sent(wanted, self._choose_sequence(wanted), now, failed=False)
        # Durable first: started again after a crash, the node knows that it may be on its way.
        return [self._keep(sent), PutAnchor(self._peer, wanted, sent.sequence)]

    def on_answer(self, now: UnixMs, *, failed: bool) -> list[Effect]:
        """The anchor under way was made, or failed."""
        if self._sent is None or not self._is_under_way:
            return []
        self._is_under_way = False
        self._failures = self._failures + 1 if failed else 0
        if not failed:
            return self.proceed(now)
        kept = self._keep(msgspec.structs.replace(self._sent, at=now, failed=True))
        return [kept, *self.proceed(now)]

    def _compute_due(self, wanted: Digest, now: UnixMs) -> UnixMs:
        if self._sent is None or self._sent.at > now:
            return now  # the clock has gone back: what it said then is no reason to wait
        pause = self._policy.interval_ms
        if self._failures:
            pause = min(Millis(RETRY_MS << min(self._failures - 1, 16)), RETRY_MAX_MS)
        elif self._sent.digest == wanted:
            pause = max(pause, RESEND_MS)
        return UnixMs(self._sent.at + pause)

    def _choose_sequence(self, wanted: Digest) -> int:
        """The contract takes a sequence once, so what we think lost is not anchored twice."""
        sent, entry = self._sent, self._entry
        if sent is None or sent.digest != wanted:
            return self._get_sequence()
        if entry is not None and sent.sequence <= entry.sequence:
            return self._get_sequence()
        return sent.sequence

    def _keep(self, sent: Sent) -> Persist:
        self._sent = sent
        return Persist((SettingRow(SENT, codec.encode(sent)),))
