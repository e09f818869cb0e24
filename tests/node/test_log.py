"""Logs: structured, bounded, printable, and without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.node.configuration import LogSettings
from p2p_modelex.node.log import VALUE_CHARACTERS, configure_log, hush_unconfigured
from p2p_modelex.units import Wei

_NAME = "p2p_modelex.test"


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    yield stream
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if handler.get_name() == "modelex":
            root.removeHandler(handler)
            handler.close()


def _log(output: io.StringIO, **settings: str) -> Any:
    configure_log(LogSettings(**settings), stream=output)
    return structlog.get_logger(_NAME)


def _line(output: io.StringIO) -> dict[str, Any]:
    (line,) = output.getvalue().splitlines()
    event: dict[str, Any] = json.loads(line)
    return event


def test_off_a_terminal_a_line_is_a_json_object(output: io.StringIO) -> None:
    _log(output).info("job finished", tokens=7, price=Wei(5), peer=b"\1\2", kinds=("chat",))
    event = _line(output)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "job finished",
        "level": "info",
        "tokens": 7,
        "price": 5,
        "peer": "0102",
        "kinds": ["chat"],
    }


def test_the_console_form_has_the_same_values(output: io.StringIO) -> None:
    _log(output, format="console").warning("peer left", peer="12D3")
    assert "peer left" in output.getvalue()
    assert "peer=12D3" in output.getvalue()


def test_the_level_holds(output: io.StringIO) -> None:
    log = _log(output, level="warning")
    log.info("quiet")
    log.warning("loud")
    assert _line(output)["event"] == "loud"


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_never_written(output: io.StringIO, form: str) -> None:
    log = _log(output, format=form)
    log.info(
        "start",
        passphrase="hunter2",
        peer_seed=b"hunter2",
        nested={"private_key": "hunter2", "deep": [{"Password": "hunter2"}]},
        rpc_url="https://user:hunter2@node.example/v3/hunter2",
    )
    assert "hunter2" not in output.getvalue()
    assert "https://node.example" in output.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_do_not_show_variables(output: io.StringIO, form: str) -> None:
    log = _log(output, format=form)

    def fail(passphrase: str) -> None:
        assert passphrase
        raise RuntimeError("it broke")

    try:
        fail("hunter" + "2")
    except RuntimeError:
        log.exception("failed")
    assert "it broke" in output.getvalue()
    assert "Traceback" in output.getvalue()
    assert "hunter2" not in output.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_peer_cannot_forge_a_line_or_move_the_cursor(output: io.StringIO, form: str) -> None:
    log = _log(output, format=form)
    log.info("refused", reason="no\n2026 [info] paid\x1b[2J\u202e\x9b\udcff")
    text = output.getvalue()
    assert text.count("\n") == 1
    assert not {"\x1b", "\u202e", "\x9b", "\udcff"} & set(text.removesuffix("\n"))


def test_an_error_that_quotes_a_peer_is_cleaned_too(output: io.StringIO) -> None:
    log = _log(output, format="console")
    try:
        raise ValueError("bad \x1b[2J")
    except ValueError:
        log.exception("failed")
    assert "\x1b" not in output.getvalue()
    assert "\\x1b[2J" in output.getvalue()


def test_values_are_bounded(output: io.StringIO) -> None:
    _log(output).info("long", text="x" * 10**6, many=list(range(1000)))
    assert len(output.getvalue()) < VALUE_CHARACTERS + 500


def test_libraries_are_heard_from_warning_up(output: io.StringIO) -> None:
    _log(output, level="debug")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("odd %s", "thing")
    event = _line(output)
    assert (event["event"], event["logger"]) == ("odd thing", "some.library")


def test_our_modules_are_heard_by_both_ways_of_logging(output: io.StringIO) -> None:
    _log(output)
    code = "import structlog, logging; structlog.get_logger().info('one', n=1)\n"
    code += "logging.getLogger(__name__).info('%s', 'two')"
    exec(code, {"__name__": "p2p_modelex.somewhere"})
    events = [json.loads(line)["event"] for line in output.getvalue().splitlines()]
    assert events == ["one", "two"]


def test_a_file_gets_json_as_well(output: io.StringIO, tmp_path: Path) -> None:
    configure_log(LogSettings(format="console", file="node.log"), folder=tmp_path, stream=output)
    structlog.get_logger(_NAME).info("hello")
    path = tmp_path / "node.log"
    assert json.loads(path.read_text())["event"] == "hello"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hello" in output.getvalue()


def test_a_file_that_cannot_be_written_is_named(output: io.StringIO, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="log file"):
        configure_log(LogSettings(file=str(tmp_path)), stream=output)


def test_a_second_call_replaces_the_first(output: io.StringIO) -> None:
    _log(output)
    _log(output).info("once")
    assert _line(output)["event"] == "once"


def test_a_program_without_a_log_hears_warnings_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    structlog.reset_defaults()
    try:
        hush_unconfigured()
        structlog.get_logger("p2p_modelex.x").info("chatter")
        structlog.get_logger("p2p_modelex.x").warning("odd")
    finally:
        structlog.reset_defaults()
    output = capsys.readouterr()
    assert output.out == ""
    assert "odd" in output.err
    assert "chatter" not in output.err
