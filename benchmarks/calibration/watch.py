"""What hosts in this process do, step by step, and what each step costs of its CPU."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import trio

from benchmarks.calibration.run_loop import StepCosts
from benchmarks.calibration.work import Log
from p2p_modelex.net.libp2p.channel import MessageReader, SecureChannel
from p2p_modelex.net.libp2p.gossip_intake import PacedPubsub
from p2p_modelex.net.libp2p.gossip_mesh import ScoredGossipSub


@dataclass(eq=False)
class Watch(trio.abc.Instrument):
    """An instrument of Trio. A step's cost is the CPU since the last step of a kind that the model
    has, or since there was nothing to do, without the frames it writes: so what Trio itself takes
    for it is in it, and what else a host does meanwhile.
    """

    log: Log = field(default_factory=Log)
    numbers: dict[bytes, int] = field(default_factory=dict)
    """What node a peer is."""
    _spent_us: list[dict[str, list[float]]] = field(default_factory=lambda: [defaultdict(list)])
    """By kind of step, as `StepCosts` names them: before the first message, and since each."""
    _kind: str = ""
    _began_s: float = 0.0
    _writing_us: float = 0.0
    _missing: int = 0
    _complete: trio.Event = field(default_factory=trio.Event)

    def before_io_wait(self, timeout: float) -> None:
        """Begin anew where no task can go on."""
        if timeout:
            self._begin("", time.process_time())

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note what the step was, if it is of a kind that the model has."""
        if self._kind:
            now_s = time.process_time()
            spent_us = (now_s - self._began_s) * 1e6
            self._spent_us[-1][self._kind].append(spent_us - self._writing_us)
            self._begin("", now_s)

    def begin_publishing(self, payload: bytes, number: int, receivers: int) -> None:
        """The step at hand publishes a message from here on; so many are to get it."""
        self._spent_us.append(defaultdict(list))
        self._begin("publish", time.process_time())
        self._missing, self._complete = receivers, trio.Event()
        self.log.published[payload] = self._began_s, number

    async def wait_complete(self) -> None:
        """Wait until all have the message that was published last."""
        await self._complete.wait()

    def _begin(self, kind: str, now_s: float) -> None:
        self._kind, self._began_s, self._writing_us = kind, now_s, 0.0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Tell the kinds of steps while the block runs."""
        with ExitStack() as stack:
            for owner, name, build in (
                (MessageReader, "feed", self._mark("read")),
                (PacedPubsub, "_take_frame", self._mark("control")),
                (PacedPubsub, "_take_message", self._note_message),
                (ScoredGossipSub, "mesh_heartbeat", self._mark("heartbeat")),
                (SecureChannel, "write_nowait", self._time_write),
            ):
                stack.enter_context(patch.object(owner, name, build(getattr(owner, name))))
            yield

    def _mark(self, kind: str) -> Any:
        def build(go_on: Any) -> Any:
            def mark(*arguments: Any) -> Any:
                self._kind = kind
                return go_on(*arguments)

            return mark

        return build

    def _note_message(self, go_on: Any) -> Any:
        def note(pubsub: Any, neighbour: Any, message: Any, pace: Any) -> Any:
            at_s, is_known = time.process_time(), pubsub._is_msg_seen(message)
            sender, receiver = (self.numbers[one.to_bytes()] for one in (neighbour, pubsub.my_id))
            self.log.arrived(at_s, sender, receiver, message.data)
            self._kind = "known" if is_known else "first"
            self._missing -= not is_known
            if self._missing == 0:
                self._complete.set()
            return go_on(pubsub, neighbour, message, pace)

        return note

    def _time_write(self, go_on: Any) -> Any:
        def write(channel: SecureChannel, parts: Any) -> Any:
            began_s = time.process_time()
            is_sent = go_on(channel, parts)
            spent_us = (time.process_time() - began_s) * 1e6
            self._spent_us[-1]["write"].append(spent_us)
            self._writing_us += spent_us
            return is_sent

        return write

    def compute_cpu_s(self) -> float:
        """Return what all steps since the first message took, but for heartbeats."""
        kinds = [spent | {"heartbeat": []} for spent in self._spent_us[1:]]
        return sum(sum(map(sum, spent.values())) for spent in kinds) / 1e6

    def compute_costs(self) -> list[StepCosts]:
        """Return what steps cost from each message to the next; of a kind of which there was none
        meanwhile, what it cost before.
        """
        costs, latest = [], dict[str, list[float]]()
        for spent in self._spent_us[1:]:
            latest |= spent
            costs.append(StepCosts(**latest))
        return costs
