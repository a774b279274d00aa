"""Trains the palm network on made-up palms. One command, resumable: see README.md."""

import argparse
import csv
import json
import math
import shutil
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

# What both trainings share lies one folder up.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import measure
from logbook import append
from model import CosFace, PalmNet
from stream import SYNTH, Stream


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, log and curves")
    parser.add_argument("--synth", type=Path, default=SYNTH, help="the volar-synth program")
    parser.add_argument("--palms", type=int, default=10_000, help="made-up palms to train on")
    parser.add_argument("--images", type=int, default=3_000_000, help="crops to see, each once")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1, help="greatest learning rate")
    parser.add_argument("--fall", type=float, default=0.3, help="share of the crops over which the rate falls")
    parser.add_argument("--ramp", type=int, default=200_000, help="crops over which the margin grows")
    parser.add_argument("--margin", type=float, default=0.35)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--check", type=int, default=50_000, help="crops from one check to the next")
    parser.add_argument("--manifest", type=Path, action="append", default=[], help="crops to measure on at each check")
    return parser.parse_args()


def schedule(seen, options):
    """Learning rate and margin. The rate warms up, stays, and falls over the last part; the margin grows at first."""
    warm = min(1.0, seen / 20_000)
    falling = max(0.0, seen / options.images - 1 + options.fall) / options.fall
    ramp = min(1.0, seen / options.ramp)
    return options.rate * warm * (0.5 + 0.5 * math.cos(math.pi * falling)), options.margin * ramp


def curves(log, path):
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    seen = [float(row["seen"]) / 1e6 for row in rows]
    left.plot(seen, [float(row["loss"]) for row in rows], color="#1f5a8a")
    left.set(xlabel="million crops seen", ylabel="loss", title="Training loss (grows while the margin does)")
    for name in [name for name in rows[-1] if name.endswith("eer")]:
        right.plot(seen, [100 * float(row[name]) for row in rows], label=name.removesuffix(" eer"))
    right.set(xlabel="million crops seen", ylabel="equal error rate, %", yscale="log", title="Palms not trained on")
    right.grid(alpha=0.3)
    right.legend(frameon=False)
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
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    network = PalmNet().to(device, memory_format=torch.channels_last)
    head = CosFace(options.palms).to(device)
    weights = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(weights, options.rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    kept, log, seen = options.out / "checkpoint.pt", options.out / "log.csv", 0
    if kept.exists():
        state = torch.load(kept, map_location=device)
        for part, name in ((network, "network"), (head, "head"), (optimizer, "optimizer")):
            part.load_state_dict(state[name])
        seen = state["seen"]
        print(f"going on at {seen:,} crops")

    sets = {"made-up": (*measure.made_up(options.synth), None)}
    sets |= {path.stem: measure.manifest(path) for path in options.manifest}
    stream = Stream(options.synth, options.palms, options.seed, seen, options.batch)
    losses, since, started = [], 0, time.time()
    while seen < options.images:
        pictures, palms = next(stream)
        network.train()
        rate, margin = schedule(seen, options)
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures = torch.from_numpy(pictures).to(device, memory_format=torch.channels_last)
        loss = head(network(pictures), torch.from_numpy(palms).to(device), margin)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seen += len(palms)
        since += len(palms)
        if since >= options.check or seen >= options.images:
            row = {"seen": seen, "loss": float(np.mean(losses)), "rate": rate, "margin": margin}
            row |= {"crops_per_second": since / (time.time() - started)} | check(network.cpu(), sets)
            network.to(device)
            append(log, row)
            curves(log, options.out / "curves.png")
            state = {"network": network.state_dict(), "head": head.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"seen": seen}, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)
            if seen < options.images * (1 - options.fall):
                # From here a longer training can go on: copy it to the other folder's checkpoint.pt.
                shutil.copy(kept, options.out / "before-fall.pt")
            print(json.dumps({name: round(value, 5) for name, value in row.items()}), flush=True)
            losses, since, started = [], 0, time.time()
    stream.close()


if __name__ == "__main__":
    main()
