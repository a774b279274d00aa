"""How well embeddings tell palms apart: on made-up palms that were not trained on, and on anyone's crops."""

import csv
from pathlib import Path

import cv2
import numpy as np
import torch

import stream
from stream import SIDE, looks_of_crop


@torch.no_grad()
def embed(network, looks, batch=64):
    """Embeddings of what the network is shown: (n, turns, 1, side, side)."""
    network.eval()
    parts = [network(torch.from_numpy(looks[i : i + batch]).flatten(0, 1)) for i in range(0, len(looks), batch)]
    means = torch.cat(parts).unflatten(0, (len(looks), -1)).mean(1)
    return torch.nn.functional.normalize(means).numpy()


def rates(mated, non_mated):
    """Equal error rate, and true match rate at false match rates of 1e-3 and 1e-4."""
    mated, non_mated = np.sort(mated), np.sort(non_mated)
    thresholds = np.concatenate([mated, non_mated[-len(mated) * 50 :]])
    missed = np.searchsorted(mated, thresholds, "left") / len(mated)
    matched = 1 - np.searchsorted(non_mated, thresholds, "left") / len(non_mated)
    at = np.argmin(np.abs(missed - matched))
    reached = {f"tmr_at_{rate:g}": float((mated > np.quantile(non_mated, 1 - rate)).mean()) for rate in (1e-3, 1e-4)}
    return {"eer": float((missed[at] + matched[at]) / 2), **reached}


def pairs(embeddings, palms, sessions=None):
    """Cosines of mated and non-mated pairs; with sessions, only of different ones."""
    cosines = embeddings @ embeddings.T
    same = palms[:, None] == palms[None]
    if sessions is None:
        kept = np.triu(np.ones_like(same), 1)
    else:
        kept = sessions[:, None] < sessions[None]
    return cosines[same & kept], cosines[~same & kept]


def made_up(program, palms=150, crops=3072, seed=900_000_001):
    """Looks at crops of palms with numbers far from those trained on."""
    pictures, numbers = stream.made_up(program, palms, seed, crops)
    return np.stack([looks_of_crop(picture) for picture in pictures]), numbers


def manifest(path):
    """Crops that a manifest lists (the format of `volar-eval`), with palm and session."""
    pictures, palms, sessions = [], [], []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            crop = cv2.imread(str(Path(path).parent / row["path"]), cv2.IMREAD_GRAYSCALE)
            pictures.append(looks_of_crop(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)))
            palms.append(f"{row['subject']}/{row['position']}")
            sessions.append(row["session"])
    number = lambda words: np.unique(words, return_inverse=True)[1]
    return np.stack(pictures), number(palms), number(sessions)
