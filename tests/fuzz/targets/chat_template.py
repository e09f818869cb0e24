"""Chat templates of strangers' model files: compiled or refused, and nothing of them is run."""

from contextlib import suppress

from p2p_modelex.engine.template import ChatTemplate
from p2p_modelex.errors import ModelRejected
from tests.fuzz.choices import Choices

_SPECIAL = {"<|im_start|>": 1, "<|im_end|>": 2}
_PIECES = (
    *("{{ ", " }}", "{% ", " %}", "{# ", " #}", "{%- ", " -%}", "\n", "'", '"', "<|im_start|>"),
    *("for m in messages", "endfor", "if x", "elif y", "else", "endif", "set x = ", "set ns.x"),
    *("macro f(a)", "endmacro", "block b", "endblock", "extends 'x'", "include 'x'", "import 'x'"),
    *("call f()", "endcall", "filter upper", "endfilter", "autoescape ", "endautoescape", "raw"),
    *("x", "m['role']", ".a", "[0]", "[::2]", "(", ")", "[", "]", "{", "}", ", ", ": ", " in "),
    *(" ** ", " * ", " % ", " ~ ", " | ", " is ", "not ", "-", "9", "999999999", "1e999", "'a'"),
    *("center(999999999)", "join", "namespace(x=1)", "lipsum", "cycler", "range(9)", "true"),
)


def run(content: bytes) -> None:
    choices = Choices(content)
    if choices.chance(64):
        source = choices.rest().decode("utf-8", "replace")
    else:
        pieces = []
        while choices:
            pieces.append(
                choices.pick(_PIECES) * (1 + (choices.byte() if choices.chance(8) else 0))
            )
        source = "".join(pieces)
    with suppress(ModelRejected):
        ChatTemplate(source, _SPECIAL, bos="<s>", eos="</s>")
