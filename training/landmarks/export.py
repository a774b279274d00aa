"""Writes a trained network as ONNX and checks that it says the same as PyTorch does."""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import measure
from hands import FINDER_SIDE, LANDMARK_SIDE, LOOKS, POINTS
from model import Finder, Landmarks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["finder", *LOOKS])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, default="runs/held-out.bin")
    parser.add_argument("--fixture", type=Path, help="writes a picture and PyTorch's outputs, for the test in palm/")
    options = parser.parse_args()
    network = Finder() if options.what == "finder" else Landmarks(POINTS)
    network.load_state_dict(torch.load(options.checkpoint)["network"])
    network.eval()
    side = FINDER_SIDE if options.what == "finder" else LANDMARK_SIDE
    names = ["cells"] if options.what == "finder" else ["heat", "verdict"]
    torch.onnx.export(network, torch.zeros(1, 1, side, side), options.out, input_names=["picture"], output_names=names,
                      opset_version=11, dynamo=False)

    pictures, _ = measure.held_out(options.held_out, options.what, 16)
    session = onnxruntime.InferenceSession(options.out, providers=["CPUExecutionProvider"])
    apart = 0.0
    for picture in pictures:
        with torch.no_grad():
            expected = network(picture[None])
        expected = [expected] if torch.is_tensor(expected) else expected
        found = session.run(None, {"picture": picture[None].numpy()})
        apart = max(apart, *(float(np.abs(a.numpy() - b).max()) for a, b in zip(expected, found)))
    assert apart < 1e-4, apart
    data = options.out.read_bytes()
    print(json.dumps({"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "greatest difference": apart}))
    if options.fixture:
        # A picture that can be made anywhere, and a few of the outputs.
        picture = torch.arange(side * side).reshape(1, 1, side, side)
        picture = torch.sin(0.01 * (picture % side)) * torch.cos(0.07 * (picture // side).float()) * 2
        with torch.no_grad():
            outputs = network(picture)
        outputs = [outputs] if torch.is_tensor(outputs) else outputs
        rows = [[round(float(v), 6) for v in output.flatten()[:: max(1, output.numel() // 50)]] for output in outputs]
        options.fixture.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
