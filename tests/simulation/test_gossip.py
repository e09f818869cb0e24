"""The model of gossip: meshes, what is missed, and peer scores worked out by hand."""

import random

import pytest

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.models.gossip.scores import Scores, Standing, compute_score
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Gossip, Score

S = 1_000_000
A, B = PeerId(b"a"), PeerId(b"b")


class Net:
    """Routers that reach each other at once, all connected to all."""

    def __init__(self, many: int, **settings: object) -> None:
        self.routers: dict[PeerId, Router] = {}
        self.delivered: dict[PeerId, list[bytes]] = {}
        self.queue: list[tuple[PeerId, Rpc]] = []
        self.now = 0
        peers = [PeerId(bytes([number])) for number in range(many)]
        for peer in peers:
            self.delivered[peer] = []
            self.routers[peer] = Router(
                Gossip(**settings),  # type: ignore[arg-type]
                random.Random(peer[0]),
                lambda to, rpc: self.queue.append((to, rpc)),
                lambda message, _, peer=peer: self.take(peer, message),  # type: ignore[misc]
                peer,
            )
        for peer, router in self.routers.items():
            for other in peers:
                if other != peer:
                    router.add(other, self.now, is_outbound=peer < other)

    def take(self, peer: PeerId, message: Message) -> bool | None:
        if message.payload == b"bad":
            return None
        self.delivered[peer].append(message.payload)
        return True

    def settle(self) -> None:
        while self.queue:
            to, rpc = self.queue.pop(0)
            self.routers[to].take(rpc, self.now)

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += S
            for router in self.routers.values():
                router.heartbeat(self.now)
            self.settle()


def test_meshes_keep_their_degrees_and_both_ends_agree() -> None:
    net = Net(30)
    net.beat(5)
    for peer, router in net.routers.items():
        assert 4 <= len(router.mesh.members) <= 12
        assert all(peer in net.routers[other].mesh.members for other in router.mesh.members)


def test_a_message_reaches_everybody_once() -> None:
    net = Net(30, flood_publish=False)
    net.beat(3)
    first = next(iter(net.routers))
    net.routers[first].publish("topic", b"news", net.now)
    net.settle()
    others = [peer for peer in net.routers if peer != first]
    assert all(net.delivered[peer] == [b"news"] for peer in others)
    assert net.delivered[first] == []


def test_who_missed_a_message_asks_for_it_when_told() -> None:
    net = Net(20, flood_publish=False)
    net.beat(3)
    first, *_, last = net.routers
    for router in net.routers.values():  # nobody has the last one in its mesh
        router.mesh.members.pop(last, None)
    net.routers[first].publish("topic", b"news", net.now)
    net.settle()
    assert net.delivered[last] == []
    net.beat(1)
    assert net.delivered[last] == [b"news"]
    assert net.routers[last].tally.asked >= 1


def test_who_sends_what_is_invalid_is_pruned_and_then_ignored() -> None:
    net = Net(10, score=Score(invalid_message_deliveries_weight=-99.0))
    net.beat(3)
    liar = next(iter(net.routers))
    for _ in range(4):
        net.routers[liar].publish("topic", b"bad", net.now)
        net.settle()
    net.beat(1)
    assert all(
        liar not in router.mesh.members for peer, router in net.routers.items() if peer != liar
    )


def test_the_score_of_a_neighbour_is_the_weighted_sum_of_the_specification() -> None:
    score = Score(
        topic_weight=0.5,
        time_in_mesh_weight=0.1,
        time_in_mesh_cap=40.0,
        first_message_deliveries_weight=2.0,
        mesh_message_deliveries_weight=-1.0,
        mesh_message_deliveries_threshold=8.0,
        mesh_failure_penalty_weight=-0.5,
        invalid_message_deliveries_weight=-10.0,
        app_specific_weight=3.0,
        ip_colocation_factor_weight=-2.0,
        ip_colocation_factor_threshold=3,
        behaviour_penalty_weight=-4.0,
        behaviour_penalty_threshold=1.0,
    )
    standing = Standing(
        grafted_at=0,
        mesh_time=90 * S,
        first_message_deliveries=7.0,
        mesh_message_deliveries=5.0,
        mesh_failure_penalty=6.0,
        invalid_message_deliveries=2.0,
        behaviour_penalty=3.0,
    )
    # 0.5 x (0.1 x 40 + 2 x 7 - 1 x (8 - 5)^2 - 0.5 x 6 - 10 x 2^2) = 0.5 x -34
    # and 3 x -1.5 - 2 x (5 - 3)^2 - 4 x (3 - 1)^2
    found = compute_score(score, standing, colocated=5, application=-1.5)
    assert found == pytest.approx(-17.0 - 4.5 - 8.0 - 16.0)


