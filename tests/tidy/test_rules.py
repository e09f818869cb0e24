"""Every rule of protocols/ has code and a test, and no code raises a rule that is not there."""

import re

from tests.tidy.tree import PACKAGE, PROTOCOLS, ROOT, RULE, assert_none, name_of, read, under

# A rule stands at the start of a line, after at most a list mark or a heading's, in bold.
_HEADED = re.compile(rf"^\s*(?:[-*#|]+\s*)?\*\*({RULE.pattern})\*\*(.*)$", re.MULTILINE)
# A rule that code raises or compares is a string of its own.
_QUOTED = re.compile(rf"\"({RULE.pattern})\"")
_FOREIGN = {"UTF-8", "SHA-256", "SHA-512", "CRC-32", "AES-128", "EIP-712"}


def headed() -> dict[str, str]:
    """Rule -> the page and the text it is headed with; withdrawn ones left out."""
    return {
        rule: f"{name_of(page)}{text}"
        for page in under(PROTOCOLS, ".md")
        for rule, text in _HEADED.findall(read(page))
        if page.parent != PROTOCOLS and "withdrawn" not in text
    }


def mentions(texts: list[str]) -> set[str]:
    return {rule for text in texts for rule in RULE.findall(text)}


def code() -> list[str]:
    contracts = under(ROOT / "contracts" / "src", ".sol")
    return [read(path) for path in [*under(PACKAGE, ".py"), *contracts]]


def checks() -> list[str]:
    solidity = under(ROOT / "contracts" / "test", ".sol")
    vectors = [path for path in under(PROTOCOLS, ".json") if path.parent.name == "vectors"]
    return [read(path) for path in [*under(ROOT / "tests", ".py"), *vectors, *solidity]]


def test_rules_were_found() -> None:
    assert "WIRE-1" in headed()


def test_every_rule_is_headed_once() -> None:
    seen: dict[str, int] = {}
    for page in under(PROTOCOLS, ".md"):
        if page.parent != PROTOCOLS:
            for rule, _ in _HEADED.findall(read(page)):
                seen[rule] = seen.get(rule, 0) + 1
    twice = [rule for rule, times in seen.items() if times > 1]
    assert_none(twice, "a number is given once")


def test_every_rule_says_what_the_reader_does() -> None:
    kinds = ("reject", "ignore", "writer")
    silent = [
        rule
        for rule, text in headed().items()
        if not any(f" {kind}" in text.lower() for kind in kinds)
    ]
    assert_none(silent, "say `**RULE-1** · reject · ...`, or ignore, or writer")


def test_every_rule_has_code() -> None:
    served = mentions(code())
    missing = {rule: where for rule, where in headed().items() if rule not in served}
    assert_none(missing, "name the rule where the code serves it")


def test_every_rule_has_a_test_or_a_vector() -> None:
    exercised = mentions(checks())
    missing = {rule: where for rule, where in headed().items() if rule not in exercised}
    assert_none(missing, "name the rule in the test or the vector that exercises it")


def test_no_code_raises_a_rule_that_is_not_in_protocols() -> None:
    raised = {
        rule: name_of(path)
        for path in under(PACKAGE, ".py")
        for rule in _QUOTED.findall(read(path))
        if rule not in _FOREIGN
    }
    written = headed()
    unknown = {rule: where for rule, where in raised.items() if rule not in written}
    assert_none(unknown, "write the rule into protocols/")
