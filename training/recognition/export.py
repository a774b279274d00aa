"""Writes a trained network as ONNX, checks it against PyTorch, and keeps a few outputs for the check in Rust."""

import argparse
import copy
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from torch.nn.utils import fusion

from measure import embed
from model import PalmNet, Residual
from stream import SIDE, SYNTH, normalize

DIFFERENCE_MAX = 1e-4
# Pixels of a region of interest around the palm square, on each side.
MARGIN = 12


def fused(network):
    """The same function with every normalisation folded into the layer before it."""
    network = copy.deepcopy(network).eval()
    for module in list(network.features.modules()):
        if isinstance(module, torch.nn.Sequential) and isinstance(module[0], torch.nn.Conv2d):
            module[0], module[1] = fusion.fuse_conv_bn_eval(module[0], module[1]), torch.nn.Identity()
        if isinstance(module, Residual):
            module.second, module.norm = fusion.fuse_conv_bn_eval(module.second, module.norm), torch.nn.Identity()
    network.pool = fusion.fuse_conv_bn_eval(network.pool, network.pool_norm)
    network.pool_norm = torch.nn.Identity()
    plain = torch.nn.BatchNorm1d(network.norm.num_features, eps=network.norm.eps).eval()
    plain.running_mean, plain.running_var = network.norm.running_mean, network.norm.running_var
    network.linear, network.norm = fusion.fuse_linear_bn_eval(network.linear, plain), torch.nn.Identity()
    return network


def made_up_regions(synth):
    """Two people's palms as regions of interest, which Rust makes too; as the capture pipeline hands them over."""
    with tempfile.TemporaryDirectory() as folder:
        made = [synth, "set", "--kind", "crops", "--people", 2, "--samples", 1, "--seed", 1, "--out", folder]
        subprocess.run([str(word) for word in made], check=True)
        files = sorted(Path(folder).glob("*.png"))
        squares = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)[MARGIN:-MARGIN, MARGIN:-MARGIN] for file in files]
    small = [cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for square in squares]
    return [file.stem for file in files], np.stack([normalize(square)[None] for square in small])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write; the kept outputs go beside it")
    parser.add_argument("--synth", type=Path, default=SYNTH)
    options = parser.parse_args()
    state = torch.load(options.checkpoint, map_location="cpu")
    network = PalmNet()
    network.load_state_dict(state["network"])
    network.eval()
    shown = torch.zeros(1, 1, SIDE, SIDE)
    torch.onnx.export(
        fused(network), shown, options.out, opset_version=11, dynamo=False,
        input_names=["palm"], output_names=["embedding"],
    )
    onnx.checker.check_model(onnx.load(options.out))

    names, pictures = made_up_regions(options.synth)
    expected = embed(network, pictures)
    session = onnxruntime.InferenceSession(options.out)
    found = np.concatenate([session.run(None, {"palm": picture[None]})[0] for picture in pictures])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    difference = float(np.abs(found - expected).max())
    print(f"greatest difference of ONNX Runtime from PyTorch: {difference:.1e}")
    assert difference < DIFFERENCE_MAX, "the exported network is not the trained one"
    kept = {
        "network": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "crops_seen": state["seen"],
        "embeddings": {name: [round(float(x), 7) for x in row] for name, row in zip(names, expected)},
    }
    options.out.with_suffix(".parity.json").write_text(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
