"""The exchange's times and sizes; they also stand in protocols/exchange/README.md."""

from p2p_modelex import limits
from p2p_modelex.units import Millis

PROTOCOL = "/modelex/exchange/1"

REQUEST_TIMEOUT_MS = Millis(15_000)
"""From a stream's opening to its first message: longer than a slow dial, short enough to shed."""

START_TIMEOUT_MS = Millis(60_000)
"""From Ask or Order to the answer. It covers the engine's queue, so it is generous."""

ANSWER_TIMEOUT_MS = Millis(START_TIMEOUT_MS - 5_000)
"""A provider refuses what it has not started by then: its requester would give it up as silent
soon after, and five seconds are for both ways. An honest seller with a long queue was banned."""

IDLE_TIMEOUT_MS = Millis(60_000)
"""Between two signs of life of a running job, on either side."""

PACE_TOKENS = 8
"""A running job brings so many in IDLE_TIMEOUT_MS, or is as good as silent: who sends a token a
minute would hold a request for hours. The slowest engines make one a second."""

PAY_TIMEOUT_MS = Millis(15_000)
"""How long a provider holds output back, or waits for the last voucher, before it gives up."""

QUOTE_VALID_MS = Millis(30_000)
"""How long a quote binds the provider."""

CHUNK_INTERVAL_MS = Millis(30)
"""A write on a libp2p stream costs 0.4-0.6 ms CPU, so tokens are coalesced for this long."""

CHUNK_FLUSH_BYTES = 256
"""Text that is sent without waiting for the interval."""

CREDIT_TOKENS_MIN = 2
"""With less credit the requester's half window would be less than a token and both would wait."""

TEMPLATE_TOKENS = 64
"""What a chat template may add to a prompt as a whole (a default system message)."""

TEMPLATE_TOKENS_PER_MESSAGE = 16
"""What a chat template may add around each message."""

TEMPLATE_TOKENS_OF_TOOLS = 512
"""What a chat template may add to say how tools are called."""

TEXT_BYTES_PER_TOKEN = 32
"""With COMPLETION_SLACK_BYTES, the most text a provider may stream for its tokens: 2.2 MB in all,
so that a receipt row stays under limits.ROW_BYTES. Ordinary text has 4 to 5 bytes a token."""

COMPLETION_SLACK_BYTES = 64 * limits.KIB
"""Scores and embeddings have more text than tokens."""

CHUNKS_SLACK = 64
"""Chunks that may come over the tokens so far: long texts of few tokens come in parts. Without it a
provider could drip a character a minute for as long as it likes."""

TOKENS_SLACK = 96
"""Tokens that may show no text: ends of turns, text held back for a stop. Each of the others shows
a byte at least. Without it a provider could bill max_tokens for an empty completion."""

TOKENS_PER_CHARACTER = 4
"""Tokens that show one character, a byte each; an engine may tell the logprob of the last alone."""

OPEN_JOBS_MAX = 256
"""Streams with a request being counted, admitted or run; more are refused `busy`."""

RACE_RETRY_MS = Millis(1_000)
"""When a requester should ask again after a refusal that is about a race."""

PRICES_HELD_MS = Millis(60_000)
"""How long prices that were advertised are still served after dearer ones took their place: 99 of
100 directories have the newer advertisement by then (simulations/results/market.md)."""

FORMER_MAX = 16
"""Advertisements whose prices are held at once; with one each second, the newest count."""

QUOTE_BYTES = 512
"""An encoded Quote has about 250 bytes."""

RECEIPT_FILE_BYTES = 32 * limits.MIB
"""The largest completion, each character escaped, and the largest request."""
