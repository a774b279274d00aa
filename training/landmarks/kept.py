"""A kept ONNX model's weights, to go on from where its training ended."""

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn


def layers(network, pictures):
    """Convolutions in the order in which they run, each with the normalisation that follows it or None."""
    order, hooks = [], []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            hooks.append(module.register_forward_pre_hook(lambda module, _: order.append(module)))
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
    following = order[1:] + [None]
    pairs = [(a, b if isinstance(b, nn.BatchNorm2d) else None) for a, b in zip(order, following)]
    return [(a, b) for a, b in pairs if isinstance(a, nn.Conv2d)]


@torch.no_grad()
def load(network, path, pictures):
    """Gives `network` the weights of a model that its normalisations were folded into. Each normalisation takes the
    statistics of its input over `pictures` and undoes itself, so that the function stays the same."""
    graph = onnx.load(path).graph
    values = {tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor))) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    network.eval()
    pairs = layers(network, pictures[:1])
    assert len(pairs) == len(convolutions), "the model is of another shape"
    for (convolution, norm), node in zip(pairs, convolutions):
        convolution.weight.copy_(values[node.input[1]])
        bias = values[node.input[2]]
        if norm is None:
            convolution.bias.copy_(bias)
            continue

        def fit(norm, inputs, bias=bias):
            mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean + bias)

        hook = norm.register_forward_pre_hook(fit)
        network(pictures)
        hook.remove()
