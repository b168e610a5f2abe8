"""The models that the protocol shows: the kinds of correlation, the hosted networks, and templates' own."""

from __future__ import annotations

from siamcorr import Engine
from siamcorr.errors import ModelNotFound
from siamcorr.shapes import KINDS
from siamcorr_server.inference.asked import Hosted
from siamcorr_server.inference.correlate import KindModel, NetworkModel
from siamcorr_server.inference.templates import TEMPLATE_MODELS

__all__ = ["Models"]


class Models:
    """Models by name, in the order in which they are told."""

    def __init__(self, engine: Engine) -> None:
        """Show those of ``engine``."""
        hosted: list[Hosted] = [KindModel(kind, engine) for kind in KINDS]
        hosted += [model(engine) for model in TEMPLATE_MODELS]
        hosted += [NetworkModel(name, network, engine) for name, network in engine.networks.items()]
        self._hosted = {model.declared.name: model for model in hosted}

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self._hosted)

    def find(self, name: str, field: str = "model_name") -> Hosted:
        """Return the model of that name.

        Raises:
            ModelNotFound: names ``field``.
        """
        if name not in self._hosted:
            found = f"{field}: found {name!r:.80}, expected one of {', '.join(self._hosted)}"
            raise ModelNotFound(found, field=field)
        return self._hosted[name]
