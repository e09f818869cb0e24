"""Configuration: what is written can be read, and what is wrong is named with its line."""

# A table of mistakes reads best with one to a line.
# ruff: noqa: E501

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex import limits
from p2p_modelex.core.routing.filters import ByList
from p2p_modelex.core.routing.pickers.cheapest import Cheapest
from p2p_modelex.core.routing.profile import CHOICES, PROFILES
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.ids import PublicKey, format_peer_id, peer_id_of
from p2p_modelex.node.aliases import AliasSettings
from p2p_modelex.node.configuration import Configuration, LogSettings, MeshSettings, NetworkSettings
from p2p_modelex.node.configuration_file import (
    parse_configuration,
    read_configuration,
    write_configuration,
)
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.options import meaning_of
from p2p_modelex.node.requester_settings import RequesterSettings
from p2p_modelex.node.routing_profiles import ProfileSettings, find_profile
from p2p_modelex.units import AI, Epoch, Wei

PEER = peer_id_of(PublicKey(bytes(32)))
PROVIDER = 'role = "provider"\n[[models]]\nmodel = "m"\n'


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_configuration("") == Configuration()


def test_what_is_written_is_read_again() -> None:
    configuration = Configuration(
        role="provider",
        network=NetworkSettings("other.toml", "https://node.example/key"),
        mesh=MeshSettings(
            ("/ip4/127.0.0.1/tcp/0",), (), ("/ip4/1.2.3.4/tcp/1/p2p/12D3",), dht=False
        ),
        requester=RequesterSettings(max_cost=Wei(AI // 3)),
        log=LogSettings(file='odd "name"\\\x7f\n.log'),
        models=(
            ModelSettings("a", prompt_price=Wei(1), completion_price=Wei(2 * AI // 1000)),
            ModelSettings("b", engine="xllamacpp", gpu_layers=1000),
        ),
    )
    assert parse_configuration(write_configuration(configuration)) == configuration


@given(
    text=st.text(max_size=30),
    price=st.integers(0, 10**24),
    cost=st.integers(0, 10**27),
    tokens=st.integers(1, limits.COMPLETION_TOKENS_MAX),
)
def test_any_values_survive_the_file(text: str, price: int, cost: int, tokens: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    configuration = Configuration(
        network=NetworkSettings(deployment=text),
        requester=RequesterSettings(max_cost=Wei(cost)),
        models=(ModelSettings("m", completion_price=Wei(price), max_tokens=tokens),),
    )
    assert parse_configuration(write_configuration(configuration)) == configuration


@pytest.mark.parametrize(
    "configuration", [Configuration(), Configuration(models=(ModelSettings("m"),))]
)
def test_the_file_has_every_option_with_its_meaning(configuration: Configuration) -> None:
    lines = write_configuration(configuration).splitlines()
    kinds = [Configuration, ModelSettings, ProfileSettings] + [
        type(getattr(configuration, field.name))
        for field in dataclasses.fields(Configuration)
        if dataclasses.is_dataclass(getattr(configuration, field.name))
    ]
    for field in [field for kind in kinds for field in dataclasses.fields(kind)]:
        if meaning_of(field):
            places = [
                number
                for number, line in enumerate(lines)
                if line.removeprefix("#").startswith(f"{field.name} = ")
            ]
            assert places, field.name
            assert all(lines[number - 1].startswith("# ") for number in places)


def test_taking_the_mark_away_from_every_default_changes_nothing() -> None:
    lists = {
        "aliases": (AliasSettings("mine", "m"),),
        "models": (ModelSettings("m"),),
        "profiles": (ProfileSettings("mine"),),
    }
    text = write_configuration(Configuration(**lists))  # type: ignore[arg-type]
    bare = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in text.splitlines()
    )
    assert parse_configuration(bare) == parse_configuration(text)


@pytest.mark.parametrize(
    ("written", "wei"),
    [
        ("0", 0),
        ("1", AI // 1000),
        ("0.02", AI // 50_000),
        ("0.000000000000001", 1),
        ("1000000000", 10**24),
    ],
)
def test_prices_are_for_1000_tokens_and_exact(written: str, wei: int) -> None:
    text = PROVIDER + f'completion_price = "{written}"\n'
    assert parse_configuration(text).models[0].completion_price == wei


@pytest.mark.parametrize(
    "written",
    ['"0.0000000000000001"', '"-1"', '"1e3"', '"1,5"', '"1_0"', "0.02", "1", '""', '" 1"',
     '"nan"', '"1000000001"', '"1.0000000000000000000"', "true"],
)  # fmt: skip
def test_inexact_or_odd_prices_are_refused(written: str) -> None:
    text = PROVIDER + f"completion_price = {written}\n"
    with pytest.raises(
        ConfigurationError, match=r"line 4: models\[0\]\.completion_price"
    ) as caught:
        parse_configuration(text)
    assert "AI for 1000 tokens as text" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('\n[mesh]\nlisten = ["/a"]\nlissen = []\n', "line 4: unknown option `mesh.lissen`", "did you mean `listen`?"),
        ("[mehs]\n", "line 1: unknown option `mehs`", "did you mean `mesh`?"),
        ("roll = 1\n", "line 1: unknown option `roll`", "did you mean `role`?"),
        ("[log]\nzzz = 1\n", "line 2: unknown option `log.zzz`", "level, format, file"),
        ("\n\nrole = 'boss'\n", "line 3: role cannot be 'boss'", '"requester"'),
        ("[mesh]\ndht = 1\n", "line 2: mesh.dht cannot be 1", "true or false"),
        ("[mesh]\nlisten = 'x'\n", "line 2: mesh.listen cannot be 'x'", "list of at most 8"),
        ("[mesh]\nlisten = [1]\n", "line 2: mesh.listen", "list of at most 8"),
        (f"[mesh]\nlisten = {['/a'] * 9}\n", "line 2: mesh.listen", "list of at most 8"),
        ("[settlement]\nredeem_every_s = '60s'\n", "line 2: settlement.redeem_every_s cannot be '60s'", "whole number of seconds, 60 to 2592000"),
        ("[settlement]\nredeem_every_s = 0\n", "line 2: settlement.redeem_every_s cannot be 0", "seconds"),
        ("[settlement]\nredeem_every_s = true\n", "redeem_every_s cannot be true", "seconds"),
        ("[settlement]\nredeem_every_s = 1.5\n", "redeem_every_s cannot be 1.5", "seconds"),
        ("[log]\nfile = 3\n", "line 2: log.file cannot be 3", "text"),
        ("log = 3\n", "line 1: log is not a table", "[log]"),
        ("models = 3\n", "models is not a list", "[[models]]"),
        ("[models]\nmodel = 'x'\n", "line 1: models is not a list", "[[models]]"),
        ("[[models]]\n[[models]]\n", "line 1: models[0].model is missing", "add it"),
        ("profiles = 3\n", "profiles is not a list", "[[profiles]]"),
        ("[[aliases]]\nname='a'\nmodel='b'\n" * 2, "alias 'a' appears twice", "once"),
        ("[[aliases]]\nname='a'\nmodel='a'\n", "alias 'a' appears twice, is empty, or stands", "once"),
        ("[[profiles]]\nname='a'\n" * 17, "17 profiles", "at most 16"),
        ("[[profiles]]\nname='a'\n" * 2, "profile 'a' appears twice", "once"),
        ("[[profiles]]\nname='default'\n", "profile 'default' appears twice, is one of", "once"),
        ("[[profiles]]\nname='a'\npicker='best'\n", "line 3: profiles[0].picker cannot be 'best'", '"hot_cold"'),
        ("[[profiles]]\nname='a'\nprice=101\n", "line 3: profiles[0].price cannot be 101", "0 to 100"),
        ("[[profiles]]\nname='a'\nprice=0\nlatency=0\nload=0\nrecord=0\ncache=0\n", "'a' weighs nothing", "affinity"),
        ("[[profiles]]\nname='a'\ndeny=['x']\n", "profile 'a': ", "12D3KooW"),
        ("[[profiles]]\nname='a'\nfarm='No Farm'\n", "profile 'a': neither a farm's", "small letters"),
        ("[requester]\nprofile='best'\n", "no routing profile 'best'", "default, cheapest, fastest, sticky"),
        ("[[models]]\nmodel='a'\n[[models]]\nslot=1\n", "line 4: unknown option `models[1].slot`", "`slots`"),
        ("[[models]]\nmodel='a'\nslots = 1000\n", "line 3: models[0].slots cannot be 1000", "1 to 256"),
        ("[[models]]\nmodel='m'\n" * 17, "17 models", "at most 16"),
        ("[[models]]\nmodel='m'\n" * 2, "model 'm' appears twice", "once"),
        ("[[models]]\nmodel='m'\nkinds = ['chat', 'chat']\n", "models[0].kinds cannot be", "list of some of"),
        ("[[models]]\nmodel='m'\nkinds = ['song']\n", "line 3: models[0].kinds cannot be", '"embedding"'),
        ("[[models]]\nmodel='m'\nupstream_weights = 'ab'\n", "64 hexadecimal digits", "SHA-256"),
        ("[[models]]\nmodel='m'\nengine = 'upstream'\n", "go together", "upstream_url = "),
        ("[[models]]\nmodel='m'\nupstream_url = 'http://h/v1'\n", "go together", "upstream_url = "),
        ("role = 'provider'\n", "no model to sell", "[[models]]"),
        ("role = 'bootstrap'\n[mesh]\nlisten = []\n", "mesh.listen is empty", ""),
        ("[mesh]\nlisten = ['127.0.0.1:1']\n", "'127.0.0.1:1' is not a multiaddr", "/ip4/"),
        ("[mesh]\nbootstrap = ['/ip4/1.2.3.4/tcp/1']\n", "does not say who it is", "/p2p/"),
        ("[network]\nrpc_url = 'ftp://x'\n", "network.rpc_url", ""),
        ("a = \n", "not TOML: Invalid value (at line 1", "quotes"),
        ("role = 'provider'\nrole = 'provider'\n", "not TOML", "quotes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_and_remedy(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "modelex.toml"
    path.write_text('[log]\nlevel = "debug"\n')
    assert read_configuration(path, environ={}).log.level == "debug"
    path.write_text("x = 1")
    with pytest.raises(ConfigurationError, match=r"modelex\.toml, line 1"):
        read_configuration(path, environ={})


def test_a_missing_binary_or_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "modelex.toml"
    with pytest.raises(ConfigurationError, match="cannot read") as caught:
        read_configuration(path, environ={})
    assert "modelex init" in caught.value.hint
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        read_configuration(path, environ={})
    path.write_text("#" * 300_000)
    with pytest.raises(ConfigurationError, match="over"):
        read_configuration(path, environ={})


def test_variables_override_the_file_and_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "modelex.toml"
    path.write_text('[log]\nlevel = "debug"\n')
    environ = {"MODELEX_RPC_URL": "http://chain:1", "MODELEX_LOG_LEVEL": "error"}
    configuration = read_configuration(path, environ=environ)
    assert configuration.network.rpc_url == "http://chain:1"
    assert configuration.log.level == "error"
    for wrong in ({"MODELEX_LOG_LEVEL": "loud"}, {"MODELEX_RPC_URL": "chain"}):
        with pytest.raises(ConfigurationError, match="MODELEX_"):
            read_configuration(path, environ=wrong)


def test_an_own_profile_is_found_and_built() -> None:
    text = f"""
    [requester]
    profile = "mine"
    [[profiles]]
    name = "mine"
    picker = "cheapest"
    latency_bound_ms = 700
    farm = "farm:harvest"
    latency = 0
    deny = ["{format_peer_id(PEER)}"]
    """
    configuration = parse_configuration(text)
    profile = find_profile(configuration.requester.profile, configuration.profiles)
    assert profile.picker == Cheapest(choices=CHOICES, bound_ms=700)
    assert [(one.name, weight) for one, weight in profile.scorers] == [
        ("price", 1),
        ("load", 2),
        ("record", 1),
        ("cache", 1),
    ]
    assert ByList((), (PEER,)) in profile.filters
    assert profile.farm == "harvest"
    assert find_profile("sticky", configuration.profiles) is PROFILES["sticky"]


def test_what_a_gateway_charges_is_read_written_and_checked() -> None:
    account = "0x" + "ab" * 20
    text = f'[x402]\ncharge = true\npayee = "{account}"\nprices = ["a=b=0.5", "c=1"]\n'
    configuration = parse_configuration(text)
    charges = configuration.x402
    assert (charges.charge, charges.payee) == (True, account)
    assert charges.prices == (("a=b", AI // 2), ("c", AI))
    assert parse_configuration(write_configuration(configuration)) == configuration
    moved = charges.move(0, Epoch(2))
    assert moved.prices == (("a=b", 2 * AI), ("c", 4 * AI))
    assert moved.least == 4 * charges.least > 0
    for wrong in (
        'prices = ["a"]',
        'prices = ["=1"]',
        'prices = ["a=1", "a=2"]',
        'prices = ["a=much"]',
        'prices = "a=1"',
        'payee = "me"',
        "payee = 1",
        "markup = -1",
    ):
        with pytest.raises(ConfigurationError, match="line 2"):
            parse_configuration(f"[x402]\n{wrong}\n")
