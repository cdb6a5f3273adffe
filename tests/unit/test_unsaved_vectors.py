"""Vectors that were paid for and not saved: remembered as long as there is room."""

from embedding.vectors import UnsavedVectors

LARGEST = [1.0] * 16_384


def test_what_was_added_is_found_until_it_is_saved() -> None:
    unsaved = UnsavedVectors()
    unsaved.add("model-2", "a", [1.0, 2.0])
    assert unsaved.get("model-2", "a") == [1.0, 2.0]
    assert unsaved.get("other-2", "a") is None
    unsaved.discard("model-2", "a")
    assert unsaved.get("model-2", "a") is None


def test_the_oldest_go_where_room_is_short() -> None:
    unsaved = UnsavedVectors()
    for number in range(1_000):
        unsaved.add("model-16384", str(number), LARGEST)
    held = [number for number in range(1_000) if unsaved.get("model-16384", str(number)) is not None]
    assert held == list(range(1_000 - len(held), 1_000))
    assert 400 < len(held) < 500


def test_what_is_added_again_takes_no_more_room() -> None:
    unsaved = UnsavedVectors()
    unsaved.add("model-2", "a", [1.0, 2.0])
    for _ in range(1_000):
        unsaved.add("model-16384", "b", LARGEST)
    assert unsaved.get("model-2", "a") == [1.0, 2.0]
