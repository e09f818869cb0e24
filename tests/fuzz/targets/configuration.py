"""modelex.toml as anybody might write it: a configuration, or an error that names the place."""

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import parse_configuration, write_configuration
from tests.fuzz.choices import Choices

_WRITTEN = write_configuration(Configuration(role="requester"))
# Every option, with its default, as a line that can be taken or left.
_LINES = tuple(
    line.removeprefix("#")
    for line in _WRITTEN.splitlines()
    if line and not line.startswith("# ") and line != "#"
)
_VALUES = (
    *('""', '"a"', "0", "-1", "1", "1.5", "true", "[]", '[""]', "[[]]", "{}", "1979-05-27"),
    *("nan", "inf", '"/ip4/1.2.3.4/tcp/1/p2p/x"', '"http://x"', '"0.25"', '"\\u0000"'),
    *("9" * 5000, "0x" + "f" * 99, "[" * 3000, "1" + "_0" * 40, '"' + "9" * 300 + '"'),
    *('"provider"', '"12D3KooW"'),
)


def run(content: bytes) -> None:
    choices = Choices(content)
    text = choices.rest().decode("utf-8", "replace") if choices.chance(96) else _draw(choices)
    try:
        configuration = parse_configuration(text)
    except ConfigurationError:
        return
    assert parse_configuration(write_configuration(configuration)) == configuration


def _draw(choices: Choices) -> str:
    lines: list[str] = []
    while choices and len(lines) < 60:
        line = choices.pick(_LINES)
        name, equals, _ = line.partition(" = ")
        if equals and choices.chance(160):
            line = f"{name} = {choices.pick(_VALUES)}"
        lines.append(line)
    return "\n".join(lines)
