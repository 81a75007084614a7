"""What the service does about the collection of garbage, whose pauses are pauses of every request."""

import gc

from bluerec.cli.serve import freeze_garbage


def test_what_is_there_at_the_start_is_left_out_of_later_collections() -> None:
    early = [object() for _ in range(3)]
    held = [early]
    try:
        freeze_garbage()
        assert gc.get_freeze_count() > 10_000
        assert held not in gc.get_objects()
        late = [held]
        assert any(its is late for its in gc.get_objects())
    finally:
        gc.unfreeze()
