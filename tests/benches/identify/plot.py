"""Draws recall against the time of a search, a panel for each size of gallery."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import ticker


def main():
    rows = [row for row in json.loads(Path(sys.argv[1]).read_text())["rows"] if row.get("p50_ms") is not None]
    sizes = sorted({row["palms"] for row in rows})
    names = list(dict.fromkeys(row["engine"] for row in rows))
    figure, panels = plt.subplots(1, len(sizes), figsize=(4.2 * len(sizes), 3.8), squeeze=False, layout="constrained")
    times = [row["p50_ms"] for row in rows]
    colours = dict(zip(names, plt.get_cmap("tab10").colors))
    for panel, size in zip(panels[0], sizes):
        for row in (row for row in rows if row["palms"] == size):
            lost = max(1 - row["recall_at_1"], 1e-4)
            ours = row["engine"] == "volar"
            panel.scatter(row["p50_ms"], lost, s=90 if ours else 45, marker="*" if ours else "o",
                          color=colours[row["engine"]], zorder=3 if ours else 2)
        panel.set(xscale="log", yscale="log", ylim=(6e-5, 1.2), xlabel="milliseconds, one core (p50)",
                  title=f"{size:,} palms")
        panel.set_xlim(min(times) / 1.6, max(times) * 1.6)
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("mates not found first\n(1e-4: none of those looked for)")
    handles = [plt.Line2D([], [], linestyle="", marker="*" if name == "volar" else "o", color=colours[name]) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    figure.savefig(sys.argv[2])


if __name__ == "__main__":
    main()
