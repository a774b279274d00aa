"""Fits the palm network's directions to made-up palms. One command, resumable: see README.md."""

import argparse
import csv
import json
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

# What both trainings share lies one folder up.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import measure
from discriminant import Scatter
from logbook import append
from model import DIMENSIONS, PalmNet
from stream import SYNTH, Stream, ways


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, log and curves")
    parser.add_argument("--synth", type=Path, default=SYNTH, help="the volar-synth program")
    parser.add_argument("--palms", type=int, default=20_000, help="made-up palms to learn from")
    parser.add_argument("--images", type=int, default=3_000_000, help="crops to see, each once")
    parser.add_argument("--ridge", type=float, default=2e-2, help="see discriminant.py")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--stream-threads", type=int, default=2, help="that make crops")
    parser.add_argument("--check", type=int, default=250_000, help="crops from one check to the next")
    parser.add_argument("--manifest", type=Path, action="append", default=[], help="crops to measure on at each check")
    return parser.parse_args()


def curves(log, path):
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    seen = [float(row["seen"]) / 1e6 for row in rows]
    for name in [name for name in rows[-1] if name.endswith("eer")]:
        axes.plot(seen, [100 * float(row[name]) for row in rows], marker=".", label=name.removesuffix(" eer"))
    axes.set(xlabel="million crops seen", ylabel="equal error rate, %", title="Palms not learnt from", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def check(network, sets):
    row = {}
    for name, (pictures, palms, sessions) in sets.items():
        rates = measure.rates(*measure.pairs(measure.embed(network, pictures), palms, sessions))
        row |= {f"{name} {rate}": value for rate, value in rates.items()}
    return row


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    network = PalmNet().eval()
    scatter = Scatter(options.palms, network.directions.in_features)
    kept, log, seen = options.out / "checkpoint.pt", options.out / "log.csv", 0
    if kept.exists():
        state = torch.load(kept)
        scatter.__dict__.update(state["scatter"])
        seen = state["seen"]
        print(f"going on at {seen:,} crops")

    sets = {"made-up": (*measure.made_up(options.synth), None)}
    sets |= {path.stem: measure.manifest(path) for path in options.manifest}
    groups = torch.tensor([ways(palm) for palm in range(options.palms)])
    stream = Stream(options.synth, options.palms, options.seed, seen, options.batch, options.stream_threads)
    since, started = 0, time.time()
    while seen < options.images:
        pictures, palms = next(stream)
        with torch.inference_mode():
            # In parts whose layers fit in a core's cache: twice as fast.
            parts = [network.line_means(part) for part in torch.from_numpy(pictures).split(64)]
            scatter.add(torch.cat(parts), torch.from_numpy(palms))
        seen += len(palms)
        since += len(palms)
        if since >= options.check or seen >= options.images:
            directions, mean = scatter.directions(DIMENSIONS, groups, options.ridge)
            network.directions.weight.data = directions.T.float().contiguous()
            network.directions.bias.data = -(mean @ directions).float()
            row = {"seen": seen, "crops_per_second": since / (time.time() - started)} | check(network, sets)
            append(log, row)
            curves(log, options.out / "curves.png")
            state = {"network": network.state_dict(), "scatter": scatter.__dict__, "seen": seen}
            torch.save(state, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)
            print(json.dumps({name: round(value, 5) for name, value in row.items()}), flush=True)
            since, started = 0, time.time()
    stream.close()


if __name__ == "__main__":
    main()
