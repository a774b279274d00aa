//! What a matcher does for each `Identify`, without the wire: scan, score, verify, decide.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use volar_core::template::{Position, Probe, ProtectedEmbedding, Reference};
use volar_matcher::decision::{Decision, DecisionPolicy, decide};
use volar_matcher::index::{Index, IndexedPalm, Standing};
use volar_matcher::parameters::BATCH_MAX;
use volar_matcher::testing::{Palms, score_model, subject};
use volar_matcher::verify::candidates;

use crate::data::{self, Distribution, Files, Vector};

/// Codes that references share: what they say does not change what comparing them takes.
const CODES: usize = 4_096;

#[derive(Default)]
struct Probes {
    probes: Vec<Probe>,
    mates: Vec<usize>,
    /// Cosine of each probe and its mate.
    cosines: Vec<f32>,
}

impl Probes {
    /// `count` of them, or all if there are fewer, evenly from first to last.
    fn thinned(&self, count: usize) -> Self {
        let step = self.probes.len().div_ceil(count).max(1);
        Self {
            probes: self.probes.iter().step_by(step).cloned().collect(),
            mates: self.mates.iter().step_by(step).copied().collect(),
            cosines: self.cosines.iter().step_by(step).copied().collect(),
        }
    }
}

/// Palms that are drawn at a time.
const CHUNK: usize = 100_000;

/// A gallery that grows, and second captures of some who are in it.
pub(crate) struct Growing {
    index: Index,
    palms: usize,
    probes: Probes,
    /// Codes that references and probes share.
    patterns: Vec<(Reference, Probe)>,
    /// Bytes of memory that the process gained by it.
    gained: usize,
    build: Duration,
}

impl Growing {
    pub(crate) fn new() -> Self {
        let mut patterns = Palms::new(1);
        let patterns = (0..CODES).map(|_| {
            let template = patterns.template();
            (patterns.reference(&template), patterns.probe(&template))
        });
        Self {
            index: Index::default(),
            palms: 0,
            probes: Probes::default(),
            patterns: patterns.collect(),
            gained: 0,
            build: Duration::ZERO,
        }
    }

    /// Enrols palms until there are `count`, and captures one in `every` a second time.
    pub(crate) fn grow(
        &mut self,
        distribution: &Distribution,
        count: usize,
        every: usize,
        mut files: Option<&mut Files>,
    ) {
        while self.palms < count {
            let numbers = self.palms..(self.palms + CHUNK).min(count);
            let palms = data::Palms::draw(distribution, numbers.clone(), every);
            if let Some(files) = &mut files {
                files.append(&palms).expect("the folder for the embeddings has room");
            }
            let (before, started) = (resident(), Instant::now());
            for (number, reference) in numbers.clone().zip(&palms.references) {
                let Reference { code, quality, .. } = &self.patterns[number % CODES].0;
                let reference = Reference { embedding: protected(reference), code: code.clone(), quality: *quality };
                let palm = IndexedPalm { position: Position::Left, references: vec![reference] };
                assert!(self.index.add(subject(number as u32), &[palm], Standing::Active), "each is another person");
            }
            self.build += started.elapsed();
            self.gained += resident().saturating_sub(before);
            for probe in palms.probes {
                let Probe { codes, quality, .. } = &self.patterns[probe.mate % CODES].1;
                let (codes, embedding) = (codes.clone(), protected(&probe.vector));
                self.probes.probes.push(Probe { embedding, codes, quality: *quality });
                self.probes.mates.push(probe.mate);
                self.probes.cosines.push(probe.cosine);
            }
            self.palms = numbers.end;
        }
    }

