"""The anchoring machine: keeps up with the registry, marks peers by it, keeps our own anchor."""

from collections.abc import Callable, Iterable

from p2p_modelex.core.anchoring.marks import Mark, compute_mark, get_standing
from p2p_modelex.core.anchoring.own import ANCHOR_TIMER, AnchoringPolicy, OwnAnchor
from p2p_modelex.core.anchoring.registrations import Registration, Registrations
from p2p_modelex.core.effects import Effect, ReadRegistry, SetTimer, TimerId
from p2p_modelex.core.inputs import (
    AnchorFailed,
    AnchorPut,
    Input,
    RegistryChanged,
    RegistryLost,
    RegistryRead,
    TimerFired,
)
from p2p_modelex.ids import Address, PeerId, public_key_of
from p2p_modelex.records.advertisement import Advertisement, Section
from p2p_modelex.records.registry import RegistryEntry, RegistrySection, Standing
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Millis, UnixMs

READ_TIMER = TimerId("anchoring/read")
READ_RETRY_MS = Millis(5_000)
"""The pause after losing the chain; it doubles up to READ_RETRY_MAX_MS until a reading succeeds."""
READ_RETRY_MAX_MS = Millis(10 * 60_000)
READ_AGAIN_MS = Millis(24 * 3600_000)
"""The registry is read anew this often: an endpoint that is many behind one name may miss events,
and a reorg under the block of the reading is not told.
"""


class AnchoringMachine:
    """What this node knows of the registry. Timers begin with `anchoring/`.

    While a reading is under way, or the chain is out of reach, the marks are those of the last
    reading that was completed and of what was heard after it.
    """

    def __init__(
        self,
        peer: PeerId,
        operator: Address,
        policy: AnchoringPolicy,
        get_sequence: Callable[[], int],
    ) -> None:
        """operator: the account that we anchor from. get_sequence: of our own advertisement."""
        self._key = public_key_of(peer), operator
        self._registrations = Registrations(self._key)
        self._reading: Registrations | None = None
        self._own = OwnAnchor(self._key[0], policy, get_sequence)
        self._is_following = False
        self._failures = 0
        self.is_read = False
        """Whether the registry was read to its end since the start."""

    @property
    def claim(self) -> Section:
        """ANC-11: the section that our advertisement may claim, which others verify."""
        entry = self._get_own()
        if entry is None:
            return Section.UNREGISTERED
        is_listed = entry.section is RegistrySection.WHITELISTED
        return Section.WHITELISTED if is_listed else Section.PUBLIC

    def restore(self, rows: Iterable[Row], entry: RegistryEntry | None) -> None:
        """Take over what is on disk, and our own entry on chain, so that the first advertisement
        claims the right section. Call before `start`.
        """
        self._own.restore(rows)
        if entry is not None:
            self._registrations.note(entry)

    def start(self) -> list[Effect]:
        """Begin to read the registry."""
        return [ReadRegistry(self._key[0])]

    def get_standing(self, peer: PeerId, advertisement: Advertisement) -> Standing:
        """Return what the registry makes of a peer; for whom its proofs were judged (ADV-11)."""
        return get_standing(self._registrations, peer, advertisement)

    def compute_mark(self, peer: PeerId, advertisement: Advertisement) -> Mark:
        """As `get_standing`, with the anchor compared."""
        return compute_mark(self._registrations, peer, advertisement)

    def advertise(self, advertisement: Advertisement | None, now: UnixMs) -> list[Effect]:
        """This is what we advertise from now on; None if we do not."""
        self._own.want(advertisement)
        return self._own.proceed(now) if self.is_read else []

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case RegistryRead():
                return self._on_page(happened, now)
            case RegistryChanged():
                return self._on_changed(happened, now)
            case RegistryLost():
                return self._on_lost(now)
            case TimerFired(timer) if timer == READ_TIMER:
                return self._read_again()
            case TimerFired(timer) if timer == ANCHOR_TIMER:
                return self._own.proceed(now)
            case AnchorPut():
                return self._own.on_answer(now, failed=False)
            case AnchorFailed():
                return self._own.on_answer(now, failed=True)
            case _:
                return []

    def _on_page(self, page: RegistryRead, now: UnixMs) -> list[Effect]:
        """ANC-9: a reading takes effect as a whole, so that no mark comes and goes meanwhile."""
        if page.is_first:
            self._reading = Registrations(self._key)
        if self._reading is None:
            return []
        for entry in page.entries:
            self._reading.note(entry)
        if not page.is_last:
            return []
        self._registrations, self._reading = self._reading, None
        self._is_following = self.is_read = True
        self._failures = 0
        self._own.note_entry(self._get_own())
        again = SetTimer(READ_TIMER, UnixMs(now + READ_AGAIN_MS))
        return [again, *self._own.proceed(now)]

    def _read_again(self) -> list[Effect]:
        """Until that is done, what the follower of the last reading still says is of no use."""
        self._is_following = False
        return self.start()

    def _on_changed(self, changed: RegistryChanged, now: UnixMs) -> list[Effect]:
        if not self._is_following:
            return []
        if not self._registrations.fold(changed.event):
            return self._read_again()
        self._own.note_entry(self._get_own(), undone=changed.event.undone)
        return self._own.proceed(now)

    def _on_lost(self, now: UnixMs) -> list[Effect]:
        self._is_following, self._reading = False, None
        pause = min(READ_RETRY_MS << min(self._failures, 16), READ_RETRY_MAX_MS)
        self._failures += 1
        return [SetTimer(READ_TIMER, UnixMs(now + pause))]

    def _get_own(self) -> Registration | None:
        return self._registrations.get(*self._key)
