"""Each checker finds a fault that is planted for it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from p2p_modelex.chain import memory_token
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.exchange.sale import Sale
from p2p_modelex.core.funding import Funding
from p2p_modelex.core.node import NodeCore
from p2p_modelex.core.racing import Racing
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import Address, JobId
from p2p_modelex.net.reputation import Reputation
from p2p_modelex.records import codec, envelope
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Pay
from p2p_modelex.records.rows import ReceivedVoucherRow, RecordRow, Row
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.units import UnixMs, Wei
from tests.simulation.worlds import FARM, MARKET, MESH, play

Patch = pytest.MonkeyPatch


def assert_found(
    match: str, text: str = MESH, meddle: Callable[[Simulation], None] | None = None
) -> None:
    with pytest.raises(SimulationError, match=match):
        play(text, meddle=meddle)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert play(MARKET).measures["finished"] > 0


def test_money_from_nowhere() -> None:
    def mint(run: Simulation) -> None:
        assert run.chain is not None
        run.chain.ledger.mint(run.world.machines[0].account_signer.address, Wei(1))

    assert_found(r"there are \d+ wei, \d+ were given out", MARKET, mint)


def test_a_split_that_leaves_amounts_as_they_are(monkeypatch: Patch) -> None:
    monkeypatch.setattr(memory_token, "rescale", lambda amount, *_: amount)
    split = '[[fault]]\nkind = "split"\nat = "20 s"\nlasts = "10 s"\n'
    assert_found(r"there are \d+ wei, \d+ were given out", MARKET + split)


def test_a_forgery_that_is_believed(monkeypatch: Patch) -> None:
    """Signatures are not looked at, and somebody puts words into another's mouth."""
    take = Life._do

    def forge(life: Life, effect: fx.Effect) -> None:
        if isinstance(effect, fx.Persist) and life.number == 3:
            rows = tuple(_forge(row) if isinstance(row, RecordRow) else row for row in effect.rows)
            effect = fx.Persist(rows)
        take(life, effect)

    monkeypatch.setattr(Life, "_do", forge)
    assert_found("node 3 .* that its peer never signed")


def _forge(row: RecordRow) -> RecordRow:
    opened = envelope.decode_envelope(row.envelope, limit=len(row.envelope))
    forged = Envelope(opened.signer, opened.payload + b"!", opened.signature)
    return msgspec.structs.replace(row, envelope=codec.encode(forged))


def test_a_voucher_that_nobody_signed(monkeypatch: Patch) -> None:
    def meddle(run: Simulation) -> None:
        monkeypatch.setattr(run.notary, "account_has_signed", lambda *_: False)

    assert_found("a voucher that its payer never signed", MARKET, meddle)


def test_lanes_that_promise_more_together_than_there_is(monkeypatch: Patch) -> None:
    """Each voucher is within the deposit, and signed; what a farm's members honour is not."""
    take = Life._do

    def double(life: Life, effect: fx.Effect) -> None:
        if isinstance(effect, fx.Persist):
            effect = fx.Persist(tuple(one for row in effect.rows for one in _spread(row)))
        take(life, effect)

    def meddle(run: Simulation) -> None:
        monkeypatch.setattr(run.notary, "account_has_signed", lambda *_: True)

    monkeypatch.setattr(Life, "_do", double)
    assert_found(r"promise \d+ wei on \d+ lanes, \d+ over the deposit", FARM, meddle)


def _spread(row: Row) -> tuple[Row, ...]:
    if not isinstance(row, ReceivedVoucherRow):
        return (row,)
    voucher = row.signed.voucher
    lanes = (voucher.lane + 1000 * number for number in range(200))
    vouchers = (msgspec.structs.replace(voucher, lane=lane) for lane in lanes)
    signed = (msgspec.structs.replace(row.signed, voucher=voucher) for voucher in vouchers)
    return tuple(msgspec.structs.replace(row, signed=one) for one in signed)


def test_a_deposit_that_is_made_again(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Funding, "delay", _forget)
    fails = MARKET.replace("[chain]", '[chain]\nfails = 0.4\nblock = "30 s"')
    assert_found("deposits again while OpenChannel.* waits for a block", fails)


def _forget(funding: Funding, payee: Address) -> list[JobId]:
    deposit = funding._deposits.pop(payee, None)
    return list(deposit.waiting) if deposit else []


def test_a_provider_that_works_on_without_vouchers(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Sale, "compute_allowance", lambda sale, paid: 10**6)

    def keep_vouchers(run: Simulation) -> None:
        take = Life._do

        def hold_back(life: Life, effect: fx.Effect) -> None:
            is_pay = isinstance(effect, fx.Send) and effect.payload[1:2] == bytes(
                [Pay.__struct_config__.tag]  # type: ignore[list-item]
            )
            if not (is_pay and life.speaks_exchange(effect.stream)):  # type: ignore[union-attr]
                take(life, effect)

        monkeypatch.setattr(Life, "_do", hold_back)

    assert_found(r"it works \d+ wei ahead, its window is \d+", MARKET, keep_vouchers)


