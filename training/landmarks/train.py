"""Trains the hand finder or a landmark network on made-up hands. One command, resumable: see README.md."""

import argparse
import csv
import json
import math
import signal
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
from hands import LANDMARK_SIDE, LOOKS, POINTS, render
from kept import load
from logbook import append
from model import Finder, Landmarks, finder_loss, landmark_loss
from stream import Stream


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["finder", *LOOKS])
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, log and curves")
    parser.add_argument("--synth", type=Path, default="../../target/release/volar-synth", help="the volar-synth program")
    parser.add_argument("--pool", type=Path, default="runs/train.bin", help="rendered hands; made if missing")
    parser.add_argument("--held-out", type=Path, default="runs/held-out.bin", help="others, to measure on")
    parser.add_argument("--hands", type=int, default=6_400, help="rendered hands to train on, eight of one palm")
    parser.add_argument("--begin-with", type=Path, help="a kept ONNX model to go on from")
    parser.add_argument("--pictures", type=int, default=400_000, help="views to see")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3, help="greatest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--workers", type=int, default=1, help="processes that make views")
    parser.add_argument("--check", type=int, default=20_000, help="views from one check to the next")
    return parser.parse_args()


def rate_at(seen, options):
    warm = min(1.0, seen / (0.03 * options.pictures))
    return options.rate * warm * (0.5 + 0.5 * math.cos(math.pi * seen / options.pictures)) + 1e-6


def curves(log, path):
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [name for name in rows[0] if name not in ("seen", "loss", "rate", "per second")]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    seen = [float(row["seen"]) / 1e3 for row in rows]
    axes[0].plot(seen, [float(row["loss"]) for row in rows], color="#1f5a8a")
    axes[0].set(xlabel="thousand views seen", ylabel="loss", yscale="log", title="Training loss")
    for name in measured:
        axes[1].plot(seen, [float(row[name]) for row in rows], label=name)
    axes[1].set(xlabel="thousand views seen", title="Hands not trained on")
    axes[1].grid(alpha=0.3)
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def loss_of(network, what, pictures, labels):
    if what == "finder":
        heat, rest = finder_loss(network(pictures), [rows[rows[:, 5] > 0] for rows in labels])
        return heat + 2.0 * rest
    points, good, side = labels[:, :-1].reshape(-1, POINTS, 2), labels[:, -1], LANDMARK_SIDE / LOOKS[what][0]
    parts = landmark_loss(*network(pictures), points, good, side)
    return 0.3 * parts["place"] + parts["heat"] + parts["palm"] + 0.2 * parts["own"]


def main():
    options = arguments()
    # So that the processes that make views end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    render(options.synth, options.pool, options.hands, options.seed, options.workers)
    render(options.synth, options.held_out, 400, 900_001, options.workers)
    network = Finder() if options.what == "finder" else Landmarks(POINTS)
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), options.rate, weight_decay=1e-2)
    kept, log, seen = options.out / "checkpoint.pt", options.out / "log.csv", 0
    if kept.exists():
        state = torch.load(kept)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]
        print(f"going on at {seen:,} views")

    stream = Stream(options.pool, options.what, options.seed + seen, options.batch, options.workers)
    held_out = measure.held_out(options.held_out, options.what, 768)
    if options.begin_with and seen == 0:
        load(network, options.begin_with, next(stream)[0])
        print(json.dumps(measure.measured(network, options.what, *held_out)))
    losses, since, started = [], 0, time.time()
    while seen < options.pictures:
        pictures, labels = next(stream)
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = rate_at(seen, options)
        loss = loss_of(network, options.what, pictures.to(memory_format=torch.channels_last), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
        seen += len(labels)
        since += len(labels)
        if since >= options.check or seen >= options.pictures:
            row = {"seen": seen, "loss": float(np.mean(losses)), "rate": rate_at(seen, options)}
            row["per second"] = since / (time.time() - started)
            row |= measure.measured(network, options.what, *held_out)
            append(log, row)
            curves(log, options.out / "curves.png")
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen}
            torch.save(state, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)
            row["made"] = stream.made
            print(json.dumps({name: round(value, 4) for name, value in row.items()}), flush=True)
            losses, since, started = [], 0, time.time()
    stream.close()


if __name__ == "__main__":
    main()