@pytest.mark.parametrize(
    ("standing", "wanted"),
    [
        (Standing(grafted_at=0, mesh_time=59 * S), 59 * 0.01),  # P3 does not count in its minute
        (Standing(grafted_at=0, mesh_time=61 * S), 61 * 0.01 - 16.0),
        (Standing(mesh_time=61 * S), 0.0),  # nor outside of the mesh, where P1 does not either
        (Standing(behaviour_penalty=1.0), 0.0),
        (Standing(invalid_message_deliveries=1.0), -99.0),
    ],
)
def test_what_counts_when(standing: Standing, wanted: float) -> None:
    score = Score(
        time_in_mesh_weight=0.01,
        mesh_message_deliveries_weight=-1.0,
        mesh_message_deliveries_threshold=4.0,
        invalid_message_deliveries_weight=-99.0,
        behaviour_penalty_weight=-10.0,
    )
    assert compute_score(score, standing) == pytest.approx(wanted)


def test_the_topics_part_is_capped_from_above() -> None:
    standing = Standing(first_message_deliveries=100.0)
    capped = Score(topic_score_cap=9.0, app_specific_weight=1.0)
    assert compute_score(capped, standing, application=-1.0) == 8.0


def known(**settings: object) -> Scores:
    scores = Scores(Score(**settings), lambda _: 0.0)  # type: ignore[arg-type]
    scores.meet(A, "10.0.0.1", 0)
    return scores


def test_counters_decay_and_end() -> None:
    scores = known(
        first_message_deliveries_weight=1.0,
        first_message_deliveries_decay=0.5,
        first_message_deliveries_cap=8.0,
        decay_to_zero=0.9,
    )
    for _ in range(9):
        scores.on_first(A)
    found = []
    for second in range(5):
        found.append(scores.get(A))
        scores.decay((second + 1) * S)
        scores.decay((second + 1) * S + 1)  # not yet a second later
    assert found == [8.0, 4.0, 2.0, 1.0, 0.0]


def test_deliveries_count_in_the_mesh_and_near_the_first_and_what_was_missing_sticks() -> None:
    scores = known(
        time_in_mesh_weight=0.0,
        first_message_deliveries_weight=0.0,
        mesh_message_deliveries_weight=-1.0,
        mesh_message_deliveries_threshold=3.0,
        mesh_message_deliveries_decay=0.999999,
        mesh_failure_penalty_weight=-1.0,
        mesh_failure_penalty_decay=0.999999,
    )
    scores.on_first(A)  # outside of the mesh: it counts for P2 alone
    scores.join(A, 0)
    scores.on_first(A)
    scores.on_duplicate(A, 4_000)
    scores.on_duplicate(A, 6_000)  # over the window of 5 ms
    scores.decay(61 * S)
    assert scores.get(A) == pytest.approx(-1.0, abs=1e-4)
    scores.leave(A)
    assert scores.get(A) == pytest.approx(-1.0, abs=1e-4)


def test_who_shares_an_address_pays_for_the_surplus_squared() -> None:
    scores = known(ip_colocation_factor_weight=-1.0, ip_colocation_factor_threshold=1)
    assert scores.get(A) == 0.0
    scores.meet(B, "10.0.0.1", 0)
    assert scores.get(A) == scores.get(B) == -1.0
    scores.part(B, 0)
    assert scores.get(A) == 0.0


def test_a_score_below_zero_outlives_a_connection_and_ends() -> None:
    penalty = {"invalid_message_deliveries_weight": -99.0}
    scores = known(retain_score=Duration(10 * S), **penalty)
    scores.on_invalid(A)
    scores.part(A, 0)
    scores.meet(A, "10.0.0.1", 5 * S)
    assert scores.get(A) == -99.0
    scores.part(A, 5 * S)
    scores.meet(A, "10.0.0.1", 16 * S)
    assert scores.get(A) == 0.0


