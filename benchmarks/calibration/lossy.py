"""Linux's TCP over a lossy link against the model (`simulation/models/tcp.py`): `make lossy`.

The link is two TUN devices, each in a network namespace of its own, and this process between them,
which delays each packet and loses some: what netem does where a kernel has it. Needs root.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import fmean, median

from benchmarks.measuring import begin
from p2p_modelex.simulation.models.links import LinkModel, Place
from p2p_modelex.simulation.models.tcp import Flow
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Links

ONE_WAY_S = 0.05
PAUSE_S = 1.5
"""Between two messages: so long that a window is back at ten packets."""
CASES = ((30_000, 0.0, 30), (260_000, 0.0, 30), (3_000, 0.03, 100), (30_000, 0.03, 60))
"""Bytes of a message, share of packets lost, messages."""
SMALL = (200, 0.0, 30)
"""What tells how long the way is: on a busy machine packets wait for this process too."""
MODELLED = 20
"""Times as many in the model."""
ADDRESSES = ("10.9.0.1", "10.9.0.2")
PORT = 9
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, sched.h
_SET_INTERFACE = 0x400454CA  # TUNSETIFF, linux/if_tun.h
_TUN = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
_HEAD = struct.Struct("!Id")
"""Bytes of the whole message, and when it was sent: one clock serves both ends."""


def main() -> int:
    """Print the table; 2 where there may be no such link."""
    if os.geteuid() or not os.access("/dev/net/tun", os.W_OK):
        sys.stderr.write("this needs root and /dev/net/tun\n")
        return 2
    begin()
    one_way_us = int(median(send_really(*SMALL)) * 1000)
    sys.stdout.write(f"\nOne way takes {one_way_us / 1000:.0f} ms.\n")
    sys.stdout.write(
        "\n| message, loss | TCP, ms: least, mean | model | mean off by |\n|---|---|---|---|\n"
    )
    for size, loss, count in CASES:
        real = send_really(size, loss, count)
        told = send_in_model(one_way_us, size, loss, MODELLED * count)
        sys.stdout.write(
            f"| {size:,} bytes, {loss:.0%} | {min(real):.0f}, {fmean(real):.0f} "
            f"| {min(told):.0f}, {fmean(told):.0f} | {fmean(told) / fmean(real) - 1:+.0%} |\n"
        )
        sys.stdout.flush()
    return 0


def send_in_model(one_way_us: int, size: int, loss: float, count: int) -> list[float]:
    """Return how long each message took, ms."""
    links = LinkModel(Links(latency=Duration(one_way_us), jitter=0.0, loss=loss))
    one, other = (Place("london", 10**9, 10**9, False, random.Random(seed)) for seed in (1, 2))  # noqa: S311 - no secret
    flow, at, took = Flow(), 0, []
    for _ in range(count):
        at += int(PAUSE_S * 1e6)
        there = links.compute_arrival(one, other, size, at, flow)
        took.append((there - at) / 1000)
        at = there + one_way_us
    return took


def send_really(size: int, loss: float, count: int) -> list[float]:
    """Return how long each message took, ms."""
    ends = [socket.socketpair() for _ in range(2)]
    deeds: list[Callable[[], None]] = [
        lambda: _receive(ends[0][1]),
        lambda: _send(ends[1][1], size, count),
    ]
    children = [_fork(deed) for deed in deeds]
    ours = [pair[0] for pair in ends]
    devices = [socket.recv_fds(one, 1, 1)[1][0] for one in ours]
    children.append(_fork(lambda: _relay(devices, loss)))
    try:
        ours[0].sendall(b"g")
        ours[0].recv(1)  # it listens
        ours[1].sendall(b"g")
        answers = ours[1].recv(8 * count, socket.MSG_WAITALL)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return [1000 * took for (took,) in struct.iter_unpack("!d", answers)]


def _fork(deed: Callable[[], None]) -> int:
    child = os.fork()
    if not child:
        try:
            deed()
        finally:
            os._exit(0)
    return child


def _enter(line: socket.socket, own: str, peer: str) -> None:
    """Move into a network namespace with one device, and give that to the parent."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no network namespace")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH", b"t0", _TUN))
    for command in (
        ["ip", "address", "add", own, "peer", peer, "dev", "t0"],
        ["ip", "link", "set", "t0", "mtu", "1500", "txqueuelen", "10000", "up"],
    ):
        subprocess.run(command, check=True)
    socket.send_fds(line, [b"d"], [device])
    line.recv(1)


def _receive(line: socket.socket) -> None:
    _enter(line, *ADDRESSES)
    listener = socket.create_server((ADDRESSES[0], PORT))
    line.sendall(b"l")
    connection, _ = listener.accept()
    while head := connection.recv(_HEAD.size, socket.MSG_WAITALL):
        left, sent_s = _HEAD.unpack(head)
        left -= _HEAD.size
        while left:
            left -= len(connection.recv(left))
        connection.sendall(struct.pack("!d", time.monotonic() - sent_s))


def _send(line: socket.socket, size: int, count: int) -> None:
    _enter(line, *reversed(ADDRESSES))
    connection = socket.socket()
    # What most systems have, and the model.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    connection.connect((ADDRESSES[0], PORT))
    for _ in range(count):
        time.sleep(PAUSE_S)
        connection.sendall(_HEAD.pack(size, time.monotonic()) + bytes(size - _HEAD.size))
        line.sendall(connection.recv(8, socket.MSG_WAITALL))
    signal.pause()


def _relay(devices: list[int], loss: float) -> None:
    """Carry packets from each device to the other, until killed."""
    chance = random.Random(1)  # noqa: S311 - no secret
    way: list[tuple[float, int, int, bytes]] = []
    number = 0
    for device in devices:
        os.set_blocking(device, False)
    while True:
        while way and way[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(way)
            os.write(to, packet)
        wait_s = max(0.0, way[0][0] - time.monotonic()) if way else None
        for device in select.select(devices, [], [], wait_s)[0]:
            packet = os.read(device, 65_536)
            if packet[0] >> 4 == 4 and chance.random() >= loss:
                number += 1
                to = devices[1 - devices.index(device)]
                heapq.heappush(way, (time.monotonic() + ONE_WAY_S, number, to, packet))


if __name__ == "__main__":
    sys.exit(main())
