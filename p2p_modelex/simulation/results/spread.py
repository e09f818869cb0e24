"""Distributions in little memory: counts in buckets a sixteenth of a power of two wide."""

_FINE = 4  # bits: a value is told to within 1/16 of itself


class Spread:
    """Of whole numbers from 0 on. Percentiles are upper ends of buckets, so never flattering."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.most = 0
        self._buckets: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Count a value; below 0 is 0."""
        value = max(0, value)
        self.count += 1
        self.total += value
        self.most = max(self.most, value)
        shift = max(0, value.bit_length() - 1 - _FINE)
        bucket = (shift << (_FINE + 1)) + (value >> shift)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def get_percentile(self, share: float) -> int:
        """Return what that share of the values is not above; 0 where there are none."""
        left = share * self.count
        for bucket, count in sorted(self._buckets.items()):
            left -= count
            if left <= 0:
                return self._get_top(bucket)
        return self.most

    def _get_top(self, bucket: int) -> int:
        shift, top = bucket >> (_FINE + 1), bucket & ((2 << _FINE) - 1)
        return min(self.most, ((top + 1) << shift) - 1)

    def get_steps(self) -> list[tuple[int, int]]:
        """Return the distribution: values in rising order, and how many are not above each. Some
        hundreds at most.
        """
        steps, total = [], 0
        for bucket, count in sorted(self._buckets.items()):
            total += count
            steps.append((self._get_top(bucket), total))
        return steps

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 where there are none."""
        return self.total / self.count if self.count else 0.0


def percentiles(name: str, spread: Spread, unit: int) -> dict[str, float]:
    """Return measures of a distribution by name, `unit` to one; none where it is empty."""
    if not spread.count:
        return {}
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    found = {f"{name}_{at}": spread.get_percentile(share) / unit for at, share in shares.items()}
    return found | {f"{name}_max": spread.most / unit}


class SpreadByLoad:
    """A distribution for each power of two that a load was under: at most 64 of them."""

    def __init__(self) -> None:
        self._spreads: dict[int, Spread] = {}

    def add(self, load: int, value: int) -> None:
        """Count a value that was met at a load."""
        self._spreads.setdefault(load.bit_length(), Spread()).add(value)

    def get_levels(self) -> list[tuple[int, Spread]]:
        """Return the highest load of each, in rising order, and the distribution there."""
        return [((1 << bits) - 1, spread) for bits, spread in sorted(self._spreads.items())]