class Alone:
    """A router among neighbours that the test speaks for."""

    def __init__(self, **settings: object) -> None:
        self.sent: list[tuple[PeerId, Rpc]] = []
        self.router = Router(
            Gossip(**settings),  # type: ignore[arg-type]
            random.Random(1),
            lambda to, rpc: self.sent.append((to, rpc)),
            lambda _message, _sender: True,
            PeerId(b"own"),
        )

    def hear(self, sender: PeerId, now: int = 0, **content: object) -> None:
        self.router.take(Rpc(sender, 1, **content), now)  # type: ignore[arg-type]


def test_a_promise_that_is_broken_and_a_graft_too_soon_are_misbehaviour() -> None:
    strict = Score(behaviour_penalty_weight=-10.0, behaviour_penalty_threshold=0.0)
    alone = Alone(score=strict, fills_at_once=False)
    alone.router.add(A, 0, is_outbound=False)
    alone.hear(A, ihave=((B, 1),))
    assert [rpc.iwant for _, rpc in alone.sent] == [((B, 1),)]
    alone.router.heartbeat(2 * S)
    assert alone.router.scores.get(A) == 0.0
    alone.router.heartbeat(4 * S)
    assert alone.router.scores.get(A) == pytest.approx(-10.0, rel=0.02)
    alone.hear(A, 5 * S, prunes=True)
    alone.hear(A, 6 * S, grafts=True)  # within the flood threshold: twice
    assert alone.router.scores.get(A) == pytest.approx(-10.0 * 3**2, rel=0.02)
    assert alone.sent[-1][1].prunes


def test_a_graylisted_neighbour_is_not_heard() -> None:
    strict = Score(invalid_message_deliveries_weight=-99.0, graylist_threshold=-50.0)
    alone = Alone(score=strict)
    alone.router.add(A, 0, is_outbound=False)
    message = Message((B, 1), "topic", b"news", 0, 0)
    alone.router.scores.on_invalid(A)
    alone.hear(A, messages=(message,))
    assert alone.router.tally.delivered == 0
    alone.router.add(B, 0, is_outbound=False)
    alone.hear(B, messages=(message,))
    assert alone.router.tally.delivered == 1


def test_a_mesh_that_brings_little_gets_who_brings_more() -> None:
    score = Score(opportunistic_graft_ticks=1, opportunistic_graft_peers=1)
    alone = Alone(scores=True, score=score, d=2, d_lo=2, d_lazy=0)
    dull, keen = [PeerId(bytes([at])) for at in range(4)], PeerId(b"keen")
    for peer in [*dull, keen]:
        alone.router.add(peer, 0, is_outbound=False)
    for _ in range(20):
        alone.router.scores.on_first(keen)
    assert keen not in alone.router.mesh.members
    alone.router.heartbeat(S)
    assert keen in alone.router.mesh.members


def test_a_crowd_that_grafts_does_not_put_out_whom_we_dialled() -> None:
    alone = Alone(d_out=2)
    ours = [PeerId(bytes([at])) for at in range(4)]
    for peer in ours:
        alone.router.add(peer, 0, is_outbound=True)
    for at in range(4, 60):
        alone.router.add(PeerId(bytes([at])), 0, is_outbound=False)
        alone.hear(PeerId(bytes([at])), grafts=True)
    alone.router.heartbeat(S)
    assert len(alone.router.mesh.members) == 6
    assert sum(peer in alone.router.mesh.members for peer in ours) >= 2


@pytest.mark.parametrize("gossips", [False, True])
def test_whom_we_pruned_hears_of_messages_only_where_that_is_set(gossips: bool) -> None:
    alone = Alone(gossips_to_pruned=gossips, flood_publish=False, d=1, d_lo=1)
    alone.router.add(A, 0, is_outbound=False)
    alone.hear(A, prunes=True)
    alone.router.publish("topic", b"news", S)
    alone.router.heartbeat(S)
    assert [(A, True)] * gossips == [(to, True) for to, rpc in alone.sent if rpc.ihave]


def test_ihave_spam_is_asked_for_up_to_a_limit() -> None:
    alone = Alone()
    alone.router.add(A, 0, is_outbound=False)
    alone.sent.clear()
    for at in range(30):
        alone.hear(A, ihave=tuple((B, 1000 * at + number) for number in range(100)))
    assert sum(len(rpc.iwant) for _, rpc in alone.sent) == 10 * 64
