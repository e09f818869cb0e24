"""Output on its way from the engine to the requester: coalesced, and held back until paid for."""

from collections import deque

from p2p_modelex import limits
from p2p_modelex.core.exchange import parameters, pricing
from p2p_modelex.records.logprobs import TokenLogprob

# A character has at most 4 UTF-8 bytes, so a part of this many fits a chunk.
_PART_CHARACTERS = limits.CHUNK_TEXT_BYTES // 4
_PART_LOGPROBS = limits.CHUNK_LOGPROBS_MAX

Logprobs = tuple[TokenLogprob, ...]


class HeldOutput:
    """Pieces in order. What was taken is the completion that the receipt covers."""

    def __init__(self, max_tokens: int) -> None:
        self._room = max_tokens
        # Text, tokens, and the log probabilities of at most as many tokens.
        self._held: deque[tuple[str, int, Logprobs]] = deque()
        self._taken: list[str] = []
        self.held_bytes = 0
        self.put_bytes = 0
        """UTF-8 bytes of all text ever put."""
        self.put_tokens = 0
        self._told = 0
        self.tokens = 0
        """Completion tokens taken so far."""
        self.chunks = 0
        """Chunks taken so far, the index of the next."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    def explain_broken(self, *, is_telling: bool, is_whole: bool) -> str:
        """Say which rule the output would break at its requester, or nothing."""
        if self.put_bytes > pricing.compute_completion_bytes_max(self.put_tokens):
            return "EXC-11: more text than tokens"
        least = (self.put_tokens - parameters.TOKENS_SLACK) / parameters.TOKENS_PER_CHARACTER
        is_silent = is_whole and self.put_bytes and not self._told
        if is_telling and (self._told < least or is_silent):
            return "EXC-21: no logprobs"
        return ""

    @property
    def completion(self) -> str:
        """All text taken."""
        return "".join(self._taken)

    def put(self, text: str, tokens: int, logprobs: Logprobs = ()) -> None:
        """Add a piece. Tokens over the job's max_tokens are not billed, nor told of."""
        tokens = max(0, min(tokens, self._room))
        self._room -= tokens
        self.put_tokens += tokens
        size = len(text.encode())
        while len(text) > _PART_CHARACTERS:
            self._held.append((text[:_PART_CHARACTERS], 0, ()))
            text = text[_PART_CHARACTERS:]
        logprobs = logprobs[:tokens]
        self._told += len(logprobs)
        while len(logprobs) > _PART_LOGPROBS:
            self._held.append(("", _PART_LOGPROBS, logprobs[:_PART_LOGPROBS]))
            tokens, logprobs = tokens - _PART_LOGPROBS, logprobs[_PART_LOGPROBS:]
        if text or tokens:
            self._held.append((text, tokens, logprobs))
        self.held_bytes += size
        self.put_bytes += size

    def take(self, allowance: int | None) -> tuple[str, int, Logprobs] | None:
        """Take what fits one chunk and at most `allowance` more tokens (None: any number).

        Returns the text, the cumulative token count and the log probabilities, or None if nothing
        may go. A piece of more tokens than are allowed is billed in parts; its text goes with the
        last.
        """
        texts: list[str] = []
        told: list[TokenLogprob] = []
        size = billed = 0
        while self._held:
            text, tokens, logprobs = self._held[0]
            if len(told) + len(logprobs) > _PART_LOGPROBS:
                break
            fits = tokens if allowance is None else min(tokens, allowance - billed)
            if fits < tokens:
                self._held[0] = (text, tokens - fits, logprobs[fits:])
                told += logprobs[:fits]
                billed += fits
                break
            length = len(text.encode())
            if size + length > limits.CHUNK_TEXT_BYTES:
                break
            self._held.popleft()
            texts.append(text)
            told += logprobs
            size += length
            billed += tokens
        if not texts and not billed:
            return None
        self.tokens += billed
        self.held_bytes -= size
        self.chunks += 1
        self._taken.extend(texts)
        return "".join(texts), self.tokens, tuple(told)

    def drop(self) -> None:
        """Forget what is still held: it will be neither sent nor billed."""
        self._held.clear()
        self.held_bytes = 0
