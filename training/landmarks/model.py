"""Two small networks: one finds hands in a frame, the other places a palm's landmarks."""

import torch
from torch import nn
from torch.nn import functional as F


def layer(inputs, outputs, stride=1):
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.one = layer(channels, channels)

    def forward(self, x):
        return x + self.one(x)


class Trunk(nn.Module):
    """Down to a sixteenth and up again to a quarter of the picture's side."""

    def __init__(self, widths=(16, 32, 48, 64)):
        super().__init__()
        a, b, c, d = widths
        self.stem = layer(1, a, 2)
        self.quarter = nn.Sequential(layer(a, b, 2), Residual(b))
        self.eighth = nn.Sequential(layer(b, c, 2), Residual(c))
        self.deep = nn.Sequential(layer(c, d, 2), Residual(d), Residual(d))
        self.to_eighth, self.to_quarter = nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1)
        self.eighth_again, self.quarter_again = layer(c, c), layer(b, b)

    def forward(self, x):
        quarter = self.quarter(self.stem(x))
        eighth = self.eighth(quarter)
        deep = self.deep(eighth)
        eighth = self.eighth_again(eighth + F.interpolate(self.to_eighth(deep), scale_factor=2, mode="nearest"))
        quarter = self.quarter_again(quarter + F.interpolate(self.to_quarter(eighth), scale_factor=2, mode="nearest"))
        return quarter, deep


class Finder(nn.Module):
    """Logit of a palm's middle, direction of the fingers and logarithm of the palm square's side in cells."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Conv2d(32, 4, 1)
        nn.init.constant_(self.head.bias[:1], -3.0)

    def forward(self, x):
        return self.head(self.trunk(x)[0])


class Landmarks(nn.Module):
    """A heat map a point, and two numbers: the logit of a palm, the logarithm of the worst point's error in sides."""

    def __init__(self, points):
        super().__init__()
        self.trunk = Trunk()
        self.heat = nn.Conv2d(32, points, 1)
        self.verdict = nn.Conv2d(64, 2, 1)

    def forward(self, x):
        quarter, deep = self.trunk(x)
        return self.heat(quarter), self.verdict(F.adaptive_avg_pool2d(deep, 1)).flatten(1)


CELL = 4.0


def grid(side):
    """A cell's centre in pixels: cell 0 covers pixels 0 to 3."""
    return torch.arange(side) * CELL + (CELL - 1) / 2


def expectation(heat):
    """Mean place of each heat map's softmax in pixels, and its standard deviation."""
    batch, points, rows, columns = heat.shape
    shares = heat.flatten(2).softmax(2).view_as(heat)
    across, down = shares.sum(2), shares.sum(3)
    xs, ys = grid(columns).to(heat), grid(rows).to(heat)
    x, y = (across * xs).sum(2), (down * ys).sum(2)
    spread = (across * (xs - x[..., None]) ** 2).sum(2) + (down * (ys - y[..., None]) ** 2).sum(2)
    return torch.stack([x, y], 2), spread.sqrt()


def finder_loss(out, hands):
    """`hands`: for each picture rows of x, y, direction, side (in pixels)."""
    side = out.shape[2]
    centres = grid(side)
    target, truth = torch.zeros(len(out), side, side), torch.zeros(len(out), 3, side, side)
    for picture, rows in enumerate(hands):
        for x, y, right, down, length, _ in rows.tolist():
            sigma = max(0.12 * length, 3.0)
            bell = torch.exp(-((centres[None] - x) ** 2 + (centres[:, None] - y) ** 2) / (2 * sigma**2))
            nearer = bell > target[picture]
            values = torch.tensor([right, down, float(torch.log(torch.tensor(length / CELL)))])
            truth[picture][:, nearer] = values[:, None]
            target[picture] = torch.maximum(target[picture], bell)
    logit = out[:, 0]
    # Penalty-reduced focal loss with soft targets.
    chance = torch.sigmoid(logit)
    weight = (chance - target).abs() ** 1.5 * (1 + 4 * target)
    heat = (weight * F.binary_cross_entropy_with_logits(logit, target, reduction="none")).sum((1, 2)).mean()
    near = (target * (target > 0.3))[:, None]
    error = F.smooth_l1_loss(out[:, 1:], truth, reduction="none", beta=0.1)
    return heat, (near * error).sum() / near.sum().clamp(min=1)


def landmark_loss(heat, verdict, points, good, side):
    columns = heat.shape[3]
    place, _ = expectation(heat)
    inside = ((points > 1) & (points < columns * CELL - 2)).all(2) & (good[:, None] > 0.5)
    cells = grid(columns)
    sigma = 4.0
    bell = lambda at: torch.exp(-((cells - at[..., None]) ** 2) / (2 * sigma**2)) + 1e-6
    target = bell(points[..., 1])[..., :, None] * bell(points[..., 0])[..., None, :]
    target = (target / target.sum((2, 3), keepdim=True)).flatten(2)
    cross = -(target * heat.flatten(2).log_softmax(2)).sum(2)
    error = (place - points).norm(dim=2)
    weight = inside.float()
    count = weight.sum().clamp(min=1)
    place_loss = (weight * F.smooth_l1_loss(place, points, reduction="none", beta=1.0).sum(2)).sum() / count
    heat_loss = (weight * cross).sum() / count
    palm = F.binary_cross_entropy_with_logits(verdict[:, 0], good)
    whole = inside.all(1)
    worst = torch.log(error.detach().max(1).values / side + 1e-3)
    own = (whole * F.smooth_l1_loss(verdict[:, 1], worst, reduction="none")).sum() / whole.sum().clamp(min=1)
    return {"place": place_loss, "heat": heat_loss, "palm": palm, "own": own}