    /// Every figure of the gallery as it is now, as JSON, by `probe_count` probes of palms from all of it.
    pub(crate) fn figures(&self, probe_count: usize) -> serde_json::Value {
        let (index, probes) = (&self.index, &self.probes.thinned(probe_count));
        let alone = one_by_one(index, probes);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let on_one = queries_per_second(index, probes, 1);
        let on_all = queries_per_second(index, probes, threads);
        let near = probes.cosines.iter().filter(|&&cosine| cosine >= 0.5).count();
        json!({
            "engine": "volar",
            "palms": self.palms,
            "recall_at_1": alone.found as f64 / near as f64,
            "recall_n": near,
            "p50_ms": quantile(&alone.search, 0.5),
            "p99_ms": quantile(&alone.search, 0.99),
            "identify_p50_ms": quantile(&alone.identify, 0.5),
            "identify_p99_ms": quantile(&alone.identify, 0.99),
            "queries_per_second": on_all.search,
            "identifications_per_second_one_core": on_one.identify,
            "identifications_per_second": on_all.identify,
            "cores": threads,
            "bytes_per_vector": self.gained as f64 / self.palms as f64,
            "build_seconds": self.build.as_secs_f64(),
            "admitted": alone.admitted,
            "probes": probes.probes.len(),
            "top_1": alone.top,
        })
    }
}

struct Alone {
    /// Scan and scores.
    search: Vec<Duration>,
    /// With verification and decision.
    identify: Vec<Duration>,
    /// Probes of mates of cosine 0.5 and more whose mate came first.
    found: usize,
    admitted: usize,
    top: Vec<Option<u32>>,
}

fn one_by_one(index: &Index, probes: &Probes) -> Alone {
    let (policy, model) = (DecisionPolicy::default(), score_model());
    let mut alone = Alone { search: vec![], identify: vec![], found: 0, admitted: 0, top: vec![] };
    for (number, probe) in probes.probes.iter().enumerate() {
        let started = Instant::now();
        let hits = index.nearest(&[&probe.embedding], policy.verified_palms, Standing::Active).remove(0);
        alone.search.push(started.elapsed());
        let thresholds = policy.thresholds(&model, index.references(Standing::Active));
        let (decision, _) = decide(&candidates(&model, probe, &hits), thresholds);
        alone.identify.push(started.elapsed());
        let mate = subject(probes.mates[number] as u32);
        alone.found += usize::from(probes.cosines[number] >= 0.5 && hits[0].row.subject == mate);
        alone.admitted += usize::from(decision == Decision::Admitted(mate));
        let first = hits.first().map(|hit| hit.row.subject.to_string());
        alone.top.push(first.map(|id| u32::from_str_radix(&id[..8], 16).expect("the first part of an id is a number")));
    }
    alone.search.sort_unstable();
    alone.identify.sort_unstable();
    alone
}

struct Rate {
    search: f64,
    identify: f64,
}

/// Saturated: every thread takes as many at once as the matcher does when they queue.
fn queries_per_second(index: &Index, probes: &Probes, threads: usize) -> Rate {
    let policy = DecisionPolicy::default();
    let run = |verify: bool| {
        let next = AtomicUsize::new(0);
        let batches: Vec<&[Probe]> = probes.probes.chunks(BATCH_MAX).collect();
        let rounds = batches.len().max(128);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let model = score_model();
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        if turn >= rounds {
                            return;
                        }
                        let batch = batches[turn % batches.len()];
                        let embeddings: Vec<_> = batch.iter().map(|probe| &probe.embedding).collect();
                        let found = index.nearest(&embeddings, policy.verified_palms, Standing::Active);
                        if verify {
                            for (probe, hits) in batch.iter().zip(found) {
                                let thresholds = policy.thresholds(&model, index.references(Standing::Active));
                                std::hint::black_box(decide(&candidates(&model, probe, &hits), thresholds));
                            }
                        }
                    }
                });
            }
        });
        let done: usize = (0..rounds).map(|turn| batches[turn % batches.len()].len()).sum();
        done as f64 / started.elapsed().as_secs_f64()
    };
    Rate { search: run(false), identify: run(true) }
}

fn protected(vector: &Vector) -> ProtectedEmbedding {
    ProtectedEmbedding::from_untrusted(vector).expect("drawn with length one")
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1].as_secs_f64() * 1e3
}

/// Memory that this process has in use, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it names resident memory");
    1_024 * line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kilobytes")
}

/// For a person's eyes.
pub(crate) fn without_lists(figures: &serde_json::Value) -> serde_json::Value {
    let mut figures = figures.clone();
    if let Some(map) = figures.as_object_mut() {
        map.retain(|_, value| !value.is_array());
    }
    figures
}
