"""Batches of views: other processes make them, and each is seen a few times, turned and mirrored anew."""

import multiprocessing
import signal

import numpy as np
import torch

from hands import FINDER_SIDE, LANDMARK_SIDE, Pool, Views

HANDS_MAX = 2


def one(views, what, dice):
    """A view as arrays of fixed size: picture, labels."""
    if what == "finder":
        picture, hands = views.frame(dice)
        rows = np.zeros((HANDS_MAX, 6), np.float32)
        rows[: len(hands)] = hands
        return picture, rows
    picture, points, good = views.palm(dice, what)
    return picture, np.r_[points.ravel(), good].astype(np.float32)


def make(pool, what, seed, number, block, queue):
    # Ends at once when told to, whatever the process that started it does then.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    views = Views(Pool(pool), seed)
    dice = np.random.default_rng([seed, number])
    while True:
        rows = [one(views, what, dice) for _ in range(block)]
        queue.put((np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])))


def turned(pictures, labels, what, dice):
    """Half of all views mirrored; frames also turned by quarters."""
    if what == "finder":
        side, labels = FINDER_SIDE, labels.clone()
        x, y, right, down = (labels[..., i].clone() for i in range(4))
        if dice.random() < 0.5:
            pictures, x, right = pictures.flip(3), side - 1 - x, -right
        for _ in range(dice.integers(4)):
            # A quarter turn against the clock: x becomes what y was, y what is left of x.
            pictures = torch.rot90(pictures, 1, (2, 3))
            x, y, right, down = y, side - 1 - x, down, -right
        labels[..., 0], labels[..., 1], labels[..., 2], labels[..., 3] = x, y, right, down
        return pictures, labels
    if dice.random() < 0.5:
        labels = labels.clone()
        pictures = pictures.flip(3)
        labels[:, 0:-1:2] = LANDMARK_SIDE - 1 - labels[:, 0:-1:2]
    return pictures, labels


class Stream:
    def __init__(self, pool, what, seed, batch, workers, kept=4096, block=32):
        context = multiprocessing.get_context("fork")
        self.queue = context.Queue(maxsize=8)
        self.what, self.batch, self.kept = what, batch, kept
        self.dice = np.random.default_rng(seed)
        self.workers = [
            context.Process(target=make, args=(pool, what, seed, number, block, self.queue), daemon=True)
            for number in range(workers)
        ]
        for worker in self.workers:
            worker.start()
        self.pictures, self.labels, self.made = None, None, 0
        while self.made < 16 * batch:
            self.take()

    def take(self):
        pictures, labels = self.queue.get()
        if self.pictures is None:
            self.pictures = np.zeros((self.kept, *pictures.shape[1:]), np.float32)
            self.labels = np.zeros((self.kept, *labels.shape[1:]), np.float32)
        at = np.arange(self.made, self.made + len(pictures)) % self.kept
        self.pictures[at], self.labels[at] = pictures, labels
        self.made += len(pictures)

    def __next__(self):
        while not self.queue.empty():
            self.take()
        at = self.dice.integers(min(self.made, self.kept), size=self.batch)
        pictures = torch.from_numpy(self.pictures[at])[:, None]
        return turned(pictures, torch.from_numpy(self.labels[at]), self.what, self.dice)

    def close(self):
        for worker in self.workers:
            worker.terminate()
