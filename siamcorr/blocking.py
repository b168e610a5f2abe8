"""The calls that Engine and Client share, where the caller waits for the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, Unpack, overload

import numpy.typing as npt

from siamcorr.answers import Response, Template
from siamcorr.arguments import Array
from siamcorr.calls import CorrelateOptions, Handle, Image, TemplateSource
from siamcorr.checks import create_call, handle_of, update_rate, update_source

__all__ = ["BlockingCalls"]


class BlockingCalls(ABC):
    """Create, update, delete and correlate templates; in a ``with`` block, whose end closes it.

    ``timeout_s`` is in seconds; after it the call raises DeadlineExceeded, and what was asked is given up.
    All calls raise subclasses of :class:`siamcorr.errors.SiamcorrError`.
    """

    def create_template(
        self,
        features: Array | Mapping[str, Array] | None = None,
        *,
        image: Image | None = None,
        box: npt.ArrayLike | None = None,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> Template:
        """Make a template, from features or from a box of an image.

        Args:
            features: (C, h, w), or (O, C/groups, h, w) for ``grouped``; float32, float16 or bfloat16. Or
                several of them by name.
            image: a JPEG or PNG file's bytes, or (H, W, 3) uint8 BGR.
            box: x, y, w, h in pixels.
            model: the embedder for ``image``; None is the server's default, ``hog``.
            timeout_s: see above.

        Raises:
            InvalidArgument: names the argument.
            ModelNotFound: no such embedder is loaded.
            BankFull: the templates' byte budget is reached.
        """
        source = update_source(features, image=image, box=box, model=model)
        return self._create(source, timeout_s)[0]

    def create_templates(
        self,
        *,
        image: Image,
        boxes: npt.ArrayLike,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> list[Template]:
        """Make a template for each of ``boxes`` (N, 4) of one image: all of them or none.

        Raises:
            InvalidArgument: names the argument.
            ModelNotFound: no such embedder is loaded.
            BankFull: the templates' byte budget is reached.
        """
        return self._create(create_call(image=image, boxes=boxes, model=model), timeout_s)

    def get_template(self, template: Handle, *, timeout_s: float | None = None) -> Template:
        """Describe a template as it is now. It does not count as use.

        Raises:
            TemplateNotFound: or TemplateEvicted, or TemplateExpired.
        """
        return self._get(handle_of(template), timeout_s)

    def list_templates(self, *, timeout_s: float | None = None) -> Iterator[Template]:
        """Yield all templates in order of creation, asking page by page; ``timeout_s`` is for one page."""
        after = ""
        while True:
            templates, after = self._page(after, timeout_s)
            yield from templates
            if not after:
                return

    def update_template(
        self,
        template: Handle,
        features: Array | Mapping[str, Array] | None = None,
        *,
        image: Image | None = None,
        box: npt.ArrayLike | None = None,
        model: str | None = None,
        rate: float = 1.0,
        timeout_s: float | None = None,
    ) -> Template:
        """Give a template its next generation: ``(1 - rate) * old + rate * new``.

        Args:
            template: which.
            features: with the names, shapes and dtypes of the template's own; or ``image`` and ``box``.
            image: as in :meth:`create_template`.
            box: as in :meth:`create_template`.
            model: the embedder for ``image``; None is the one that made the template.
            rate: above 0 and up to 1, which replaces.
            timeout_s: see above.

        Raises:
            TemplateNotFound: or TemplateEvicted, or TemplateExpired.
            InvalidArgument: names the argument.
        """
        source = update_source(features, image=image, box=box, model=model)
        return self._update(handle_of(template), source, update_rate(rate), timeout_s)

    def delete_template(self, template: Handle, *, timeout_s: float | None = None) -> None:
        """Forget a template at once. What already runs still ends well.

        Raises:
            TemplateNotFound: or TemplateEvicted, or TemplateExpired.
        """
        self._delete(handle_of(template), timeout_s)

    @overload  # a handle is a str, and so a sequence of handles to a type checker; it is caught first
    def correlate(  # type: ignore[overload-overlap]
        self, template: Handle, *, timeout_s: float | None = None, **options: Unpack[CorrelateOptions]
    ) -> Response: ...

    @overload
    def correlate(
        self,
        template: Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> list[Response]: ...

    def correlate(
        self,
        template: Handle | Sequence[Handle],
        *,
        timeout_s: float | None = None,
        **options: Unpack[CorrelateOptions],
    ) -> Response | list[Response]:
        """Slide templates over search regions: one template makes one response, a list a list.

        The keywords are those of :func:`siamcorr.checks.correlate_call`: ``features`` (C, H, W) or
        (N, C, H, W), or ``image`` and ``box``; ``kind`` with its ``groups``, ``k``, ``padding``, ``stride``
        and ``dilation``; ``gain``, ``bias`` and ``head``; ``pairs``; ``output`` with ``map_dtype``,
        ``top_k`` and ``sum_channels``; ``precision``; ``tensor``, ``model``
        and ``wire_dtype``.

        Raises:
            InvalidArgument: names the argument.
            TemplateNotFound: or TemplateEvicted, or TemplateExpired.
            QueueFull: try again after ``retry_after_s``.
        """
        responses = self._correlate(template, options, timeout_s)
        return responses[0] if isinstance(template, str | Template) else responses

    @abstractmethod
    def close(self) -> None:
        """Take no more calls, and let go of everything."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @abstractmethod
    def _create(self, source: TemplateSource, timeout_s: float | None) -> list[Template]: ...

    @abstractmethod
    def _get(self, handle: str, timeout_s: float | None) -> Template: ...

    @abstractmethod
    def _page(self, after: str, timeout_s: float | None) -> tuple[Sequence[Template], str]: ...

    @abstractmethod
    def _update(
        self, handle: str, source: TemplateSource, rate: float, timeout_s: float | None
    ) -> Template: ...

    @abstractmethod
    def _delete(self, handle: str, timeout_s: float | None) -> None: ...

    @abstractmethod
    def _correlate(
        self, template: Handle | Sequence[Handle], options: CorrelateOptions, timeout_s: float | None
    ) -> list[Response]: ...
