"""How well both networks do on made-up views that they were not trained on."""

import numpy as np
import torch

from hands import LANDMARK_SIDE, LOOKS, POINTS, Pool, Views
from model import CELL, expectation
from stream import one


def held_out(pool, what, count, seed=4711):
    views, dice = Views(Pool(pool), seed), np.random.default_rng(seed)
    rows = [one(views, what, dice) for _ in range(count)]
    return torch.from_numpy(np.stack([r[0] for r in rows]))[:, None], torch.from_numpy(np.stack([r[1] for r in rows]))


@torch.no_grad()
def outputs(network, pictures):
    network.eval()
    parts = [network(pictures[i : i + 64]) for i in range(0, len(pictures), 64)]
    return torch.cat(parts) if torch.is_tensor(parts[0]) else [torch.cat(column) for column in zip(*parts)]


def measured(network, what, pictures, labels):
    """A network's figures by their names."""
    if what == "finder":
        return finder(network, pictures, labels)
    return landmarks(network, LANDMARK_SIDE / LOOKS[what][0], pictures, labels)


def finder(network, pictures, hands, threshold=0.4):
    """Share of hands found in place, direction and size; share of frames with a hand too many."""
    out = outputs(network, pictures)
    chance = torch.sigmoid(out[:, 0])
    peak = torch.nn.functional.max_pool2d(chance[:, None], 5, 1, 2)[:, 0]
    found, hits, surplus, peaks = 0, 0, 0, []
    for frame in range(len(out)):
        rows = hands[frame][hands[frame, :, 5] > 0]
        cells = torch.nonzero((chance[frame] == peak[frame]) & (chance[frame] > threshold))
        used = 0
        for row in rows:
            found += 1
            good = False
            for y, x in cells.tolist():
                at = torch.tensor([x, y]) * CELL + (CELL - 1) / 2
                way, side = out[frame, 1:3, y, x], CELL * out[frame, 3, y, x].exp()
                right = torch.dot(way, row[2:4]) / way.norm().clamp(min=1e-3)
                near = (at - row[:2]).norm() < 0.35 * row[4] + 2
                good |= bool(near and right > 0.9 and 0.72 < side / row[4] < 1.4)
            hits += good
            used += good
        surplus += len(cells) > len(rows)
    return {"found": hits / max(found, 1), "surplus": surplus / len(out)}


def landmarks(network, side, pictures, labels):
    """Errors in shares of the palm's breadth (the square is about 0.74 of it), and how often the verdict is right."""
    heat, verdict = outputs(network, pictures)
    points, good = labels[:, :-1].reshape(-1, POINTS, 2), labels[:, -1] > 0.5
    place, _ = expectation(heat)
    inside = ((points > 1) & (points < LANDMARK_SIDE - 2)).all(2)
    error = (place - points).norm(dim=2) / side * 0.74
    worst = error[:, :3].max(1).values
    whole = good & inside.all(1)
    seen = torch.sigmoid(verdict[:, 0]) > 0.5
    return {
        "valley median": float(error[whole][:, :3].median()),
        "corner median": float(error[whole][:, 3:7].median()),
        "under 5 %": float((worst[whole] < 0.05).float().mean()),
        "palm accepted": float(seen[whole].float().mean()),
        "other accepted": float(seen[~good].float().mean()),
    }
