"""The template of a map: a request with places that each input fills.

It is JSON with the fields of `Template`, or plain text, as in the prompt library on chain, which is
then all of the prompt. `{headline}` stands for the field of that name; other braces are text.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest
from p2p_modelex.limits import PROMPT_BYTES
from p2p_modelex.node.request import build_request
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Message, Request

TEMPLATE_BYTES = 256 * 1024
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,63})\}")
Fields = Mapping[str, object]
"""An input. Texts are put in as they are, other values as JSON."""


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A request with places in `text` or in the contents of `messages`; one of the two is given.

    schema: a JSON schema that the answer is to follow; grammar: GBNF, in place of one. The rest is
    as in records/job.py: Request.
    """

    model: str = ""
    kind: Kind = "chat"
    text: str = ""
    messages: tuple[Turn, ...] = ()
    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    grammar: str = ""
    schema: dict[str, object] | None = None

    @property
    def digest(self) -> Digest:
        """What tells it from others."""
        return Digest(hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest())

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The fields that an input must have."""
        found = [name for text in self._texts for name in _PLACE.findall(text)]
        return tuple(dict.fromkeys(found))

    @property
    def _texts(self) -> Sequence[str]:
        return (self.text, *(turn.content for turn in self.messages))

    @property
    def sample(self) -> Request:
        """A request of this kind, to ask with who would serve it."""
        return self.fill(dict.fromkeys(self.places, "x"))

    def validate(self) -> None:
        """Raise BadInput where it asks for what no request can: now, and not at the first input."""
        if bool(self.text) == bool(self.messages):
            raise BadInput("it has either a text or messages", hint="give one of the two")
        if not self.model:
            raise BadInput("it names no model", hint="say `model` there, or give --model")
        if self.schema and self.grammar:
            raise BadInput("it has a schema and a grammar", hint="give one of the two")
        if self.messages and self.kind != "chat":
            raise BadInput(f"messages are of kind chat, not {self.kind}", hint="give a text")
        _ = self.sample

    def fill(self, fields: Fields) -> Request:
        """Return the request that an input makes. BadInput if a field is missing, or the request
        is out of its bounds.
        """
        missing = [name for name in self.places if name not in fields]
        if missing:
            raise BadInput(f"it has no field {', '.join(map(repr, missing))}", hint=_FIELDS)
        values = {name: _write(fields[name]) for name in self.places}
        # Before it is filled: a value may stand in thousands of places.
        size = sum(len(text) for text in self._texts)
        size += sum(len(values[name]) for text in self._texts for name in _PLACE.findall(text))
        if size > PROMPT_BYTES:
            raise BadInput(f"template and fields come to more than {PROMPT_BYTES} characters")
        return self._build(values)

    def _build(self, values: Mapping[str, str]) -> Request:
        def put(text: str) -> str:
            return _PLACE.sub(lambda place: values[place[1]], text)

        prompt: str | list[Message] = put(self.text)
        if self.messages:
            prompt = [Message(turn.role, put(turn.content)) for turn in self.messages]
        return build_request(
            prompt,
            model=self.model,
            kind=self.kind,
            max_tokens=1 if self.kind == "embedding" else self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
            stop=self.stop,
            grammar=msgspec.json.encode(self.schema).decode() if self.schema else self.grammar,
        )


_FIELDS = "each input needs the fields that stand in braces in the template"


@dataclass(frozen=True, slots=True)
class Override:
    """What a caller says in place of the template; None leaves it as it is."""

    model: str | None = None
    kind: Kind | None = None
    max_tokens: int | None = None


def parse_template(content: str, *, is_json: bool, override: Override = Override()) -> Template:  # noqa: B008
    """Return a template. BadInput if it is malformed, or asks for what no request can."""
    template = _decode(content) if is_json else Template(text=content.rstrip("\n"))
    said = {
        name: value
        for name in Override.__dataclass_fields__
        if (value := getattr(override, name)) is not None
    }
    template = msgspec.structs.replace(template, **said)
    template.validate()
    return template


def read_template(path: Path, override: Override) -> Template:
    """Read a template's file, JSON if it is called so. BadInput, naming the file."""
    try:
        with path.open(encoding="utf-8") as file:
            content = file.read(TEMPLATE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the template {path}: {error}") from error
    if len(content) > TEMPLATE_BYTES:
        raise BadInput(f"{path}: a template has at most {TEMPLATE_BYTES} characters")
    try:
        return parse_template(content, is_json=path.suffix == ".json", override=override)
    except BadInput as error:
        raise BadInput(f"{path}: {error.message}", hint=error.hint) from error


def _write(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _decode(content: str) -> Template:
    try:
        return msgspec.json.decode(content, type=Template)
    except (msgspec.MsgspecError, RecursionError) as error:
        hint = f"a template has {', '.join(Template.__struct_fields__)}"
        raise BadInput(f"not a template: {error}", hint=hint) from error
