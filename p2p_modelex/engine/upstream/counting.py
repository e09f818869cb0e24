"""How many tokens a prompt has, asked of the server where it can say, else bounded from above."""

import msgspec

from p2p_modelex.core.exchange import pricing
from p2p_modelex.engine.upstream.asking import ask
from p2p_modelex.engine.upstream.dialects import Fields, build_messages, build_tools, get_text
from p2p_modelex.engine.upstream.http import Server
from p2p_modelex.errors import EngineError
from p2p_modelex.records.job import Request

TIMEOUT_S = 30.0


class _Counted(msgspec.Struct, frozen=True):
    count: int | None = None
    tokens: tuple[int, ...] = ()


class _Applied(msgspec.Struct, frozen=True):
    prompt: str


async def count_prompt(server: Server, tokenizes: str, model: str, request: Request) -> int:
    """Return the prompt's tokens: the server's count, or the most that EXC-17 lets it have.

    tokenizes: as in Dialect; empty for a server that cannot say. Raises EngineError.
    """
    most = pricing.compute_prompt_tokens_max(request)
    match tokenizes, request.kind:
        case "chat", "chat":
            asked: Fields = {"messages": build_messages(request), "add_generation_prompt": True}
            asked |= build_tools(request)
        case "llamacpp", _:
            prompt = await _apply_template(server, request)
            asked = {"content": prompt, "add_special": True, "parse_special": True}
        case (("chat" | "text"), ("completion" | "score" | "embedding")):
            asked = {"prompt": get_text(request)}
        case _:
            return most
    counted = await ask(
        server, f"{server.root}/tokenize", {"model": model, **asked}, _Counted, timeout_s=TIMEOUT_S
    )
    count = len(counted.tokens) if counted.count is None else counted.count
    if count < 1:
        raise EngineError("the upstream counts no tokens in a prompt that is not empty")
    # Whoever buys takes more for a lie (EXC-17), so a longer template is on the house.
    return min(count, most)


async def _apply_template(server: Server, request: Request) -> str:
    if request.kind != "chat":
        return get_text(request)
    asked = {"messages": build_messages(request), **build_tools(request)}
    target = f"{server.root}/apply-template"
    return (await ask(server, target, asked, _Applied, timeout_s=TIMEOUT_S)).prompt
