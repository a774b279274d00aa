"""Linear discriminant analysis (Fisher 1936) of features that come as a stream."""

import torch


class Scatter:
    """What must be remembered of features to tell palms apart: each palm's sum, and all products."""

    def __init__(self, palms, features):
        self.sums = torch.zeros(palms, features)
        self.counts = torch.zeros(palms)
        self.products = torch.zeros(features, features, dtype=torch.float64)

    def add(self, features, palms):
        self.sums.index_add_(0, palms, features)
        self.counts.index_add_(0, palms, torch.ones(len(palms)))
        self.products += features.T @ features

    def directions(self, dimensions, groups, ridge):
        """Directions in which palms differ most, measured in how much captures of one palm differ: (features,
        dimensions), and the mean. `groups` numbers palms that differ for a reason that is no body's, such as which way
        they lie: what sets groups apart does not count. `ridge` is added to each direction's variance within palms,
        as a share of the mean one: a direction that hardly varies in made-up palms may vary in real ones."""
        there = self.counts > 1
        counts, sums, groups = self.counts[there].double(), self.sums[there].double(), groups[there]
        means = sums / counts[:, None]
        mean = sums.sum(0) / counts.sum()
        within = self.products - sums.T @ means
        # Palms seen once say nothing about how captures differ, and are in the products alone.
        alone = self.sums[self.counts == 1].double()
        within = (within - alone.T @ alone) / (counts.sum() - len(counts))
        away = means.clone()
        for group in groups.unique():
            away[groups == group] -= means[groups == group].mean(0)
        between = (away * counts[:, None]).T @ away / (len(counts) - 1)
        between = (between - within) / counts.mean()
        within = within + ridge * within.trace() / len(within) * torch.eye(len(within), dtype=torch.float64)
        variances, axes = torch.linalg.eigh(within)
        white = axes * variances.rsqrt()
        _, turned = torch.linalg.eigh(white.T @ between @ white)
        return white @ turned.flip(1)[:, :dimensions], mean
