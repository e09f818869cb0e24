"""Members lend each other of their lines, tell whom they served, and when there is room."""

from tests.core.members.scene import CEILING, CHANNEL, Farm


def test_a_job_begins_within_the_own_line_without_a_word_to_others() -> None:
    farm = Farm(5_000, 5_000)
    farm.gossip()
    first = farm.members[0]
    stream = first.order(1)
    farm.pump()
    assert first.told(stream) == "Started"
    assert first.lines.get_taken(CHANNEL, farm.members[1].key.peer).wei == 0


def test_who_lacks_borrows_and_the_job_begins() -> None:
    """MEM-6: the second knows nothing of the channel, and reads it first."""
    farm = Farm(5_000, 5_000, deposit=1_000)
    farm.gossip()
    first, second = farm.members
    stream = first.order(1)
    farm.pump()
    assert first.told(stream) == "Started"
    assert first.lines.get_taken(CHANNEL, second.key.peer).wei == 500 // 2
    again = second.order(2)
    farm.pump()
    assert second.told(again) == "channel_exhausted", "the first cannot spare what its job needs"
    assert second.lines.get_taken(CHANNEL, first.key.peer).wei == 100


def test_all_of_a_deposit_can_be_spent_at_one_member() -> None:
    farm = Farm(1_000, 3_000, 2_000, 4_000)
    farm.gossip()
    first = farm.members[0]
    jobs = 10_000 // CEILING
    told = []
    for number in range(jobs + 1):
        stream = first.order(number, CEILING, lane=number)
        farm.pump()
        told.append(first.told(stream))
    assert told == ["Started"] * jobs + ["channel_exhausted"]
    assert first.promised == jobs * CEILING
