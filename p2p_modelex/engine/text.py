"""From token bytes to text: whole characters only, and nothing past a stop string."""

import codecs


class TextStream:
    """Decodes UTF-8 as it comes and holds back what may yet turn out to be a stop string."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = stops
        self._held = ""
        self.stopped = False

    def feed(self, raw: bytes) -> str:
        """Take one token's bytes; return the text that is certain now."""
        return self._release(self._held + self._decoder.decode(raw))

    def finish(self) -> str:
        """Return what was held back; an unfinished character becomes U+FFFD."""
        if self.stopped:
            return ""
        text = self._release(self._held + self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text + ("" if self.stopped else held)

    def _release(self, text: str) -> str:
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
