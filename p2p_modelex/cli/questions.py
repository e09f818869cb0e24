"""Questions of the oracle as commands take and show them."""

from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.contracts import show_as_of
from p2p_modelex.cli.kinds import DIGEST
from p2p_modelex.cli.showing import Fields, Moment
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest, parse_address
from p2p_modelex.limits import PROMPT_BYTES
from p2p_modelex.units import Epoch

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.oracle import Request
    from p2p_modelex.chain.contracts.questions import Ask, Provider

NOTHING = Digest(bytes(32))
"""Stands for no template."""

request_argument = click.argument("request", metavar="REQUEST", type=DIGEST)
block_option = click.option(
    "--block", type=click.IntRange(min=0), help="Of the request, to find it fast."
)


def _parse_parameter(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not name or not mark:
        raise BadInput(f"not a parameter: {text[:80]!r}", hint="write name=value")
    return name, value


def question_options(command: Any) -> Any:
    """Add PROMPT, or `--template` with `--parameter`."""
    prompt = click.argument("prompt", required=False)
    template = click.option("--template", type=DIGEST, help="In place of PROMPT.")
    parameters = click.option(
        "--parameter",
        "parameters",
        type=_parse_parameter,
        multiple=True,
        metavar="NAME=VALUE",
        help="Of the template; may be repeated.",
    )
    return prompt(template(parameters(command)))


def parse_provider(text: str) -> "Provider":
    """Return a provider given as SIGNER or SIGNER:PAYEE; BadInput otherwise."""
    from p2p_modelex.chain.contracts.questions import NOBODY, Provider

    signer, mark, payee = text.partition(":")
    return Provider(parse_address(signer), parse_address(payee) if mark else NOBODY)


def read_question(
    prompt: str | None, template: Digest | None, parameters: tuple[tuple[str, str], ...]
) -> tuple[Digest, bytes]:
    """Return the template, or NOTHING, and its parameters or the prompt."""
    from p2p_modelex.chain.contracts.questions import encode_parameters

    if (prompt is None) == (template is None) or (parameters and template is None):
        raise BadInput(
            "a question is a PROMPT, or a --template with its --parameter values",
            hint='give one of the two, such as "Is it so?"',
        )
    if prompt is None or template is not None:
        return template or NOTHING, encode_parameters(dict(parameters))
    try:
        content = prompt.encode()
    except UnicodeEncodeError as error:
        raise BadInput("the prompt is not Unicode") from error
    if len(content) > PROMPT_BYTES:
        raise BadInput(f"a prompt has at most {PROMPT_BYTES} bytes")
    return NOTHING, content


def tell_answer(ask: "Ask", state: "Request", output: bytes | None) -> Fields:
    """Return what an answer says; None for what is not there yet. output: a text answer's."""
    from p2p_modelex.chain.contracts.oracle import Status
    from p2p_modelex.chain.contracts.questions import Kind

    is_final = state.status is Status.ANSWERED
    is_score = ask.terms.kind is Kind.SCORE
    return {
        "score": str(state.score) if is_final and is_score else None,
        "text": None if output is None else output.decode(errors="replace"),
        "completion": state.completion if is_final and not is_score else None,
        "answered_at": Moment(state.answered_at),
        "answered_by": ["0x" + ask.terms.providers[at].signer.hex() for at in state.answered],
    }


def tell_ask(ask: "Ask", epoch: Epoch) -> Fields:
    """Return what was asked of whom. epoch: the token's, which amounts are shown in."""
    terms = ask.terms
    return {
        "kind": terms.kind.name.lower(),
        "prompt": terms.prompt.decode(errors="replace"),
        "template": terms.template if terms.template != NOTHING else None,
        "requester": ask.requester,
        "ceiling": show_as_of(ask.amount, epoch),
        "providers": ["0x" + each.signer.hex() for each in terms.providers],
        "quorum": terms.quorum,
        "band": str(terms.band),
        "deadline": Moment(terms.deadline),
        "callback": terms.callback if any(terms.callback) else None,
    }
