"""The peers: how each is started in front of some workers, with a policy for spreading requests.

As their own documentation has them for speed: no access logs, connections to workers kept, one
process (they have one core), and nothing of what they do besides routing switched on.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.router.install import Program
from benchmarks.router.static import STATIC, TIMED, write_nginx

DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer runs. workers: ports of what it is in front of; folder: for its files."""

    program: Program
    folder: Path
    port: int
    workers: Sequence[int]


Build = Callable[[Place], Sequence[str]]
"""Writes what configuration is needed, and returns the command."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A router with a policy. program: its name in `install`. rate: requests a second at which its
    latency is measured: what it can hold.
    """

    name: str
    program: str
    build: Build
    rate: int = 100


def _build_haproxy(place: Place, servers: str, balance: str) -> Sequence[str]:
    listed = "".join(
        f"    server w{at} 127.0.0.1:{port} {servers}\n" for at, port in enumerate(place.workers)
    )
    configuration = place.folder / "haproxy.cfg"
    configuration.write_text(
        "global\n    nbthread 1\n    maxconn 4096\n"
        "defaults\n    mode http\n    option http-keep-alive\n    http-reuse always\n"
        "    option http-no-delay\n"
        "    timeout connect 5s\n    timeout client 600s\n    timeout server 600s\n"
        "    timeout queue 600s\n"
        f"listen all\n    bind 127.0.0.1:{place.port}\n    balance {balance}\n{listed}",
        encoding="utf-8",
    )
    return [*place.program.command, "-db", "-f", str(configuration)]


def _least_connections(place: Place) -> Sequence[str]:
    return _build_haproxy(place, "", "leastconn")


def _one_queue(place: Place) -> Sequence[str]:
    return _build_haproxy(place, "maxconn 4", "leastconn")


def _build_nginx(place: Place) -> Sequence[str]:
    listed = " ".join(f"server 127.0.0.1:{port};" for port in place.workers)
    configuration = write_nginx(
        place.folder,
        f"    upstream all {{ {listed} keepalive 256; keepalive_requests 1000000000; }}\n"
        f"    server {{ listen 127.0.0.1:{place.port} backlog=4096; location / {{\n"
        "        proxy_pass http://all; proxy_http_version 1.1; proxy_buffering off;\n"
        '        proxy_set_header Connection ""; proxy_read_timeout 600s; } }\n',
    )
    return [*place.program.command, "-p", str(place.folder), "-c", str(configuration)]


def _build_vllm(place: Place, policy: str) -> Sequence[str]:
    return [*place.program.command, *_arguments(place, policy, "warning")]


def _build_sglang(place: Place, policy: str, *options: str) -> Sequence[str]:
    return [*place.program.command, "launch", *_arguments(place, policy, "warn"), *options]


def _arguments(place: Place, policy: str, level: str) -> Sequence[str]:
    urls = [f"http://127.0.0.1:{port}" for port in place.workers]
    where = ["--host", "127.0.0.1", "--port", str(place.port), "--worker-urls", *urls]
    metrics = ["--prometheus-port", str(place.port + 1)]
    return [*where, "--policy", policy, "--log-level", level, *metrics]


def _build_litellm(place: Place) -> Sequence[str]:
    served = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "none",
            },
        }
        for model in (STATIC, TIMED)
        for port in place.workers
    ]
    configuration = place.folder / "litellm.yaml"  # JSON is YAML
    # Nobody but this machine can ask, and a key to check is nothing that the others do.
    settings = {"dangerously_permit_weak_or_unset_master_key": True}
    whole = {"model_list": served, "general_settings": settings}
    configuration.write_text(json.dumps(whole), encoding="utf-8")
    where = ["--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]
    return [*place.program.command, "--config", str(configuration), *where]


def _sglang_power_of_two(place: Place) -> Sequence[str]:
    return _build_sglang(place, "power_of_two")


PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        peer.name: peer
        for peer in (
            Peer("haproxy", "haproxy", _least_connections),
            Peer("nginx", "nginx", _build_nginx),
            Peer("vllm-router", "vllm-router", lambda place: _build_vllm(place, "round_robin")),
            Peer(
                "sglang-router", "sglang-router", lambda place: _build_sglang(place, "round_robin")
            ),
            Peer("LiteLLM proxy", "litellm", _build_litellm, rate=20),
        )
    }
)
"""In front of one worker, by the name in the table."""

BALANCERS: Sequence[Peer] = (
    Peer("haproxy, one queue before the slots (the bar)", "haproxy", _one_queue),
    Peer("haproxy, least connections", "haproxy", _least_connections),
    Peer(
        "vllm-router, power of two", "vllm-router", lambda place: _build_vllm(place, "power_of_two")
    ),
    Peer("sglang-router, power of two", "sglang-router", _sglang_power_of_two),
)
"""In front of all workers."""


def _sglang_cache_aware(place: Place) -> Sequence[str]:
    # By default it balances only where loads differ by 64, which 8 workers of 4 slots never do.
    options = ("--balance-abs-threshold", "4", "--balance-rel-threshold", "1.5")
    return _build_sglang(place, "cache_aware", *options)


CACHE_AWARE: Sequence[Peer] = (
    Peer("haproxy, least connections", "haproxy", _least_connections),
    Peer("sglang-router, power of two", "sglang-router", _sglang_power_of_two),
    Peer("sglang-router, cache-aware", "sglang-router", _sglang_cache_aware),
)
"""For conversations, with and without regard to what their providers have in the cache."""
