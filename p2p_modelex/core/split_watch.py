"""The split watch: in which split epoch the token is, and whether its transfers are paused."""

from p2p_modelex.core.effects import Effect, FetchSplit, SetTimer, TimerId
from p2p_modelex.core.inputs import Input, SplitFetched, TimerFired
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import Epoch, Millis, UnixMs

SPLIT_TIMER = TimerId("split/look")
LOOK_INTERVAL_MS = Millis(60_000)
"""How often to look at the chain. Who is behind loses nothing: what is written in the epoch before
counts twice; it is told by its peers, who refuse `wrong_epoch`."""

NEAR_INTERVAL_MS = Millis(10_000)
"""The same while a split is announced: its pause keeps deposits waiting."""

LOOK_PAUSE_MS = Millis(1_000)
"""Between two looks that peers make us take, as strangers can."""

_NEVER = UnixMs(-LOOK_PAUSE_MS)


class SplitWatch:
    """What the node knows of the token's splits. Timers begin with `split/`."""

    def __init__(self) -> None:
        self.epoch = Epoch(0)
        """The latest epoch that the token is known to have reached."""
        self._split: SplitState | None = None
        self._is_looking = False
        self._looked_at = _NEVER

    @property
    def paused_until(self) -> int:
        """The block that ends the pause of a split; 0 if transfers are not known to be paused."""
        split = self._split
        return split.splits_at if split is not None and split.is_paused else 0

    def start(self, now: UnixMs) -> list[Effect]:
        """Look at once, and then at intervals."""
        return self.look(now)

    def look(self, now: UnixMs) -> list[Effect]:
        """Have the chain asked, now or a moment later. A SplitFetched comes for certain."""
        at = UnixMs(self._looked_at + LOOK_PAUSE_MS)
        if self._is_looking:
            return []
        if now < at:
            return [SetTimer(SPLIT_TIMER, at)]
        self._is_looking, self._looked_at = True, now
        return [FetchSplit()]

    def note_epoch(self, epoch: int) -> bool:
        """The chain wrote something in this epoch. Returns whether it is a later one."""
        if epoch <= self.epoch:
            return False
        self.epoch = Epoch(epoch)
        return True

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take the timer, or what the chain said; its epoch is noted by `note_epoch`."""
        match happened:
            case TimerFired():
                return self.look(now)
            case SplitFetched(split):
                self._is_looking = False
                self._split = split or self._split
                is_near = self._split is not None and self._split.splits_at > 0
                pause = NEAR_INTERVAL_MS if is_near else LOOK_INTERVAL_MS
                return [SetTimer(SPLIT_TIMER, UnixMs(now + pause))]
            case _:
                return []
