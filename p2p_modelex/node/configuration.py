"""A node's configuration: one frozen tree, read from `modelex.toml`.

Each option stands once, here or in the module of its table, with its default and its meaning; the
file that `modelex init` writes and docs/configuration.md are made from it. Reading:
node/configuration_file.py.
"""

# `option` makes a dataclass field, which is what the rule would have here.
# ruff: noqa: RUF009

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from p2p_modelex import limits
from p2p_modelex.node.aliases import ALIASES_MAX, AliasSettings
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.options import AMOUNT, SWITCH, TEXT, choice, option, texts, whole
from p2p_modelex.node.requester_settings import RequesterSettings
from p2p_modelex.node.routing_profiles import PROFILES_MAX, ProfileSettings
from p2p_modelex.units import AI, SPLITS_MAX, Epoch, Wei

Role = Literal["provider", "requester", "bootstrap"]

_DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Which mesh and which chain this node belongs to."""

    deployment: str = option(
        TEXT,
        "network.toml",
        "File with the network's name, chain id and contract addresses; a relative path starts at "
        "the data directory. All nodes of a mesh have the same one.",
    )
    rpc_url: str = option(
        TEXT,
        "http://127.0.0.1:8545",
        "JSON-RPC endpoint of an EVM node on that chain. It sees your accounts and could lie "
        "about balances, so use your own or one you trust. MODELEX_RPC_URL overrides it.",
    )


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """How this node meets its peers."""

    listen: tuple[str, ...] = option(
        texts(limits.ADDRESSES_MAX),
        ("/ip4/0.0.0.0/tcp/4701",),
        "Multiaddrs to listen on. Port 0 takes any free one, which no peer can know beforehand.",
    )
    announce: tuple[str, ...] = option(
        texts(limits.ADDRESSES_MAX),
        (),
        "Multiaddrs to tell other peers instead of those listened on; needed behind NAT with a "
        "forwarded port.",
        example='["/ip4/203.0.113.7/tcp/4701"]',
    )
    bootstrap: tuple[str, ...] = option(
        texts(64),
        (),
        "Peers to join through. More of them make joining surer and cost one connection each.",
        example='["/ip4/203.0.113.7/tcp/4701/p2p/12D3KooW..."]',
    )
    dht: bool = option(SWITCH, True, "Find peers and be found in the Kademlia DHT.")
    mdns: bool = option(
        SWITCH, False, "Find peers on the local network by mDNS; tells the network you are there."
    )
    connections: int = option(
        whole(8, limits.CONNECTIONS_MAX, "connections"),
        256,
        "Most connections at once. Each costs about 85 KiB of memory; a bootstrap peer wants more.",
    )


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Whether this node stands in the registry on chain."""

    register: bool = option(
        SWITCH,
        False,
        "Put a provider into the registry and keep its entry current. Then anyone can see on chain "
        "that your account runs this peer and check what it advertises, requesters that want "
        "registered providers find it, and an authoriser can admit it. Costs gas: about 120,000 "
        "once, 36,000 for each change. Off, the node is known to its mesh only; an entry that is "
        "there stays as it is.",
    )
    update_every_s: int = option(
        whole(1, 30 * _DAY_S, "seconds"),
        3600,
        "Changes of offers, prices, addresses or accounts are anchored at most this often. Lower "
        "costs more gas where they change a lot; until then the entry shows as older.",
    )


@dataclass(frozen=True, slots=True)
class SettlementSettings:
    """When this node takes what it earned to the chain."""

    redeem_above: Wei = option(
        AMOUNT,
        Wei(5 * AI),
        "Redeem when unredeemed vouchers are worth this much. Lower risks less and pays more gas.",
    )
    redeem_every_s: int = option(
        whole(60, 30 * _DAY_S, "seconds"),
        _DAY_S,
        "Redeem whatever there is at least this often.",
    )
    answer_closing: bool = option(
        SWITCH,
        True,
        "Redeem at once when a payer begins to close a channel. Off, you lose what you do not "
        "redeem by hand within the challenge period.",
    )


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The OpenAI-style API: docs/gateway.md. `modelex gateway` serves it by itself."""

    serve: bool = option(SWITCH, False, "Serve it in `modelex up` as well.")
    host: str = option(
        TEXT,
        "127.0.0.1",
        "Address to listen on. Others than this machine need a key (`modelex keys add`), and TLS "
        "in front of it, which a reverse proxy gives.",
        example='"0.0.0.0"',
    )
    port: int = option(whole(0, 65535, "the port"), 4780, "Port to listen on; 0 takes a free one.")
    connections: int = option(
        whole(1, 10_000, "connections"),
        256,
        "Most connections at once, each with one request in hand; more are turned away.",
    )
    max_tokens: int = option(
        whole(1, limits.COMPLETION_TOKENS_MAX, "tokens"),
        512,
        "Tokens to ask for where a request does not say how many. More cost more, and fewer "
        "providers can serve it.",
    )


@dataclass(frozen=True, slots=True)
class KeySettings:
    """How the keystore in `keys/` is opened."""

    passphrase_file: str = option(
        TEXT,
        "",
        "File (mode 0600) whose first line is the passphrase, for nodes that start unattended. "
        "Empty: MODELEX_PASSPHRASE, else a prompt.",
        example='"/etc/modelex/passphrase"',
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the node writes about itself."""

    level: str = option(
        choice("debug", "info", "warning", "error"),
        "info",
        "Least severe event to write. MODELEX_LOG_LEVEL overrides it.",
    )
    format: str = option(
        choice("auto", "console", "json"),
        "auto",
        "`auto` is console on a terminal and JSON, one object a line, elsewhere.",
    )
    file: str = option(
        TEXT,
        "",
        "File to write JSON to as well; a relative path starts in `logs/`. It is rotated at 10 MiB "
        "and five are kept. Empty: none.",
        example='"modelex.log"',
    )


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything an operator may choose."""

    role: Role = option(
        choice("provider", "requester", "bootstrap"),
        "requester",
        "`provider` sells the models below (and may buy), `requester` only buys, `bootstrap` only "
        "helps others to join.",
    )
    split_epoch: int = option(
        whole(0, SPLITS_MAX, "splits"),
        0,
        "How many 2:1 splits $AI had seen when the amounts and prices below were written. Each "
        "counts twice after the next split, so that it stays the same share of all $AI and nothing "
        "need be changed here.",
    )
    network: NetworkSettings = field(default_factory=NetworkSettings)
    mesh: MeshSettings = field(default_factory=MeshSettings)
    requester: RequesterSettings = field(default_factory=RequesterSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    settlement: SettlementSettings = field(default_factory=SettlementSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    x402: X402Settings = field(default_factory=X402Settings)
    keys: KeySettings = field(default_factory=KeySettings)
    log: LogSettings = field(default_factory=LogSettings)
    aliases: tuple[AliasSettings, ...] = ()
    profiles: tuple[ProfileSettings, ...] = ()
    models: tuple[ModelSettings, ...] = ()

    def spending_in(self, epoch: Epoch) -> RequesterSettings:
        """What requests may cost, in wei of a split epoch."""
        return self.requester.move(self.split_epoch, epoch)


LISTS: Mapping[str, tuple[type, int]] = MappingProxyType(
    {
        "aliases": (AliasSettings, ALIASES_MAX),
        "profiles": (ProfileSettings, PROFILES_MAX),
        "models": (ModelSettings, limits.OFFERS_MAX),
    }
)
"""Tables of which there may be several: what they are, and how many at most."""
