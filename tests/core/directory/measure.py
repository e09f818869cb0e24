"""Measure the directory's costs: python -m tests.core.directory.measure [RECORDS]."""

import sys
import time

from p2p_modelex.core.inputs import PeerConnected
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import NOW, Key, Node, World, advertisement, offer, sealed


def main(records: int) -> None:
    content = advertisement(offers=(offer("smollm2-135m-instruct", features=("grammar",)),))
    keys = [Key(1000 + number) for number in range(records)]
    envelopes = [sealed(key, content) for key in keys]
    sys.stdout.write(f"record bytes {len(envelopes[0])}\n")
    old, new = Node(1), Node(2)
    began = time.process_time()
    for envelope in envelopes:
        assert old.directory.judge(envelope, NOW).accepted
    took = time.process_time() - began
    sys.stdout.write(f"judge {records / took:.0f}/s\n")

    def sync(label: str) -> None:
        sent = old.sent_bytes + new.sent_bytes
        frames = world.frames
        began = time.process_time()
        world.tell(new, PeerConnected(old.peer))
        took = time.process_time() - began
        size = old.sent_bytes + new.sent_bytes - sent
        sys.stdout.write(f"{label}: {took:.2f} s, {size} bytes, {world.frames - frames} frames\n")
        assert len(new.directory) == len(old.directory)
        assert new.directory.index.describe() == old.directory.index.describe()

    world = World(old, new)
    sync(f"newcomer, {records}")
    world.now = UnixMs(NOW + 5_000)
    later = advertisement(NOW + 5_000, offers=content.offers)
    for key in keys[:: records // 10]:
        assert old.directory.judge(sealed(key, later), world.now).accepted
    sync("10 changed")
    sync("nothing changed")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
