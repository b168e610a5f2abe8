"""How the demo lays its picture out: whatever the frame and the number of targets, all has its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamcorr_demo.layout import GAP_PX, Cards, shown_size

SIZES = [(320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160), (270, 480), (1080, 1920)]


def rectangles(cards: Cards) -> list[tuple[int, int, int, int]]:
    """Return left, top, right and bottom of each card."""
    corners = [cards.corner(card) for card in range(cards.count)]
    return [(x, y, x + cards.width_of_card, y + cards.height_of_card) for x, y in corners]


@given(width=st.integers(16, 8000), height=st.integers(16, 8000), targets=st.integers(1, 100))
def test_every_card_is_in_the_panel_and_no_two_touch(width: int, height: int, targets: int) -> None:
    _, shown, body = shown_size((width, height), targets)
    cards = Cards.of(targets, shown[0], body)
    assert cards.tile >= 32
    placed = rectangles(cards)
    assert len(placed) == min(targets, 24)
    for number, (left, top, right, bottom) in enumerate(placed):
        assert 0 <= left < right <= cards.width
        assert cards.heading <= top < bottom <= body
        for other in placed[:number]:
            is_beside = right + GAP_PX <= other[0] or other[2] + GAP_PX <= left
            assert is_beside or bottom + GAP_PX <= other[1] or other[3] + GAP_PX <= top


@pytest.mark.parametrize("targets", [1, 3, 8, 12, 16, 24])
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_can_be_shown_on_a_wall_and_read(size: tuple[int, int], targets: int) -> None:
    _, shown, body = shown_size(size, targets)
    cards = Cards.of(targets, shown[0], body)
    assert shown[0] + cards.width <= 1920
    assert 480 <= body <= 960
    assert cards.tile >= (58 if targets <= 16 else 50)
    assert shown[0] / shown[1] == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize(("size", "scale"), [((320, 240), 2.0), ((640, 480), 1.0), ((2560, 1440), 0.5)])
def test_small_frames_are_enlarged_and_large_ones_reduced(size: tuple[int, int], scale: float) -> None:
    assert shown_size(size, targets=8)[0] == scale


def test_a_wide_frame_leaves_the_panel_its_height() -> None:
    _, shown, body = shown_size((4000, 100), targets=8)
    assert shown == (1280, 32)
    assert body == 480
