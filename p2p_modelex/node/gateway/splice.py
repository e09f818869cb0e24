"""A stream that cannot take back what it said, when another provider begins anew.

Text that has gone out stays. The new provider's is held back for as long as it repeats it and goes
on from there; deterministic requests on the same weights do (a seed is part of every request). If
it says something else the stream has to end.
"""

from p2p_modelex.records.logprobs import TokenLogprob

Logprobs = tuple[TokenLogprob, ...]


class Diverged(Exception):
    """The new provider's text does not begin with what was said already."""


class Splice:
    """What one choice has said so far."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._due = ""
        """What the new provider has yet to repeat."""
        self._told = self._told_due = 0

    def restart(self) -> None:
        """Another provider begins anew."""
        self._due = "".join(self._said)
        self._told_due = self._told

    def feed(self, text: str) -> str:
        """Take a piece of the text; return what is new of it. Raises Diverged."""
        if self._due:
            if not (self._due.startswith(text) or text.startswith(self._due)):
                raise Diverged
            self._due, text = self._due[len(text) :], text[len(self._due) :]
        if text:
            self._said.append(text)
        return text

    def skip(self, told: Logprobs) -> Logprobs:
        """Take the log probabilities of a piece's tokens; return those not passed on before."""
        fresh = told[self._told_due :]
        self._told_due = max(0, self._told_due - len(told))
        self._told += len(fresh)
        return fresh

    def finish(self) -> None:
        """The text is whole. Raises Diverged if it ended before what was said."""
        if self._due:
            raise Diverged
