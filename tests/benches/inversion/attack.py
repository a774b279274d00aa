"""Tries to get plain templates out of protected ones, in the ways that somebody would who has stolen a gallery.

Files of `main.rs`: of each palm 256 floats and 1,024 orientations. A row of the result says what the attacker has, and how
near they come: the mean cosine between a palm's embedding and what they take for it (a stranger's comes to 0), and the
share of orientation cells that are put in their place and turned rightly (by chance: 1 in 6,144)."""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment, quadratic_assignment

DIMENSIONS, CELLS, ORIENTATIONS = 256, 1024, 6


def read(path):
    record = np.dtype([("embedding", "<f4", DIMENSIONS), ("cells", "u1", CELLS)])
    rows = np.fromfile(path, record)
    return rows["embedding"].astype(np.float64), rows["cells"]


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def cosines(guesses, truth):
    return float((unit(guesses) * unit(truth)).sum(1).mean())


def from_pairs(plain, protected, others):
    """Inner products survive protection, so a palm's with the known ones are known; the shortest vector that has them."""
    gram = plain @ plain.T + 1e-6 * np.eye(len(plain))
    return (others @ protected.T) @ np.linalg.solve(gram, plain)


def axes_by_spread(plain, protected):
    """Matches the axes along which both sets spread most, and turns each the way in which it is skewed."""
    def axes(rows):
        centred = rows - rows.mean(0)
        _, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        vectors = vectors[:, ::-1]
        along = centred @ vectors
        skew = (along**3).mean(0) / (along**2).mean(0) ** 1.5
        # Where the mean lies says more than skewness where it lies off the axes' middle.
        middle = rows.mean(0) @ vectors
        sign = np.where(np.abs(middle) > 0.5 * along.std(0), np.sign(middle), np.sign(skew))
        return vectors * np.where(sign == 0, 1, sign)
    return axes(protected) @ axes(plain).T


def one_hot(cells):
    return (cells[:, :, None] == np.arange(ORIENTATIONS)).astype(np.float32)


def turned_match(plain, protected):
    """For each protected and each plain cell, how well the one is the other turned: share of palms, and the turn."""
    best, turn = np.full((CELLS, CELLS), -1.0, np.float32), np.zeros((CELLS, CELLS), np.uint8)
    theirs = one_hot(protected)
    for by in range(ORIENTATIONS):
        ours = one_hot((plain + by) % ORIENTATIONS)
        same = np.tensordot(theirs, ours, ([0, 2], [0, 2])) / len(plain)
        better = same > best
        best[better], turn[better] = same[better], by
    return best, turn


def share_placed(places, turns, truth):
    """Share of protected cells whose place and turn are right."""
    right_place, right_turn = truth
    return float(((places == right_place) & (turns == right_turn)).mean())


def cells_from_pairs(plain, protected):
    best, turn = turned_match(plain, protected)
    rows, columns = linear_sum_assignment(-best)
    return columns, turn[rows, columns]


def histograms(cells):
    return one_hot(cells).mean(0)


def cells_by_frequency(plain, protected):
    """Each place of a palm has orientations that are frequent there; protected cells show them turned."""
    ours, theirs = histograms(plain), histograms(protected)
    turned = np.stack([np.roll(ours, by, 1) for by in range(ORIENTATIONS)])
    distance = ((theirs[None, :, None] - turned[:, None]) ** 2).sum(3)
    turn = distance.argmin(0)
    rows, columns = linear_sum_assignment(distance.min(0))
    return columns, turn[rows, columns]


def dependence(cells):
    """How much each cell says about each other one: turning cells does not change it."""
    hot = one_hot(cells).reshape(len(cells), -1)
    joint = (hot.T @ hot / len(cells)).reshape(CELLS, ORIENTATIONS, CELLS, ORIENTATIONS)
    single = hot.mean(0).reshape(CELLS, ORIENTATIONS)
    expected = single[:, :, None, None] * single[None, None]
    return ((joint - expected) ** 2 / (expected + 1e-3)).sum((1, 3))


def cells_by_neighbours(plain, protected):
    """Cells that lie beside each other depend on each other: the dependences are laid over each other."""
    ours, theirs = dependence(plain), dependence(protected)
    np.fill_diagonal(ours, 0)
    np.fill_diagonal(theirs, 0)
    places, _ = cells_by_frequency(plain, protected)
    start = np.zeros((CELLS, CELLS))
    start[np.arange(CELLS), places] = 1
    options = {"maximize": True, "P0": (start + np.ones((CELLS, CELLS)) / CELLS) / 2, "maxiter": 60}
    columns = quadratic_assignment(theirs, ours, method="faq", options=options).col_ind
    ours_h, theirs_h = histograms(plain), histograms(protected)
    turned = np.stack([np.roll(ours_h[columns], by, 1) for by in range(ORIENTATIONS)])
    return columns, ((theirs_h[None] - turned) ** 2).sum(2).argmin(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    plain, cells = read(options.folder / "victims.plain")
    protected, protected_cells = read(options.folder / "victims.protected")
    renewed, renewed_cells = read(options.folder / "victims.renewed")
    known, known_cells = read(options.folder / "known.plain")
    truth = cells_from_pairs(cells[:64], protected_cells[:64])
    assert ((cells[:, truth[0]] + truth[1]) % ORIENTATIONS == protected_cells).all(), "the key's own permutation"
    rows = []

    def add(has, count, guesses, placed):
        row = {"attacker_has": has, "count": count}
        row["embedding_cosine"] = None if guesses is None else cosines(guesses, plain[-len(guesses):])
        row["cells_placed"] = None if placed is None else share_placed(*placed, truth)
        rows.append(row)
        print(row, flush=True)

    everybody = len(plain)
    others = protected[everybody // 2 :]
    add("protected references alone, taken for plain", everybody, others,
        (np.arange(CELLS), np.zeros(CELLS, np.uint8)))
    for count in (everybody // 8, everybody):
        add("protected references, and as many palms of strangers: what is frequent", count,
            others @ axes_by_spread(known[:count], protected[:count]),
            cells_by_frequency(known_cells[:count], protected_cells[:count]))
    add("the same: which cells depend on each other", everybody, None,
        cells_by_neighbours(known_cells, protected_cells))
    for count in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        placed = cells_from_pairs(cells[:count], protected_cells[:count]) if count <= 32 else None
        add("palms of the gallery, plain and protected", count,
            from_pairs(plain[:count], protected[:count], others), placed)
    # The whole transform is known, and the gallery is protected anew.
    transform = np.linalg.lstsq(protected[:1024], plain[:1024], rcond=None)[0]
    again = renewed[everybody // 2 :] @ transform
    add("the old key, the gallery before", everybody, others @ transform, truth)
    rows.append({"attacker_has": "the old key, the gallery protected anew", "count": everybody,
                 "embedding_cosine": cosines(again, plain[everybody // 2 :]),
                 "cells_placed": share_placed(*truth, cells_from_pairs(cells[:64], renewed_cells[:64]))})
    print(rows[-1], flush=True)
    options.json.write_text(json.dumps({"palms": everybody, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
