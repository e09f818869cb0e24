"""What the engine model says: words that follow from a request's seed, in the form it asks for.

A schema's answer is a string of JSON, a call of a tool has the words for its argument, and a vector
has numbers from the same seed. The rules of what may stand in which form are protocols/exchange.
"""

from p2p_modelex.records.embedding import encode_vector
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob, build_logprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import decode_tools, encode_head

_WORDS = tuple(f"word{number} " for number in range(64))
_ARGUMENT, _END = '{"about":"', '"}'
_QUOTE = '"'
_DIMENSIONS = 16


def count_tokens(request: Request) -> int:
    """Return the words of a prompt, and two for each turn: the tokenizer of this model."""
    texts = [request.text, *(message.content for message in request.messages)]
    return sum(len(text.split()) for text in texts) + 2 * len(request.messages)


def count_wanted(request: Request) -> int:
    """Return how long an answer is: that is in the seed, so the same request has the same, and
    who goes on with one that another began has the rest.
    """
    last = request.messages[-1:]
    begun = sum(len(one.content.split()) for one in last if one.role == "assistant")
    return max(1, (request.seed & 0xFFFF) - begun)


def calls_tool(request: Request) -> bool:
    """Whether the answer is a call; where there are tools every second one is."""
    return bool(request.tools) and request.seed >> 16 & 1 == 1


def build_piece(request: Request, at: int) -> str:
    """Return the text of a completion's token, the first of which is 1."""
    word = _WORDS[(request.seed + at) % len(_WORDS)]
    begin = end = ""
    if request.grammar:
        begin = end = _QUOTE
    elif calls_tool(request):
        name = decode_tools(request.tools).tools[0].function.name
        begin, end = encode_head("call", name) + _ARGUMENT, _END
    return (begin if at == 1 else "") + word + (end if at == count_wanted(request) else "")


def build_vector(request: Request) -> str:
    """Return an embedding, as the text it travels in."""
    return encode_vector([(request.seed >> at & 0xFF) / 256 for at in range(_DIMENSIONS)])


def list_logprobs(request: Request, text: str) -> tuple[TokenLogprob, ...]:
    """Return what is told of a token: as many alternatives as are asked for, each less likely."""
    if not request.logprobs:
        return ()
    top = [(f"other{at} ".encode(), -float(at)) for at in range(1, request.logprobs)]
    return (build_logprob(text.encode(), -0.5, top, request.logprobs - 1),)


def choose_finish(request: Request, made: int) -> Finish:
    """Return how an answer of so many tokens ended."""
    if request.kind != "embedding" and made < count_wanted(request):
        return Finish.LENGTH
    return Finish.TOOL_CALLS if calls_tool(request) else Finish.STOP


def reads_well(request: Request, text: str) -> bool:
    """Whether a person would take a text for this model's answer to a request."""
    if request.kind == "embedding":
        return text == build_vector(request)
    _, _, said = text.rpartition(_ARGUMENT)
    words = said.strip(_QUOTE + _END).split()
    return bool(words) and all(f"{word} " in _WORDS for word in words)
