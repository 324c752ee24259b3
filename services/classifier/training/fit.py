"""The model of tier 2, fitted: on tables made by chance and on what people decided, judged on tables that it has not seen."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from services.classifier.domain.features import Features
from services.classifier.domain.model import Model, Network, Numbers, Table, beside, model_from
from services.classifier.domain.second import table_of
from services.classifier.domain.tables import Judge
from services.classifier.training.tables import Example
from shared.contracts.asset import UNCLASSIFIED, SchemaDiscovered

_RARE = 12  # a feature or a class that occurs less often is not learnt
_HIDDEN, _EPOCHS, _DECAY = 96, 10, 5e-3
_FOLDS = 2
_GONE = (0.05, 0.25)  # shares of features that are left out, so that no single one decides
_TEMPERATURES = np.geomspace(0.5, 4.0, 40)
_BINS = 10
_UNSAID, _NOBODY = "", -1  # nobody told what the column holds
_KEPT, _TIMES = 5, 5  # one table of five that people looked at is kept to judge by; the others are learnt so many times


class Lesson(NamedTuple):
    """Tables as tier 1 left them, and what is right of each column that it left open."""

    tables: list[Table]
    labels: list[str]


class Score(NamedTuple):
    """How right a model is on columns that it has not seen. `calibration`: expected error of its confidence, over ten bins."""

    accuracy: float
    macro_f1: float
    calibration: float
    columns: int


def lesson(judge: Judge, examples: Iterable[Example]) -> Lesson:
    """What tier 1 leaves open of these examples."""
    found = Lesson([], [])
    for example in examples:
        verdicts, opens, _ = judge.by_rules(example.table)
        if opens:
            found.tables.append(table_of(verdicts, opens))
            found.labels.extend(example.labels[one.place] for one in opens)
    return found


def learn_reviews(judge: Judge, decided: Iterable[tuple[SchemaDiscovered, Mapping[str, str]]], learnt: Lesson, test: Lesson) -> None:
    """What people decided on columns that tier 1 leaves open: most tables are learnt, some kept to judge by. By name, so always the same.

    Columns of such tables that nobody looked at are neighbours only.
    """
    for table, classes in decided:
        verdicts, opens, _ = judge.by_rules(table)
        labels = [classes.get(one.sight.column.name, _UNSAID) for one in opens]
        if any(label != _UNSAID for label in labels):
            kept = crc32(table.asset.encode()) % _KEPT == 0
            for _ in range(1 if kept else _TIMES):
                (test if kept else learnt).tables.append(table_of(verdicts, opens))
                (test if kept else learnt).labels.extend(labels)


def fitted(learnt: Lesson, tune: Lesson, version: str, seed: int = 7) -> Model:
    """A model of this lesson, its confidence evened out on tables that it was not fitted to."""
    names, labels = _names(learnt), _labels(learnt.labels)
    model = Model("", "", names, labels, *[_nothing()] * 2)
    rows, wanted = model.rows(_features(learnt.tables)), _places(learnt, model)
    owner = np.repeat(np.arange(len(learnt.tables)), [len(table.features) for table in learnt.tables])
    said = np.zeros((len(rows), len(labels)), np.float32)
    for fold in range(_FOLDS):  # what the first network says of tables that it was not trained with
        out = owner % _FOLDS == fold
        said[out] = _network(rows[~out], wanted[~out], len(labels), seed + fold)(rows[out])
    alone = _network(rows, wanted, len(labels), seed)
    together = _network(beside(rows, learnt.tables, said, model.label_of), wanted, len(labels), seed)
    network = _evened(together, Model("", "", names, labels, alone, together), tune)
    return reread(Model(version, "", names, labels, alone, network))


def _places(some: Lesson, model: Model) -> NDArray[np.int64]:
    """Each column's label by its place in the model; those that it does not know are nothing, those that nobody told -1."""
    none = model.label_of[UNCLASSIFIED]
    return np.array([_NOBODY if label == _UNSAID else model.label_of.get(label, none) for label in some.labels], np.int64)


def _features(tables: Iterable[Table]) -> list[Features]:
    return [features for table in tables for features in table.features]


def _names(learnt: Lesson) -> tuple[str, ...]:
    counts = Counter(name for features in _features(learnt.tables) for name in features)
    return tuple(sorted(name for name, count in counts.items() if count >= _RARE))


