"""Write `src/cortex/embed/minilm.onnx`, the graph of the local model, from the layout in `cortex.embed.convert`.

Needs the package `onnx`, which Cortex itself does not: the graph is kept in the project and changes only with this
script. Afterwards put its size and SHA-256, which are printed, into `cortex.embed.model`.

The graph is a BERT encoder for one text at a time, without padding and so without a mask. It is written the way it is
to run, and is loaded with the optimizer off: the optimizer would join each addition and normalisation into an operator
that is several times slower on processors than the two of them.

Activations are quantised while it runs, with one range for a whole matrix. What goes into the two large matrices has
single rows (tokens) far larger than the others, which would take the range for themselves: those rows are divided by
their largest number before, and multiplied by it after.
"""

import hashlib
import sys
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, helper

from cortex.embed import model
from cortex.embed.convert import HEADS, LAYERS, WIDTH, Tensor, layout

_MICROSOFT = "com.microsoft"
_OPSET = 17
_IR_VERSION = 8
_EPSILON = 1e-12
# gelu is never below -0.17, so a row whose largest number is less is bounded by this.
_GELU_FLOOR = 0.17
_TYPES = {"int8": TensorProto.INT8, "float32": TensorProto.FLOAT}


class Graph:
    """Nodes in their order. A node has the name of what it gives."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def __call__(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output


def encoder() -> list[NodeProto]:
    """From `input_ids` to `vector`."""
    g = Graph()
    g("Gather", ["words.codes", "input_ids"], "word.codes")
    g("Cast", ["word.codes"], "word.numbers", to=TensorProto.FLOAT)
    g("Gather", ["words.scales", "input_ids"], "word.scales")
    g("Mul", ["word.numbers", "word.scales"], "word")
    g("Shape", ["input_ids"], "length", start=1, end=2)
    g("Slice", ["positions", "zero", "length", "one"], "position")
    x = normalised(g, "word", "position", "words", "0.in")
    for layer in range(LAYERS):
        x = transformed(g, x, str(layer))
    g("ReduceMean", [x], "mean", axes=[1], keepdims=0)
    g("LpNormalization", ["mean"], "vector", axis=-1, p=2)
    return g.nodes


def transformed(g: Graph, x: str, at: str) -> str:
    """One layer."""
    qkv = product(g, x, f"{at}.qkv")
    parts = [f"{at}.query", f"{at}.key", f"{at}.value"]
    g.nodes.append(helper.make_node("Split", [qkv], parts, name=f"{at}.split", axis=-1))
    seen = g("MultiHeadAttention", [*parts, f"{at}.qkv.bias"], f"{at}.attention", _MICROSOFT, num_heads=HEADS)
    mixed = g("Add", [product(g, seen, f"{at}.mix"), f"{at}.mix.bias"], f"{at}.mixed.sum")
    y = normalised(g, mixed, x, f"{at}.mixed", f"{at}.between")
    largest = g("ReduceMax", [g("Abs", [y], f"{at}.up.abs")], f"{at}.up.largest", axes=[-1], keepdims=1)
    up = product(g, y, f"{at}.up", largest)
    bent = g("BiasGelu", [up, f"{at}.up.bias"], f"{at}.gelu", _MICROSOFT)
    highest = g("ReduceMax", [bent], f"{at}.down.highest", axes=[-1], keepdims=1)
    largest = g("Max", [highest, "gelu.floor"], f"{at}.down.largest")
    down = g("Add", [product(g, bent, f"{at}.down", largest), f"{at}.down.bias"], f"{at}.down.sum")
    return normalised(g, down, y, f"{at}.out", f"{at}.result")


def product(g: Graph, x: str, matrix: str, largest: str = "") -> str:
    """`x` times a quantised matrix, its rows divided by `largest` meanwhile."""
    inputs = [f"{matrix}.codes", f"{matrix}.scales"]
    if not largest:
        return g("DynamicQuantizeMatMul", [x, *inputs], f"{matrix}.product", _MICROSOFT)
    even = g("Div", [x, largest], f"{matrix}.even")
    return g(
        "Mul", [g("DynamicQuantizeMatMul", [even, *inputs], f"{matrix}.raw", _MICROSOFT), largest], f"{matrix}.product"
    )


def normalised(g: Graph, x: str, y: str, norm: str, output: str) -> str:
    """The sum of both, normalised."""
    total = g("Add", [x, y], f"{output}.sum")
    return g("LayerNormalization", [total, f"{norm}.gain", f"{norm}.shift"], output, epsilon=_EPSILON)


def external(tensor: Tensor) -> TensorProto:
    """A tensor that lies in the weights file."""
    found = TensorProto(name=tensor.name, data_type=_TYPES[tensor.dtype], dims=tensor.shape)
    found.data_location = TensorProto.EXTERNAL
    places = {"location": model.WEIGHTS.name, "offset": tensor.offset, "length": tensor.bytes}
    for key, value in places.items():
        found.external_data.add(key=key, value=str(value))
    return found


def made() -> ModelProto:
    """The whole model, without its weights."""
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("gelu.floor", TensorProto.FLOAT, [1], [_GELU_FLOOR]),
    ]
    graph = helper.make_graph(
        encoder(),
        model.VERSION,
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, WIDTH])],
        [*constants, *map(external, layout())],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def main() -> int:
    target = Path(__file__).parent.parent / "src" / "cortex" / "embed" / model.GRAPH.name
    content = made().SerializeToString(deterministic=True)
    target.write_bytes(content)
    print(f"{target}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
