"""What `modelex up`, `bootstrap` and `gateway` do once all has started."""

import gc

import trio

from p2p_modelex.cli.serve import wait_to_leave


async def test_what_the_start_made_is_left_out_of_later_collections() -> None:
    ready, leaving = trio.Event(), trio.Event()
    leaving.set()
    made = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    before = gc.get_freeze_count()
    try:
        await wait_to_leave(ready, leaving)
        assert ready.is_set()
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()
