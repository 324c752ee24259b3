"""Tier 2: a small network that says what an uncertain column holds; twice, the second time knowing what it said of the neighbours.

Plain numbers, trained elsewhere (services/classifier/training); here they are only multiplied, all uncertain columns of a batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.classifier.domain.features import Features
from shared.contracts.asset import UNCLASSIFIED

Numbers = NDArray[np.float32]
_COLUMNS = 6.0  # log2 of the number of columns that counts as one


class Table(NamedTuple):
    """One table as tier 1 left it: its columns' classes, None where it was not sure; and the features of those, in order."""

    classes: tuple[str | None, ...]
    features: tuple[Features, ...]


@dataclass(frozen=True)
class Network:
    """One hidden layer. `temperature` evens out what it says, so that 0.8 is right in eight of ten cases."""

    hidden: Numbers
    hidden_bias: Numbers
    out: Numbers
    out_bias: Numbers
    temperature: float

    def __call__(self, rows: Numbers) -> Numbers:
        """A probability for each label, a row a column."""
        scores = (np.maximum(rows @ self.hidden + self.hidden_bias, 0.0) @ self.out + self.out_bias) / self.temperature
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        result: Numbers = powers / powers.sum(axis=1, keepdims=True)
        return result


@dataclass(frozen=True)
class Model:
    """`names`: features, `labels`: classes and the word for none, in the order of the networks. `version` names it in events."""

    version: str
    digest: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    alone: Network
    together: Network

    @cached_property
    def place_of(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def label_of(self) -> dict[str, int]:
        return {label: place for place, label in enumerate(self.labels)}

    def rows(self, features: Sequence[Features]) -> Numbers:
        """Features as numbers, a row a column; what the model does not know is left out."""
        rows = np.zeros((len(features), len(self.names)), np.float32)
        known = self.place_of
        for number, some in enumerate(features):
            places = [known[name] for name in some if name in known]
            rows[number, places] = [value for name, value in some.items() if name in known]
        return rows

    def judge(self, tables: Sequence[Table]) -> Numbers:
        """A probability for each label, a row for each column with features, table by table."""
        rows = self.rows([some for table in tables for some in table.features])
        return self.together(beside(rows, tables, self.alone(rows), self.label_of))


def beside(rows: Numbers, tables: Sequence[Table], said: Numbers, label_of: dict[str, int]) -> Numbers:
    """The rows with what surrounds each column: what is said of the one before, of the one behind, and of all others of its table.

    `said`: probabilities of the uncertain columns; of the others the class is known.
    """
    sizes = np.array([len(table.classes) for table in tables])
    owner = np.repeat(np.arange(len(tables)), sizes)
    classes = [name for table in tables for name in table.classes]
    unsure = np.flatnonzero([name is None for name in classes])
    every = np.zeros((len(classes), said.shape[1]), np.float32)
    every[unsure] = said
    none = label_of[UNCLASSIFIED]
    sure = np.array([at for at, name in enumerate(classes) if name is not None], np.int64)
    every[sure, [label_of.get(name, none) for name in classes if name is not None]] = 1.0
    firsts = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)[:-1]))
    sums, most = np.add.reduceat(every, firsts), np.maximum.reduceat(every, firsts)
    same = (owner[1:] == owner[:-1])[:, None]
    edge = np.zeros((1, every.shape[1]), np.float32)
    before, behind = np.vstack((edge, every[:-1] * same)), np.vstack((every[1:] * same, edge))
    own = owner[unsure]
    others = (sums[own] - said) / np.maximum(sizes[own] - 1, 1)[:, None]
    place = np.stack((np.log2(1 + sizes[own]) / _COLUMNS, (unsure - firsts[own]) / sizes[own]), 1)
    return np.hstack((rows, before[unsure], behind[unsure], others, most[own], place)).astype(np.float32)


NETWORKS, LAYERS = ("alone", "together"), ("hidden", "hidden_bias", "out", "out_bias", "temperature")


def model_from(arrays: dict[str, Any], digest: str) -> Model:
    """The model that these arrays (of a file without pickles) make. Raises ValueError, KeyError or TypeError where they are none."""
    networks = {}
    for name in NETWORKS:
        parts = {layer: np.asarray(arrays[f"{name}_{layer}"], np.float32) for layer in LAYERS}
        networks[name] = Network(**{**parts, "temperature": float(parts["temperature"])})  # type: ignore[arg-type]
    names, labels = tuple(map(str, arrays["names"])), tuple(map(str, arrays["labels"]))
    model = Model(f"{arrays['version']}+{digest[:8]}", digest, names, labels, **networks)
    _check(model)
    return model


def _check(model: Model) -> None:
    widths = {"alone": len(model.names), "together": len(model.names) + 4 * len(model.labels) + 2}
    for name, width in widths.items():
        network: Network = getattr(model, name)
        fits = network.hidden.shape[0] == width and network.out.shape == (network.hidden.shape[1], len(model.labels))
        numbers = (network.hidden, network.hidden_bias, network.out, network.out_bias)
        if not fits or UNCLASSIFIED not in model.labels or not all(np.isfinite(part).all() for part in numbers) or network.temperature <= 0:
            raise ValueError(f"the network {name} does not fit its names and labels")
