"""The models that a worker may be asked to score with, opened when they are needed and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agents.models.shelf import INSTEAD, Shelf
from schemas.errors import ModelError
from schemas.promotions import Promotion

if TYPE_CHECKING:
    from agents.models.scoring import Predictor


class Library(Protocol):
    """Where a partition gets the model of a promotion from."""

    def open(self, promotion: Promotion) -> Predictor:
        """The model, ready; the same for the same promotion, always.

        Raises
        ------
        ModelError
            When it is not there, is damaged, or is not the one that was promoted.
        """


class RegistryLibrary:
    """The models of the registry in a data folder.

    They score on the CPU whatever computes the ticks: a worker with another device that takes a partition
    over then gives the same bits.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._shelf = Shelf(data_dir)
        self._open: dict[Promotion, Predictor] = {}

    def promoted(self) -> Promotion | None:
        """What the registry says is in use.

        Raises
        ------
        ModelError
            When its files cannot be read.
        """
        version = self._shelf.promoted()
        return None if version is None else self._named(version)

    def _named(self, version: str) -> Promotion:
        return Promotion(version, str(self._shelf.card(version)["sha256"]))

    def open(self, promotion: Promotion) -> Predictor:
        """See :meth:`Library.open`."""
        known = self._open.get(promotion)
        if known is None:
            known = self._open[promotion] = self._read(promotion)
        return known

    def _read(self, promotion: Promotion) -> Predictor:
        if self._named(promotion.version) != promotion:
            raise ModelError(
                f"models.{promotion.version}",
                "has other weights than the model that was promoted under this name",
                f"give all workers one registry; {INSTEAD}",
            )
        # Torch takes seconds to import; who has no model shall not wait for it.
        from agents.models.registry import Registry
        from agents.models.scoring import Predictor

        version, model = Registry(self._data_dir).load(promotion.version)
        return Predictor(version, model)
