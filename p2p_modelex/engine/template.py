"""Chat templates: the model's own Jinja template, rendered in a sandbox.

The rule: special tokens come from the template's text only, never from what people wrote. Each
first and last character of a special token that occurs in a message is marked with a Unicode
noncharacter; marked text cannot match a special token, and the marks are taken out again after
the rendered text has been split. Marking, unlike placeholders, leaves the text in place, so that
a template that trims or inspects a message still works.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import TemplateError, nodes, pass_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from p2p_modelex import limits
from p2p_modelex.engine.calls import read_arguments, show_tools, show_turn
from p2p_modelex.errors import ModelRejected, Unsupported
from p2p_modelex.records.job import Message

# A template is a file's code run by us: the sandbox bounds what it reaches, this what it makes.
TEMPLATE_BYTES = 64 * limits.KIB
RENDERED_BYTES = 4 * limits.PROMPT_BYTES
_NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # never valid in exchanged text
_MARKS = 2


class ChatTemplate:
    """A compiled template. `bos`, `eos`: texts of those tokens, which templates refer to."""

    def __init__(self, source: str, special: Mapping[str, int], *, bos: str, eos: str) -> None:
        if len(source) > TEMPLATE_BYTES:
            raise ModelRejected(f"the chat template is over {TEMPLATE_BYTES} bytes")
        # Else constants would be worked out here and now, were they `9**9**9`.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, optimized=False, finalize=_leave
        )
        environment.globals = {"raise_exception": _refuse}
        environment.filters["tojson"] = _write_json
        try:
            parsed = environment.parse(source)
            if parsed.find(nodes.EvalContextModifier) is not None:
                raise ModelRejected("the chat template sets how it is compiled")
            self._template = environment.from_string(parsed)
        # A number of 5,000 digits is a ValueError; Python, to which it is compiled, has limits too.
        except (TemplateError, RecursionError, ValueError, SyntaxError, MemoryError) as error:
            raise ModelRejected(f"the chat template does not compile: {error}") from error
        self._special = dict(special)
        self._bos, self._eos = bos, eos
        longest_first = sorted(special, key=lambda text: (-len(text), text))
        self._split = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        first = "".join(sorted({text[0] for text in special}))
        last = "".join(sorted({text[-1] for text in special}))
        self._first = re.compile(f"([{re.escape(first)}])" if first else r"((?!))")
        self._last = re.compile(f"([{re.escape(last)}])" if last else r"((?!))")

    def render(self, messages: tuple[Message, ...], tools: str = "") -> list[str | int]:
        """Return plain texts and ids of special tokens in order, ending where the answer begins, or
        goes on if the last turn is the assistant's.

        tools: of the request. Raises Unsupported if they make no sense, or if the template refuses
        these messages (some know no system role).
        """
        mark, end = _choose_marks([tools, *(message.content for message in messages)])
        shown = self._show(messages, tools, mark)
        goes_on = messages[-1].role == "assistant"
        if goes_on:
            last = shown["messages"][-1]
            last["content"] = (last.get("content") or "") + end
        try:
            rendered = self._template.render(
                **shown,
                add_generation_prompt=not goes_on,
                bos_token=self._bos,
                eos_token=self._eos,
            )
        except Unsupported:
            raise
        except Exception as error:  # templates are code from a file: anything may come out
            raise Unsupported(f"the model's chat template failed: {error}") from error
        if len(rendered) > RENDERED_BYTES:
            raise Unsupported("the model's chat template rendered too much text")
        return self._segment(_cut(rendered, end) if goes_on else rendered, mark)

    def _mark(self, text: str, mark: str) -> str:
        return self._first.sub(rf"\1{mark}", self._last.sub(rf"{mark}\1", text))

    def _show(self, messages: tuple[Message, ...], tools: str, mark: str) -> dict[str, Any]:
        """Return what a template is given, with everything marked that people wrote."""

        def marked(value: Any) -> Any:
            match value:
                case str():
                    return self._mark(value, mark)
                case dict():
                    return {marked(name): marked(one) for name, one in value.items()}
                case list():
                    return [marked(one) for one in value]
                case _:
                    return value

        if not tools:
            return {"messages": [{"role": m.role, "content": marked(m.content)} for m in messages]}
        return {
            "messages": [show_turn(message, marked, read_arguments) for message in messages],
            "tools": show_tools(tools, marked) or None,
        }

    def _segment(self, rendered: str, mark: str) -> list[str | int]:
        segments: list[str | int] = []
        position = 0
        for match in self._split.finditer(rendered):
            segments.append(rendered[position : match.start()].replace(mark, ""))
            segments.append(self._special[match.group()])
            position = match.end()
        segments.append(rendered[position:].replace(mark, ""))
        return [segment for segment in segments if segment != ""]


@pass_context
def _leave(_context: object, value: object) -> object:
    """Change nothing. Being asked for the context, it tells jinja that no output is constant."""
    return value


def _write_json(value: object, indent: int | None = None, **_: object) -> str:
    """Templates are written for this one; jinja's own makes HTML of it."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: object) -> str:
    raise Unsupported(f"the model's chat template refuses this: {str(message)[:200]}")


def _cut(rendered: str, end: str) -> str:
    """Return the text up to the end of the last turn, which a template closes."""
    if rendered.count(end) != 1:
        raise Unsupported("the model's chat template cannot go on with a turn of the assistant's")
    return rendered.partition(end)[0]


def _choose_marks(texts: Iterable[str]) -> tuple[str, str]:
    """Return two characters that nobody wrote: inside special tokens, and at the end of a turn."""
    whole = "".join(texts)
    unused = [mark for mark in _NONCHARACTERS if mark not in whole]
    if len(unused) < _MARKS:
        raise Unsupported("the messages use every Unicode noncharacter from U+FDD0 to U+FDEF")
    return unused[0], unused[1]