def _labels(labels: Sequence[str]) -> tuple[str, ...]:
    frequent = {label for label, count in Counter(labels).items() if count >= _RARE}
    return tuple(sorted((frequent | {UNCLASSIFIED}) - {_UNSAID}))


def _nothing() -> Network:
    empty: Numbers = np.zeros((0, 0), np.float32)
    return Network(empty, empty, empty, empty, 1.0)


def _network(rows: Numbers, wanted: NDArray[np.int64], labels: int, seed: int) -> Network:
    """One hidden layer, fitted by scikit-learn to each row twice, some of its features gone. Labels that it has not seen are never said."""
    dice, told = np.random.default_rng(seed), wanted != _NOBODY
    rows, wanted = rows[told], wanted[told]
    rows = np.vstack([rows * (dice.random(rows.shape, np.float32) >= share) for share in _GONE])
    wanted = np.tile(wanted, len(_GONE))
    learner = MLPClassifier((_HIDDEN,), alpha=_DECAY, batch_size=128, learning_rate_init=2e-3, max_iter=_EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many rounds are enough
        learner.fit(rows, wanted)
    out, bias = np.zeros((_HIDDEN, labels), np.float32), np.full(labels, -30.0, np.float32)
    out[:, learner.classes_], bias[learner.classes_] = learner.coefs_[1], learner.intercepts_[1]
    return Network(np.asarray(learner.coefs_[0], np.float32), np.asarray(learner.intercepts_[0], np.float32), out, bias, 1.0)


def halves(held_out: Lesson) -> tuple[Lesson, Lesson]:
    """Every other table."""
    halves = Lesson([], []), Lesson([], [])
    at = 0
    for number, table in enumerate(held_out.tables):
        half = halves[number % 2]
        half.tables.append(table)
        half.labels.extend(held_out.labels[at : at + len(table.features)])
        at += len(table.features)
    return halves


def _evened(network: Network, model: Model, tune: Lesson) -> Network:
    """The network at the temperature at which what is right of `tune` is likeliest."""
    wanted = _places(tune, model)
    rows = model.rows(_features(tune.tables))
    rows = beside(rows, tune.tables, model.alone(rows), model.label_of)
    places = np.arange(len(wanted))
    losses = [-np.log(np.maximum(_at(network, t)(rows)[places, wanted], 1e-9)).mean() for t in _TEMPERATURES]
    return _at(network, float(_TEMPERATURES[int(np.argmin(losses))]))


def _at(network: Network, temperature: float) -> Network:
    return Network(network.hidden, network.hidden_bias, network.out, network.out_bias, float(temperature))


def score(model: Model, held_out: Lesson) -> Score:
    """How right a model is on these columns."""
    wanted = np.array(held_out.labels)
    told = wanted != _UNSAID
    shares, wanted = model.judge(held_out.tables)[told], wanted[told]
    said, sure = np.array(model.labels)[shares.argmax(axis=1)], shares.max(axis=1)
    right = said == wanted
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = [abs(sure[bins == at].sum() - right[bins == at].sum()) for at in range(_BINS)]
    return Score(float(right.mean()), _macro_f1(said, wanted), float(sum(gaps) / len(right)), len(right))


def _macro_f1(said: NDArray[np.str_], wanted: NDArray[np.str_]) -> float:
    names = sorted(set(wanted.tolist()))
    shares = [2 * np.sum((said == name) & (wanted == name)) / max(1, np.sum(said == name) + np.sum(wanted == name)) for name in names]
    return float(np.mean(shares))


def written(model: Model) -> bytes:
    """The model as a file of plain arrays, without pickles; equal models give equal bytes."""
    file = BytesIO()
    arrays: dict[str, Any] = {
        "version": np.array(model.version.partition("+")[0]),
        "names": np.array(model.names),
        "labels": np.array(model.labels),
    }
    for name in ("alone", "together"):
        network: Network = getattr(model, name)
        for layer in ("hidden", "hidden_bias", "out", "out_bias"):
            arrays[f"{name}_{layer}"] = getattr(network, layer).astype(np.float16)
        arrays[f"{name}_temperature"] = np.array(network.temperature, np.float32)
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def reread(model: Model) -> Model:
    """As it will be read: half the digits, and with its digest."""
    body = written(model)
    with np.load(BytesIO(body), allow_pickle=False) as file:
        return model_from(dict(file), sha256(body).hexdigest())
