"""all-MiniLM-L6-v2 as one ONNX graph, written from its weights: no PyTorch. Mean of the tokens and unit length are inside.

Needs the extra `ml` (onnx); only `written` is called from outside, once per machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

WIDTH, LAYERS, HEADS = 384, 6, 12
_HEAD, _SMALL, _FAR = WIDTH // HEADS, 1e-12, -1e4
_OPSET, _IR = 20, 9
_KINDS = {"F32": np.float32, "I64": np.int64}


def weights_of(file: Path) -> dict[str, Any]:
    """The arrays of a safetensors file: the length of its head, its head as JSON, then plain numbers."""
    body = np.memmap(file, np.uint8, "r")
    start = 8 + int.from_bytes(body[:8].tobytes(), "little")
    head = json.loads(body[8:start].tobytes())
    told = {name: entry for name, entry in head.items() if name != "__metadata__"}
    return {
        name: body[slice(*(start + at for at in entry["data_offsets"]))].view(_KINDS[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in told.items()
    }


def written(weights: Path) -> bytes:
    """The graph: `input_ids` and `attention_mask` (rows of texts, columns of tokens) to `embedding` (a row of 384 a text)."""
    graph = _Graph(weights_of(weights))
    texts = graph.tokens("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info(texts, TensorProto.FLOAT, ["texts", WIDTH])
    made = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    checker.check_model(model)
    return bytes(model.SerializeToString())


class _Graph:
    """Nodes and constants as they come; each method adds some and returns the name of what they give."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def tokens(self, ids: str, mask: str) -> str:
        """From tokens to one vector a text."""
        seen = self._node("Cast", mask, to=TensorProto.FLOAT)
        hidden = self._embedded(ids)
        masked = self._node("Mul", self._node("Sub", self._numbers([1.0]), seen), self._numbers([_FAR]))
        masked = self._node("Unsqueeze", masked, self._places([1, 2]))
        for layer in range(LAYERS):
            hidden = self._layer(hidden, masked, f"encoder.layer.{layer}.")
        return self._pooled(hidden, seen)

    def _embedded(self, ids: str) -> str:
        words = self._node("Gather", self._constant(self.weights["embeddings.word_embeddings.weight"]), ids)
        places = self.weights["embeddings.position_embeddings.weight"] + self.weights["embeddings.token_type_embeddings.weight"][0]
        length = self._node("Shape", ids, start=1, end=2)
        placed = self._node("Slice", self._constant(places), self._places([0]), length, self._places([0]))
        return self._norm(self._node("Add", words, placed), "embeddings.LayerNorm")

    def _layer(self, hidden: str, masked: str, name: str) -> str:
        looked = self._attention(hidden, masked, f"{name}attention.self.")
        looked = self._node("Add", self._linear(looked, f"{name}attention.output.dense"), hidden)
        looked = self._norm(looked, f"{name}attention.output.LayerNorm")
        wide = self._node("Gelu", self._linear(looked, f"{name}intermediate.dense"))
        return self._norm(self._node("Add", self._linear(wide, f"{name}output.dense"), looked), f"{name}output.LayerNorm")

    def _attention(self, hidden: str, masked: str, name: str) -> str:
        query = self._heads(self._linear(hidden, f"{name}query", 1 / _HEAD**0.5), [0, 2, 1, 3])
        key = self._heads(self._linear(hidden, f"{name}key"), [0, 2, 3, 1])
        value = self._heads(self._linear(hidden, f"{name}value"), [0, 2, 1, 3])
        weighed = self._node("Softmax", self._node("Add", self._node("MatMul", query, key), masked), axis=-1)
        joined = self._node("Transpose", self._node("MatMul", weighed, value), perm=[0, 2, 1, 3])
        return self._node("Reshape", joined, self._places([0, 0, WIDTH]))

    def _heads(self, hidden: str, order: list[int]) -> str:
        return self._node("Transpose", self._node("Reshape", hidden, self._places([0, 0, HEADS, _HEAD])), perm=order)

    def _pooled(self, hidden: str, seen: str) -> str:
        """The mean over the tokens that are there, of length one."""
        seen = self._node("Unsqueeze", seen, self._places([2]))
        total = self._node("ReduceSum", self._node("Mul", hidden, seen), self._places([1]), keepdims=0)
        count = self._node("ReduceSum", seen, self._places([1]), keepdims=0)
        mean = self._node("Div", total, self._node("Max", count, self._numbers([_SMALL])))
        length = self._node("Max", self._node("ReduceL2", mean, self._places([1]), keepdims=1), self._numbers([_SMALL]))
        return self._node("Div", mean, length, name="embedding")

    def _linear(self, hidden: str, name: str, scale: float = 1.0) -> str:
        weight = self._constant(self.weights[f"{name}.weight"].T * np.float32(scale))
        return self._node("Add", self._node("MatMul", hidden, weight), self._constant(self.weights[f"{name}.bias"] * np.float32(scale)))

    def _norm(self, hidden: str, name: str) -> str:
        scale, bias = self._constant(self.weights[f"{name}.weight"]), self._constant(self.weights[f"{name}.bias"])
        return self._node("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=_SMALL)

    def _numbers(self, values: list[float]) -> str:
        return self._constant(np.array(values, np.float32))

    def _places(self, values: list[int]) -> str:
        return self._constant(np.array(values, np.int64))

    def _constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name
