"""The network: a palm square in, 256 numbers out. Their length is taken away outside of it."""

import torch
from torch import nn

DIMENSIONS = 256


def convolution(inward, outward, kernel=3, stride=1):
    return nn.Sequential(
        nn.Conv2d(inward, outward, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outward),
        nn.PReLU(outward),
    )


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.PReLU(channels)

    def forward(self, x):
        return self.act(x + self.norm(self.second(self.first(x))))


class PalmNet(nn.Module):
    """Stages of stride 2; `widths` and `blocks` from the second stage on. Input (n, 1, 96, 96)."""

    def __init__(self, stem=8, widths=(32, 64, 128), blocks=(1, 2, 1), side=96):
        super().__init__()
        layers = [convolution(1, stem, 5, 2)]
        inward = stem
        for width, count in zip(widths, blocks):
            layers += [convolution(inward, width, 3, 2), *(Residual(width) for _ in range(count))]
            inward = width
        self.features = nn.Sequential(*layers)
        rest = side >> (1 + len(widths))
        self.pool = nn.Conv2d(inward, inward, rest, groups=inward, bias=False)
        self.pool_norm = nn.BatchNorm2d(inward)
        self.linear = nn.Linear(inward, DIMENSIONS, bias=False)
        self.norm = nn.BatchNorm1d(DIMENSIONS, affine=False)

    def forward(self, x):
        return self.norm(self.linear(self.pool_norm(self.pool(self.features(x))).flatten(1)))


class CosFace(nn.Module):
    """Large-margin cosine loss (Wang et al., CVPR 2018): the own class must win by `margin`."""

    def __init__(self, classes, scale=30.0):
        super().__init__()
        self.scale = scale
        self.centres = nn.Parameter(torch.randn(classes, DIMENSIONS))

    def forward(self, embeddings, classes, margin):
        normalize = nn.functional.normalize
        cosines = normalize(embeddings) @ normalize(self.centres).T
        own = torch.zeros_like(cosines).scatter_(1, classes[:, None], margin)
        return nn.functional.cross_entropy(self.scale * (cosines - own), classes)
