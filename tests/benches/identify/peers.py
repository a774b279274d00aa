"""Asks other libraries what `main.rs` asked Volar's index, on the same embeddings, and writes one table of all.

Every engine answers one probe after the other on one core (p50, p99), then all of them on all cores. Recall counts probes
whose mate is a cosine of 0.5 or more away and comes first, as it does in an exact search."""

import argparse
import json
import os
import time
from pathlib import Path

import faiss
import hnswlib
import numpy as np
from usearch.index import Index as USearch

CORES = os.cpu_count()
ONE_BY_ONE = 1000


def resident():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])


class Faiss:
    def __init__(self, references, description, factor=None):
        faiss.omp_set_num_threads(CORES)
        self.index = faiss.index_factory(references.shape[1], description, faiss.METRIC_INNER_PRODUCT)
        if factor:
            self.index.k_factor = factor
        self.index.train(references[:: max(1, len(references) // 100_000)])
        self.index.add(references)

    def search(self, probes, threads):
        faiss.omp_set_num_threads(threads)
        return self.index.search(probes, 1)[1][:, 0]


class Hnsw:
    def __init__(self, references, links, effort):
        self.index = hnswlib.Index("ip", references.shape[1])
        self.index.init_index(len(references), M=links, ef_construction=200)
        self.index.add_items(references, num_threads=CORES)
        self.index.set_ef(effort)

    def search(self, probes, threads):
        return self.index.knn_query(probes, 1, num_threads=threads)[0][:, 0]


class USearchBytes:
    def __init__(self, references, effort):
        self.index = USearch(ndim=references.shape[1], metric="ip", dtype="i8", expansion_search=effort)
        self.index.add(np.arange(len(references)), references, threads=CORES)

    def search(self, probes, threads):
        return self.index.search(probes, 1, threads=threads).keys.reshape(len(probes))


ENGINES = {
    # The figures of FAISS and HNSW in one name are what one would tune.
    "faiss-cpu PQ64x4fs,Refine(SQ8), k_factor 100": lambda rows: Faiss(rows, "PQ64x4fs,Refine(SQ8)", 100),
    "faiss-cpu PQ64x4fs,Refine(SQ8), k_factor 1000": lambda rows: Faiss(rows, "PQ64x4fs,Refine(SQ8)", 1000),
    "faiss-cpu SQ8": lambda rows: Faiss(rows, "SQ8"),
    "faiss-cpu HNSW32,SQ8, efSearch 256": lambda rows: Faiss(rows, "HNSW32,SQ8"),
    "hnswlib, M 32, ef 256": lambda rows: Hnsw(rows, 32, 256),
    "usearch i8, expansion 256": lambda rows: USearchBytes(rows, 256),
}


def measure(make, references, probes):
    before = resident()
    started = time.perf_counter()
    engine = make(references)
    build = time.perf_counter() - started
    if isinstance(engine, Faiss) and hasattr(engine.index, "hnsw"):
        engine.index.hnsw.efSearch = 256
    used = (resident() - before) / len(references)
    times, found = [], []
    for probe in probes[:ONE_BY_ONE]:
        started = time.perf_counter()
        found.append(engine.search(probe[None], 1)[0])
        times.append(time.perf_counter() - started)
    # Warm by now; as many as are there, twice.
    started = time.perf_counter()
    for _ in range(2):
        everything = engine.search(probes, CORES)
    rate = 2 * len(probes) / (time.perf_counter() - started)
    assert (everything[: len(found)] == found).mean() > 0.99
    quantile = lambda share: 1e3 * float(np.quantile(times, share))
    figures = {"p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "queries_per_second": rate}
    return figures | {"bytes_per_vector": used, "build_seconds": build}, everything


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="what main.rs wrote")
    parser.add_argument("--ours", type=Path, required=True, help="main.rs's figures")
    parser.add_argument("--built", type=Path, help="rows for fewer palms: what builds took then")
    parser.add_argument("--build-max", type=int, default=1800, help="seconds; longer builds, by those rows, are left out")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    references = np.fromfile(options.folder / "references.f32", np.float32).reshape(-1, 256)
    probes = np.fromfile(options.folder / "probes.f32", np.float32).reshape(-1, 256)
    mates = np.fromfile(options.folder / "mates.u32", np.uint32)
    near = (probes * references[mates]).sum(1) >= 0.5
    exact = Faiss(references, "Flat").search(probes, CORES)
    recall = lambda found: float((found == exact)[near & (exact == mates)].mean())

    [ours] = json.loads(options.ours.read_text())["rows"]
    top = np.array([-1 if first is None else first for first in ours.pop("top_1")])
    ours["recall_at_1"] = recall(top)
    common = {"palms": len(references), "recall_n": int((near & (exact == mates)).sum()), "cores": CORES}
    rows = [ours | common]
    built = {}
    if options.built and options.built.exists():
        earlier = json.loads(options.built.read_text())["rows"]
        built = {row["engine"]: (row["palms"], row["build_seconds"]) for row in earlier if "build_seconds" in row}
    for name, make in ENGINES.items():
        if name in built:
            palms, seconds = built[name]
            if seconds * len(references) / palms > options.build_max:
                rows.append({"engine": name, "left_out": f"would take over {options.build_max} s to build"} | common)
                continue
        figures, found = measure(make, references, probes)
        rows.append({"engine": name, "recall_at_1": recall(found)} | figures | common)
        print(json.dumps(rows[-1]), flush=True)
    options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