def test_an_honest_node_that_is_blamed(monkeypatch: Patch) -> None:
    take = NodeCore.step

    def blame(core: NodeCore, happened: inp.Input, now: UnixMs) -> list[fx.Effect]:
        effects = take(core, happened, now)
        if isinstance(happened, inp.PeerConnected):
            effects.append(fx.Penalize(happened.peer, "bad_signature", "planted"))
        return effects

    monkeypatch.setattr(NodeCore, "step", blame)
    assert_found(r"it blames honest node \d+ for bad_signature \(planted\)")


def test_a_directory_that_never_forgets(monkeypatch: Patch) -> None:
    def forget_nothing(directory: Directory, now: UnixMs) -> tuple[Any, ...]:
        directory._held.expiries.clear()
        return ()

    monkeypatch.setattr(Directory, "expire", forget_nothing)
    scenario = MESH.replace('"100 s"', '"50 min"')
    leave = scenario + '\n[[population]]\nname = "gone"\ncount = 1\nsession = "1 s"\n'
    leave += 'downtime = "30 d"\njoin_over = "1 s"\n'
    assert_found("its directory holds what expired", leave)


def test_directories_that_stay_apart() -> None:
    def cut(run: Simulation) -> None:
        run.world.links.find_heal = lambda *_: run.scenario.duration + 1  # type: ignore[method-assign]

    assert_found("does not know what node", meddle=cut)


def test_nodes_that_nothing_connects_are_told_from_slow_ones() -> None:
    bootstraps = MESH.index("[[population]]")
    alone = MESH[:bootstraps] + MESH[MESH.index("[[population]]", bootstraps + 1) :]
    assert_found("does not know what node .*: nothing connects them", alone)


def test_a_node_that_forgot_a_neighbour_though_liars_are_near() -> None:
    def forget(run: Simulation) -> None:
        run.advance(99_999_999)
        forgetful, other = run.world.machines[1], run.world.machines[2]
        assert forgetful.life is not None
        forgetful.life.core.directory._held.remove(other.peer)

    liars = '[[population]]\nname = "liars"\ncount = 2\nbehaviour = "eclipser"\n'
    assert_found("node 1 does not know what node 2", MESH + liars, forget)


def test_a_request_that_never_ends(monkeypatch: Patch) -> None:
    take = Life.receive

    def lose_answers(life: Life, event: msgspec.Struct) -> None:
        if not isinstance(event, inp.ChannelOpened):
            take(life, event)

    monkeypatch.setattr(Life, "receive", lose_answers)
    monkeypatch.setattr(Racing, "wait", lambda *_: [])
    longer = MARKET.replace('"260 s"', '"340 s"').replace('"200 s"', '"280 s"')
    assert_found("is stuck, silent for", longer)


def test_a_core_that_raises_names_the_time(monkeypatch: Patch) -> None:
    def divide(core: NodeCore, happened: inp.Input, now: UnixMs) -> list[fx.Effect]:
        raise ZeroDivisionError

    monkeypatch.setattr(NodeCore, "step", divide)
    assert_found(r"at \d+\.\d+ s test_a_core_\S+divide broke: ZeroDivisionError")


def test_a_request_that_costs_more_than_was_allowed() -> None:
    """By what its run says it paid, whatever the core's own ceilings are."""

    def meddle(run: Simulation) -> None:
        on_asked = run.bills.on_asked

        def halve(life: Life, asked: inp.RunRequested) -> None:
            on_asked(life, msgspec.structs.replace(asked, max_cost=Wei(1)))

        run._watch._inputs[inp.RunRequested] = halve

    assert_found(r"it paid \d+ wei for a request of 1 at most", MARKET, meddle)


def test_an_honest_node_that_is_kept_away(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Reputation, "blame_peer", lambda *_: True)
    crash = '[[fault]]\nkind = "crash"\nat = "20 s"\nlasts = "5 s"\nshare = 1.0\n'
    meddle = _blame_for_nothing
    assert_found(r"it keeps honest node \d+ away", MARKET + crash, meddle)


def _blame_for_nothing(run: Simulation) -> None:
    """Let a seller blame a buyer for what happens to the honest."""
    seller, buyer = run.world.machines[1], run.world.machines[4]
    run.advance(9_000_000)
    assert seller.life is not None
    seller.life._do(fx.Penalize(buyer.peer, "stalled", "a planted fault"))


def test_what_is_lost_to_liars_is_added_up() -> None:
    assert play(MARKET).measures["cheated_ai"] == 0.0
    found = play(MARKET, "population.1.behaviour=no-chunks", "population.1.count=2").measures
    assert found["cheated_ai"] > 0.0
    assert found["cheated_windows_max"] > 0.0
