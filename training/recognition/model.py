"""The palm network: line filters of several scales and orientations, their means over parts of the palm, and the
directions in which palms differ most. palm/src/line_means.rs does the same but for the directions."""

import math

import torch
from torch import nn

from stream import INPUT_SIDE

DIMENSIONS = 256

# Wavelengths of the line filters and the deviations of their round envelopes, in pixels of the picture.
SCALES = ((7.0, 2.6), (12.0, 4.5), (19.0, 6.5))
ORIENTATIONS = 8
MAPS = 2 * ORIENTATIONS * len(SCALES)
# Pixels from one cell to the next, and side of the largest filter.
STEP, KERNEL = 3, 27
# Added to the squared length of a cell's responses: below it a cell shows nothing but noise.
FLOOR = 1.0
# Means are Gaussian, of this deviation in cells, every third cell.
POOL_SIGMA, POOL_SIDE, POOL_STEP = 1.8, 11, 3


def line_filters():
    """Cosines across a line under Gaussian envelopes, without their mean, of length one: dark lines are positive."""
    at = torch.arange(KERNEL) - (KERNEL - 1) / 2
    down, right = torch.meshgrid(at, at, indexing="ij")
    bank = []
    for wavelength, sigma in SCALES:
        envelope = torch.exp(-(down**2 + right**2) / (2 * sigma**2))
        for i in range(ORIENTATIONS):
            angle = math.pi * i / ORIENTATIONS
            wave = torch.cos(2 * math.pi * (right * math.sin(angle) + down * math.cos(angle)) / wavelength)
            line = -envelope * (wave - (wave * envelope).sum() / envelope.sum())
            bank.append(line / line.norm())
    return torch.stack(bank)[:, None]


def gaussian(sigma, side):
    at = torch.arange(side) - (side - 1) / 2
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    weights = torch.outer(weights, weights)
    return (weights / weights.sum())[None, None]


class LineMeans(nn.Module):
    """How strongly dark lines and bright lines of each scale and orientation run through each part of the palm. Each
    cell's responses of a scale are divided by their common length, so that a faint wrinkle says as much about its
    direction as a deep line. Input (n, 1, 120, 120), output (n, 4800)."""

    def __init__(self):
        super().__init__()
        filters = line_filters()
        self.lines = nn.Conv2d(1, len(filters), KERNEL, STEP, bias=False)
        self.lines.weight.data = filters
        self.lengths = nn.Conv2d(len(filters), len(filters), 1)
        groups = torch.kron(torch.eye(len(SCALES)), torch.ones(ORIENTATIONS, ORIENTATIONS))
        self.lengths.weight.data = groups[:, :, None, None].clone()
        self.lengths.bias.data.fill_(FLOOR)
        self.means = nn.Conv2d(MAPS, MAPS, POOL_SIDE, POOL_STEP, POOL_SIDE // 2 - 1, groups=MAPS, bias=False)
        self.means.weight.data = gaussian(POOL_SIGMA, POOL_SIDE).repeat(MAPS, 1, 1, 1)
        self.requires_grad_(False)

    def forward(self, x):
        lines = self.lines(x)
        lines = lines / self.lengths(lines * lines).sqrt()
        return self.means(torch.cat([lines.relu(), (-lines).relu()], 1)).flatten(1)


class PalmNet(nn.Module):
    """Embeddings, not yet of length one."""

    def __init__(self):
        super().__init__()
        self.line_means = LineMeans()
        count = self.line_means(torch.zeros(1, 1, INPUT_SIDE, INPUT_SIDE)).shape[1]
        self.directions = nn.Linear(count, DIMENSIONS)

    def forward(self, x):
        return self.directions(self.line_means(x))
