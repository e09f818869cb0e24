"""When requests come and how long they are: drawn from a shape, or as they were recorded."""

import math
import random
from collections import deque
from typing import Protocol

from p2p_modelex.simulation.actors.recorded import read_requests
from p2p_modelex.simulation.models.lengths import Lengths, draw_log_normal, draw_published
from p2p_modelex.simulation.scenario.tables import Workload


class Arrivals(Protocol):
    """One node's requests of one workload (microseconds)."""

    def find_next(self, after_us: int, until_us: int) -> int | None:
        """Return when the next one comes; None if that is not before `until_us`."""
        ...

    def draw(self) -> Lengths:
        """Return the lengths of the one that is due, once for each that was found."""
        ...


class Drawn:
    """By a shape: Poisson; Gamma, as bursts are; or a Poisson process whose rate has a day."""

    def __init__(self, workload: Workload, rng: random.Random) -> None:
        self._workload = workload
        self._rng = rng

    def find_next(self, after_us: int, until_us: int) -> int | None:
        """See Arrivals."""
        at = after_us
        while at < until_us:
            at += self._draw_gap()
            if self._workload.arrivals != "diurnal" or self._rng.random() < self._compute_rate(at):
                break
        return at if at < until_us else None

    def _draw_gap(self) -> int:
        workload, rng = self._workload, self._rng
        if workload.arrivals == "bursty":
            # A Gamma's coefficient of variation is 1 / sqrt(shape).
            shape = 1.0 / workload.cv**2
            return int(rng.gammavariate(shape, workload.every / shape))
        if workload.arrivals == "diurnal":
            return int(rng.expovariate(1.0) * workload.every / (1.0 + workload.swing))
        return int(rng.expovariate(1.0) * workload.every)

    def _compute_rate(self, at_us: int) -> float:
        """Of the highest rate of the day, which begins in the middle of its rise."""
        workload = self._workload
        wave = math.sin(2.0 * math.pi * at_us / workload.day)
        return (1.0 + workload.swing * wave) / (1.0 + workload.swing)

    def draw(self) -> Lengths:
        """See Arrivals."""
        workload, rng = self._workload, self._rng
        if workload.lengths is not None:
            return draw_published(workload.lengths, rng)
        prompt = draw_log_normal(rng, workload.prompt_tokens, workload.spread)
        return Lengths(prompt, draw_log_normal(rng, workload.completion_tokens, workload.spread))


class Recorded:
    """A recorded workload: of all nodes of the population each makes every n-th request."""

    def __init__(self, workload: Workload, place: int, nodes: int) -> None:
        """place: of the node in its population, from 0. BadInput as read_requests."""
        assert workload.trace is not None
        self._requests = read_requests(workload.trace)
        self._starts_us = workload.starts
        self._next = place
        self._nodes = nodes
        self._due: deque[Lengths] = deque()

    def find_next(self, after_us: int, until_us: int) -> int | None:
        """See Arrivals."""
        if self._next >= len(self._requests):
            return None
        request = self._requests[self._next]
        self._next += self._nodes
        self._due.append(request.lengths)
        at = max(after_us, self._starts_us + request.at_us)
        return at if at < until_us else None

    def draw(self) -> Lengths:
        """See Arrivals."""
        return self._due.popleft()
