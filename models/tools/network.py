"""Small dense networks: fitted in float64 by L-BFGS, written as ONNX with the scaling inside the graph.

Graph: x -> Sub(mean) -> Div(std) -> [Gemm -> Tanh]* -> Gemm -> Mul(out_std) -> Add(out_mean) -> y, float32,
x = [N, n], y = [N, m] with a symbolic batch N.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import minimize


class Network:
    """Weights of a dense tanh network with its input and output scaling."""

    def __init__(self, sizes, x_mean, x_std, y_mean, y_std):
        self.sizes = sizes
        self.x_mean, self.x_std, self.y_mean, self.y_std = (np.asarray(v, np.float64) for v in (x_mean, x_std, y_mean, y_std))
        self.layers = []

    def start(self, seed):
        """Glorot start weights from a fixed seed."""
        rng = np.random.default_rng(seed)
        self.layers = []
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:]):
            limit = np.sqrt(6.0 / (fan_in + fan_out))
            self.layers.append((rng.uniform(-limit, limit, (fan_in, fan_out)), np.zeros(fan_out)))

    def _pack(self, layers):
        return np.concatenate([np.concatenate((w.ravel(), b)) for w, b in layers])

    def _unpack(self, flat):
        layers, at = [], 0
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:]):
            w = flat[at : at + fan_in * fan_out].reshape(fan_in, fan_out)
            at += fan_in * fan_out
            layers.append((w, flat[at : at + fan_out]))
            at += fan_out
        return layers

    @staticmethod
    def _forward(layers, x):
        kept = [x]
        for i, (w, b) in enumerate(layers):
            x = x @ w + b
            if i + 1 < len(layers):
                x = np.tanh(x)
            kept.append(x)
        return kept

    def fit(self, x, y, iterations, l2=0.0, whiten_inputs=False):
        """From start weights: minimises the mean squared error of the scaled outputs plus `l2` times the squared weights."""
        xs, ys = (x - self.x_mean) / self.x_std, (y - self.y_mean) / self.y_std
        rows = len(xs)
        whiten = np.eye(xs.shape[1])
        if whiten_inputs:
            # Differences of nearly equal inputs (T - TK) carry the information: train on whitened inputs, fold the matrix into layer 0.
            spread, axes = np.linalg.eigh(np.cov(xs.T))
            whiten = axes / np.sqrt(np.maximum(spread, 1e-7))
            xs = xs @ whiten

        def loss(flat):
            layers = self._unpack(flat)
            kept = self._forward(layers, xs)
            error = kept[-1] - ys
            value = 0.5 * np.sum(error * error) / rows
            delta = error / rows
            grads = []
            for i in range(len(layers) - 1, -1, -1):
                w, _ = layers[i]
                value += 0.5 * l2 * np.sum(w * w)
                grads.append((kept[i].T @ delta + l2 * w, delta.sum(axis=0)))
                if i > 0:
                    delta = (delta @ w.T) * (1.0 - kept[i] ** 2)
            return value, self._pack(grads[::-1])

        options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 30, "ftol": 1e-14, "gtol": 1e-10}
        found = minimize(loss, self._pack(self.layers), jac=True, method="L-BFGS-B", options=options)
        self.layers = self._unpack(found.x)
        w, b = self.layers[0]
        self.layers[0] = (whiten @ w, b)
        return found

    def rounded(self):
        """The same network with every weight as float32 would hold it: what the file contains."""
        same = Network(self.sizes, *(v.astype(np.float32) for v in (self.x_mean, self.x_std, self.y_mean, self.y_std)))
        same.layers = [(w.astype(np.float32).astype(np.float64), b.astype(np.float32).astype(np.float64)) for w, b in self.layers]
        return same

    def predict(self, x):
        """Outputs in engineering units."""
        return self._forward(self.layers, (x - self.x_mean) / self.x_std)[-1] * self.y_std + self.y_mean

    def to_onnx(self, name):
        """The ONNX model, without metadata."""
        nodes, weights = [], []

        def constant(label, value):
            weights.append(numpy_helper.from_array(np.asarray(value, np.float32), label))
            return label

        nodes.append(helper.make_node("Sub", ["x", constant("x_mean", self.x_mean)], ["x_centred"], "scale_sub"))
        nodes.append(helper.make_node("Div", ["x_centred", constant("x_std", self.x_std)], ["h0"], "scale_div"))
        last = "h0"
        for i, (w, b) in enumerate(self.layers):
            inputs = [last, constant(f"w{i}", w), constant(f"b{i}", b)]
            nodes.append(helper.make_node("Gemm", inputs, [f"z{i}"], f"gemm{i}"))
            last = f"z{i}"
            if i + 1 < len(self.layers):
                nodes.append(helper.make_node("Tanh", [last], [f"h{i + 1}"], f"tanh{i}"))
                last = f"h{i + 1}"
        nodes.append(helper.make_node("Mul", [last, constant("y_std", self.y_std)], ["y_spread"], "unscale_mul"))
        nodes.append(helper.make_node("Add", ["y_spread", constant("y_mean", self.y_mean)], ["y"], "unscale_add"))
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", self.sizes[0]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", self.sizes[-1]])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="flyball models/tools")
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model
