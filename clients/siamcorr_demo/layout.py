"""How large everything is: the frame as it is shown, and the cards of the targets in the panel beside it.

Rules:

- A picture is made to be shown on a wall: at most 1920 pixels wide, and no letter or card too small to read.
  Small frames are enlarged, large ones reduced; with many targets more.
- Cards lie in as many columns as make their tiles largest, in rows from left to right.
- All of 24 targets have cards. Of more, the first have.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GAP_PX", "Cards", "letters_for", "shown_size"]

GAP_PX = 8

_MOST_WIDTH_PX, _MOST_FRAME_PX = 1920, (1280, 960)
_FEW, _LEAST_HEIGHT_PX, _LEAST_HEIGHT_OF_MANY_PX = 8, 480, 720
_LARGE_PX = 600
_MOST_CARDS = 24
_MOST_TILE = 0.36
"""Side of the largest tile, in parts of the panel's height."""

_PANEL = 0.72
"""Width of the widest panel, in parts of the frame's, if that is not too narrow to read."""

_LEAST_PANEL = 2 / 3
"""Width of a panel that may always be as wide as that, in parts of its height."""

_BETWEEN_PX = 4
"""What lies between a card's two tiles."""


def shown_size(frame: tuple[int, int], targets: int) -> tuple[float, tuple[int, int], int]:
    """Return how often a frame is enlarged, its size then, (W, H), and the height of the picture's body.

    >>> shown_size((320, 240), targets=8)
    (2.0, (640, 480), 480)
    >>> shown_size((3840, 2160), targets=8)[1:]
    ((1280, 720), 720)
    """
    width, height = frame
    least = _LEAST_HEIGHT_PX if targets <= _FEW else _LEAST_HEIGHT_OF_MANY_PX
    scale = min(max(1.0, least / height), _MOST_FRAME_PX[0] / width, _MOST_FRAME_PX[1] / height)
    shown = max(1, round(width * scale)), max(1, round(height * scale))
    return scale, shown, max(least, shown[1])


def letters_for(height: int) -> int:
    """Return the size of usual letters in a picture whose body is so high, both in pixels.

    >>> letters_for(480), letters_for(720)
    (13, 17)
    """
    return 13 if height < _LARGE_PX else 17


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards of two tiles of ``tile`` pixels, ``columns`` beside each other, ``count`` in all.

    A card's second tile is to the right of its first; or below, if ``is_stacked``. ``letters`` are of so many
    pixels.
    """

    count: int
    columns: int
    tile: int
    letters: int = 13
    is_stacked: bool = False

    @classmethod
    def of(cls, targets: int, frame_width: int, height: int) -> Cards:
        """Return the cards for a panel beside a frame, sizes in pixels.

        >>> Cards.of(8, frame_width=640, height=480)
        Cards(count=8, columns=2, tile=86, letters=13, is_stacked=False)
        """
        letters = letters_for(height)
        count = min(targets, _MOST_CARDS)
        most = max(min(_PANEL * frame_width, _MOST_WIDTH_PX - frame_width), _LEAST_PANEL * height)
        if count == 1:
            tile = (height - _heading(letters) - _line(letters) - _BETWEEN_PX - GAP_PX) // 2
            return cls(1, 1, min(tile, int(most) - 2 * GAP_PX), letters, is_stacked=True)
        best = cls(count, 1, 0, letters)
        for columns in range(1, count + 1):
            rows = -(-count // columns)
            high = (height - _heading(letters)) // rows - GAP_PX - _line(letters)
            wide = int(((most - GAP_PX) / columns - GAP_PX - _BETWEEN_PX) / 2)
            tile = min(high, wide, round(_MOST_TILE * height))
            if tile > best.tile:
                best = cls(count, columns, tile, letters)
        return best

    @property
    def heading(self) -> int:
        """Height of the line above the first row, in pixels."""
        return _heading(self.letters)

    @property
    def line(self) -> int:
        """Height of the line above a card's tiles, in pixels."""
        return _line(self.letters)

    @property
    def width(self) -> int:
        """The width of the panel, in pixels."""
        return self.columns * (self.width_of_card + GAP_PX) + GAP_PX

    @property
    def width_of_card(self) -> int:
        """The width of a card, in pixels."""
        return self.tile + self.response_at[0]

    @property
    def height_of_card(self) -> int:
        """The height of a card, in pixels."""
        return self.line + self.tile + self.response_at[1]

    @property
    def response_at(self) -> tuple[int, int]:
        """Where the second tile begins, from where the first does: x and y."""
        step = self.tile + _BETWEEN_PX
        return (0, step) if self.is_stacked else (step, 0)

    def corner(self, card: int) -> tuple[int, int]:
        """Return the top left corner of a card in the panel, x and y.

        >>> Cards(4, 2, 100).corner(3)
        (220, 150)
        """
        row, column = divmod(card, self.columns)
        left = GAP_PX + column * (self.width_of_card + GAP_PX)
        return left, self.heading + row * (self.height_of_card + GAP_PX)


def _heading(letters: int) -> int:
    return letters + 9


def _line(letters: int) -> int:
    return letters + 7
