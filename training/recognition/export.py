"""Writes a fitted network's directions as ONNX, checks them against PyTorch, and keeps a few of the whole network's
embeddings for the check in Rust, which works out line means by itself (palm/src/line_means.rs)."""

import argparse
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

from measure import embed
from model import PalmNet
from stream import REACH, SIDE, SYNTH, looks

DIFFERENCE_MAX = 1e-4


def made_up_regions(synth):
    """Two people's palms as regions of interest, which Rust makes too; as the capture pipeline hands them over."""
    with tempfile.TemporaryDirectory() as folder:
        made = [synth, "set", "--kind", "crops", "--people", 2, "--samples", 1, "--seed", 1, "--out", folder]
        subprocess.run([str(word) for word in made], check=True)
        files = sorted(Path(folder).glob("*.png"))
        regions = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
    side = SIDE + 2 * REACH
    small = [cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA) for region in regions]
    return [file.stem for file in files], np.stack([looks(region) for region in small])


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
    shown = torch.zeros(1, network.directions.in_features)
    torch.onnx.export(
        network.directions, shown, options.out, opset_version=11, dynamo=False,
        input_names=["line_means"], output_names=["embedding"],
    )
    onnx.checker.check_model(onnx.load(options.out))

    names, shown = made_up_regions(options.synth)
    expected = embed(network, shown)
    session = onnxruntime.InferenceSession(options.out)
    with torch.inference_mode():
        line_means = [network.line_means(torch.from_numpy(looks)).mean(0, keepdim=True).numpy() for looks in shown]
    found = np.concatenate([session.run(None, {"line_means": means})[0] for means in line_means])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    difference = float(np.abs(found - expected).max())
    print(f"greatest difference of ONNX Runtime from PyTorch: {difference:.1e}")
    assert difference < DIFFERENCE_MAX, "the exported network is not the trained one"
    kept = {
        "network": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "crops_seen": state["seen"],
        "embeddings": {name: [round(float(x), 7) for x in row] for name, row in zip(names, expected)},
    }
    options.out.with_suffix(".json").write_text(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
