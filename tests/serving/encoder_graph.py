"""Write a small user encoder as ONNX: run by the core environment, which has the onnx package.

Run: python -m tests.serving.encoder_graph N_ITEMS N_DIMENSIONS SEED FILE
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

N_ACTIONS, N_GAPS = 11, 32


def graph(n_items: int, n_dimensions: int, seed: int) -> onnx.ModelProto:
    """Return sum over time of (item + action embedding) x gap weight; padding has weight 0."""
    generator = np.random.default_rng(seed)
    gap_weights = np.concatenate([[0.0], 1 / np.arange(1, N_GAPS)])[:, None]
    tables = {
        "item_table": generator.normal(size=(n_items + 1, n_dimensions)),
        "action_table": generator.normal(size=(N_ACTIONS, n_dimensions)) / 4,
        "gap_table": gap_weights,
    }
    constants = [numpy_helper.from_array(table.astype(np.float32), name) for name, table in tables.items()]
    constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "time_axis"))
    nodes = [
        helper.make_node("Gather", ["item_table", "items"], ["item_vectors"]),
        helper.make_node("Gather", ["action_table", "actions"], ["action_vectors"]),
        helper.make_node("Gather", ["gap_table", "gaps"], ["weights"]),
        helper.make_node("Add", ["item_vectors", "action_vectors"], ["steps"]),
        helper.make_node("Mul", ["steps", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "time_axis"], ["vector"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in ("items", "actions", "gaps")
    ]
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", n_dimensions])
    model = helper.make_model(
        helper.make_graph(nodes, "encoder", inputs, [output], constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(graph(*map(int, sys.argv[1:4])), sys.argv[4])
