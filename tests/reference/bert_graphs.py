"""The graph of a BERT or RoBERTa, written by hand in a moment, where an export takes ten seconds.

For tests of what serving makes of a graph's answers, which they compare with those of the same weights in torch, so
that a fault in here fails them. Axes: B texts, T tokens, D numbers of a token.
"""

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

_OPSET, _IR = 17, 9
MADE = ("bert", "roberta")


def write_graph(model, path, *, pooled=False):
    """The graph of a model with its head; the one for vectors has none and is `pooled` by the mean."""
    graph = _Graph(model)
    hidden = graph.encoder()
    outputs = graph.pooled(hidden) if pooled else graph.head(hidden)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(graph.made(outputs), path)


class _Graph:
    def __init__(self, model):
        self.config, self.weights = model.config, model.state_dict()
        self.prefix = f"{model.config.model_type}." if hasattr(model, model.config.model_type) else ""
        self.nodes, self.constants = [], []

    def node(self, kind, *inputs, **attributes):
        """Add a node; inputs that are no names become constants. The name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        self.nodes.append(helper.make_node(kind, names, [name], name, **attributes))
        return name

    def constant(self, value):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, name):
        return self.weights[name].numpy()

    def linear(self, x, name):
        return self.node("Add", self.node("MatMul", x, self.weight(f"{name}.weight").T), self.weight(f"{name}.bias"))

    def norm(self, x, name):
        weights = [self.weight(f"{name}.{part}") for part in ("weight", "bias")]
        return self.node("LayerNormalization", x, *weights, axis=-1, epsilon=self.config.layer_norm_eps)

    def gelu(self, x):
        error = self.node("Erf", self.node("Mul", x, np.float32(1 / math.sqrt(2))))
        return self.node("Mul", self.node("Mul", x, np.float32(0.5)), self.node("Add", error, np.float32(1)))

    def encoder(self):
        place = f"{self.prefix}embeddings"
        tables = [self.weight(f"{place}.{name}_embeddings.weight") for name in ("word", "position", "token_type")]
        sum_of_two = self.node("Add", self.node("Gather", tables[0], "input_ids"), self.positions(tables[1]))
        types = self.node("Gather", tables[2], "token_type_ids") if self.is_bert else tables[2][0]
        hidden = self.norm(self.node("Add", sum_of_two, types), f"{place}.LayerNorm")
        for index in range(self.config.num_hidden_layers):
            hidden = self.layer(hidden, f"{self.prefix}encoder.layer.{index}")
        return hidden

    @property
    def is_bert(self):
        return self.config.model_type == "bert"

    def positions(self, table):
        if self.is_bert:
            length = self.node("Gather", self.node("Shape", "input_ids"), np.int64(1))
            return self.node("Gather", table, self.node("Range", np.int64(0), length, np.int64(1)))
        padding = np.int64(self.config.pad_token_id)
        is_token = self.node("Cast", self.node("Not", self.node("Equal", "input_ids", padding)), to=TensorProto.INT64)
        counted = self.node("Mul", self.node("CumSum", is_token, np.int64(1)), is_token)
        return self.node("Gather", table, self.node("Add", counted, padding))

    def layer(self, x, name):
        query, key, value = (self.heads(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        size = self.config.hidden_size // self.config.num_attention_heads
        scores = self.node("MatMul", query, self.node("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.node("Add", self.node("Mul", scores, np.float32(size**-0.5)), self.hiding())
        seen = self.node("MatMul", self.node("Softmax", scores, axis=-1), value)
        together = self.node("Reshape", self.node("Transpose", seen, perm=[0, 2, 1, 3]), np.int64([0, 0, -1]))
        attended = self.linear(together, f"{name}.attention.output.dense")
        x = self.norm(self.node("Add", attended, x), f"{name}.attention.output.LayerNorm")
        between = self.gelu(self.linear(x, f"{name}.intermediate.dense"))
        made = self.node("Add", self.linear(between, f"{name}.output.dense"), x)
        return self.norm(made, f"{name}.output.LayerNorm")

    def heads(self, x, name):
        shape = np.int64([0, 0, self.config.num_attention_heads, -1])
        return self.node("Transpose", self.node("Reshape", self.linear(x, name), shape), perm=[0, 2, 1, 3])

    def hiding(self):
        """Nothing for a token, and far below all scores for padding: `[B, 1, 1, T]`."""
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        hidden = self.node("Mul", self.node("Sub", np.float32(1), mask), np.float32(-1e9))
        return self.node("Unsqueeze", hidden, np.int64([1, 2]))

    def pooled(self, hidden):
        mask = self.node("Unsqueeze", self.node("Cast", "attention_mask", to=TensorProto.FLOAT), np.int64([2]))
        told = self.node("Mul", hidden, mask)
        total, count = (self.node("ReduceSum", one, np.int64([1]), keepdims=0) for one in (told, mask))
        return {"logits": self.node("Div", total, count)}

    def head(self, hidden):
        if "cls.predictions.decoder.weight" in self.weights:
            changed = self.gelu(self.linear(hidden, "cls.predictions.transform.dense"))
            changed = self.norm(changed, "cls.predictions.transform.LayerNorm")
            return {"logits": self.linear(changed, "cls.predictions.decoder")}
        if "qa_outputs.weight" not in self.weights:
            return {"logits": self.linear(hidden, "classifier")}
        logits = self.linear(hidden, "qa_outputs")
        ends = {"start_logits": 0, "end_logits": 1}
        return {name: self.node("Gather", logits, np.int64(at), axis=2) for name, at in ends.items()}

    def made(self, outputs):
        for name, made in outputs.items():
            self.nodes.append(helper.make_node("Identity", [made], [name]))
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if self.is_bert else [])]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
        answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "by hand", inputs, answers, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
