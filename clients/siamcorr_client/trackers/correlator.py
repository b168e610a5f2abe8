"""What trackers call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy.typing as npt

from siamcorr.answers import Response, Template
from siamcorr.arguments import Indices
from siamcorr.calls import Image

__all__ = ["Correlator"]


class Correlator(Protocol):
    """A :class:`~siamcorr_client.Client`, or an Engine in this process."""

    def create_templates(
        self, *, image: Image, boxes: npt.ArrayLike, model: str | None = None
    ) -> list[Template]:
        """Make one template for each box."""

    def update_template(
        self, template: Template, *, image: Image, box: npt.ArrayLike, rate: float
    ) -> Template:
        """Blend a template with one of another frame."""

    def get_template(self, template: Template) -> Template:
        """Describe a template."""

    def delete_template(self, template: Template) -> None:
        """Forget a template."""

    def correlate(
        self,
        template: Sequence[Template],
        *,
        image: Image,
        box: npt.ArrayLike,
        pairs: tuple[Indices, Indices],
        kind: str,
        gain: float = ...,
        sum_channels: bool = ...,
    ) -> list[Response]:
        """Slide templates over search regions around boxes of an image."""
