//! Who is compared with whom, and every comparison's score.

use std::collections::BTreeMap;

use rayon::prelude::*;
use volar_core::nearness::{CodeWords, distance, least_of_each, probe_codes};
use volar_core::score::ScoreModel;
use zeroize::Zeroizing;

use crate::acquire::Sample;
use crate::manifest::{Hand, Row};
use crate::progress::Progress;
use crate::statistics::bootstrap::Population;

/// Which pairs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Every unordered pair once: the later in the manifest is the probe.
    AllPairs,
    /// Pairs of different sessions only, each once: the later session's is the probe. Captures without a session are
    /// left out.
    CrossSession,
}

/// What a comparison's score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// The calibrated score that the matcher decides on: decimal logarithm of a likelihood ratio.
    Fused,
    /// Cosine of the embeddings, -1 to 1.
    Embedding,
    /// Nearness of the orientation codes, 1 - angular distance, at the best of the probe's shifts and turns.
    Code,
}

/// Turns two templates into a score.
pub struct Scorer<'a> {
    /// What to compute.
    pub kind: ScoreKind,
    /// Needed for [`ScoreKind::Fused`] only.
    pub model: Option<&'a ScoreModel>,
}

impl Scorer<'_> {
    /// One score, the first sample being the probe.
    pub fn score(&self, probe: &Sample, reference: &Sample) -> f32 {
        let cosine = dot(&probe.embedding[..], &reference.embedding[..]);
        if self.kind == ScoreKind::Embedding {
            return cosine;
        }
        let mut least = [u32::MAX];
        least_of_each(&probe_codes(&probe.fields), std::slice::from_ref(&**reference.code), &mut least);
        let distance = distance(least[0]);
        match self.model {
            Some(model) if self.kind == ScoreKind::Fused => model.fused(cosine, distance).value(),
            _ => 1.0 - distance,
        }
    }
}

/// What two templates give before they are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Cosine of the embeddings.
    pub cosine: f32,
    /// Angular distance of the codes at the best of the probe's shifts and turns.
    pub distance: f32,
}

/// Templates ready to be compared: references side by side, in the order in which they may be compared.
pub struct Comparable<'a> {
    /// The samples, ordered so that each probe's references come before it.
    pub samples: Vec<&'a Sample>,
    /// How many of the first samples each is compared with as a probe.
    pub reach: Vec<usize>,
    identities: Vec<Identity>,
    embeddings: Zeroizing<Vec<f32>>,
    codes: Zeroizing<Vec<CodeWords>>,
}

/// Who a sample is of, as small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The person, from 0.
    pub subject: u32,
    /// Which palm.
    pub hand: Hand,
}

/// How two identities relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// One palm.
    Mated,
    /// Two palms.
    NonMated,
    /// Perhaps one palm, perhaps two: one person, and one of the positions is unknown.
    Unclear,
}

impl Identity {
    /// How this palm relates to another.
    pub fn relation(self, other: Self) -> Relation {
        match () {
            () if self == other => Relation::Mated,
            () if self.subject == other.subject && (self.hand == Hand::Unknown || other.hand == Hand::Unknown) => {
                Relation::Unclear
            }
            () => Relation::NonMated,
        }
    }
}

/// Numbers the people of a manifest in the order of their appearance.
pub fn identities(rows: &[Row]) -> Vec<Identity> {
    let mut numbers = std::collections::HashMap::new();
    rows.iter()
        .map(|row| {
            let next = numbers.len() as u32;
            Identity { subject: *numbers.entry(row.subject.as_str()).or_insert(next), hand: row.hand }
        })
        .collect()
}

impl<'a> Comparable<'a> {
    /// Brings samples in order for `protocol`; `sessions` and `identities` are those of the manifest's rows.
    pub fn new(samples: &[&'a Sample], rows: &[Row], identities: &[Identity], protocol: Protocol) -> Self {
        let mut samples = samples.to_vec();
        let session = |sample: &Sample| rows[sample.row].session.as_str();
        if protocol == Protocol::CrossSession {
            samples.retain(|sample| !session(sample).is_empty());
            samples.sort_by(|a, b| session_order(session(a)).cmp(&session_order(session(b))));
        }
        let mut reach: Vec<usize> = (0..samples.len()).collect();
        if protocol == Protocol::CrossSession {
            for at in 1..samples.len() {
                if session(samples[at]) == session(samples[at - 1]) {
                    reach[at] = reach[at - 1];
                }
            }
        }
        let identities = samples.iter().map(|sample| identities[sample.row]).collect();
        let embeddings = Zeroizing::new(samples.iter().flat_map(|sample| **sample.embedding).collect());
        let codes = Zeroizing::new(samples.iter().map(|sample| **sample.code).collect());
        Self { samples, reach, identities, embeddings, codes }
    }

    /// Comparisons in all, unclear ones included.
    pub fn comparisons(&self) -> u64 {
        self.reach.iter().map(|&reach| reach as u64).sum()
    }

    /// Who the sample at a place is of.
    pub fn identity(&self, at: usize) -> Identity {
        self.identities[at]
    }

    /// Every probe's scores against its references, on all processors.
    pub fn scores(&self, scorer: &Scorer<'_>) -> Vec<Vec<f32>> {
        self.rows(|probe| match (scorer.kind, scorer.model) {
            (ScoreKind::Embedding, _) => self.cosines(probe).collect(),
            (ScoreKind::Code, _) => self.distances(probe).map(|distance| 1.0 - distance).collect(),
            (ScoreKind::Fused, Some(model)) => {
                let both = self.cosines(probe).zip(self.distances(probe));
                both.map(|(cosine, distance)| model.fused(cosine, distance).value()).collect()
            }
            (ScoreKind::Fused, None) => unreachable!("a fused score is asked for with its model"),
        })
    }

    /// Every probe's cosines and distances, on all processors.
    pub fn measures(&self) -> Vec<Vec<Measures>> {
        self.rows(|probe| {
            let both = self.cosines(probe).zip(self.distances(probe));
            both.map(|(cosine, distance)| Measures { cosine, distance }).collect()
        })
    }

    fn rows<T: Send>(&self, row: impl Fn(usize) -> Vec<T> + Sync) -> Vec<Vec<T>> {
        let progress = Progress::new("comparisons", self.comparisons());
        // Late probes have the most references; begun first, they do not keep everyone waiting at the end.
        let mut rows: Vec<(usize, Vec<T>)> = (0..self.samples.len())
            .into_par_iter()
            .rev()
            .with_max_len(4)
            .map(|probe| {
                let row = row(probe);
                progress.advance(row.len() as u64);
                (probe, row)
            })
            .collect();
        progress.finish();
        rows.sort_unstable_by_key(|&(probe, _)| probe);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn cosines(&self, probe: usize) -> impl Iterator<Item = f32> {
        let own = &self.samples[probe].embedding[..];
        self.embeddings.chunks_exact(own.len()).take(self.reach[probe]).map(move |other| dot(own, other))
    }

    fn distances(&self, probe: usize) -> impl Iterator<Item = f32> + use<> {
        let reach = self.reach[probe];
        let mut least = vec![u32::MAX; reach];
        least_of_each(&probe_codes(&self.samples[probe].fields), &self.codes[..reach], &mut least);
        least.into_iter().map(distance)
    }

    /// Calls `take` with each comparison: its place in the probe's row, probe, reference, and how they relate.
    pub fn for_each(&self, mut take: impl FnMut(usize, usize, Relation)) {
        for (probe, &reach) in self.reach.iter().enumerate() {
            for reference in 0..reach {
                take(probe, reference, self.identities[probe].relation(self.identities[reference]));
            }
        }
    }

    /// How many comparisons there are between whom.
    pub fn population(&self, protocol: Protocol, rows: &[Row]) -> Population {
        let subjects = self.identities.iter().map(|identity| identity.subject as usize + 1).max().unwrap_or_default();
        let mut population = Population {
            subjects,
            captures: vec![0; subjects],
            own_non_mated: vec![0; subjects],
            ..Default::default()
        };
        let mut sessions: BTreeMap<&str, BTreeMap<u32, u32>> = BTreeMap::new();
        for (sample, identity) in self.samples.iter().zip(&self.identities) {
            population.captures[identity.subject as usize] += 1;
            *sessions.entry(&rows[sample.row].session).or_default().entry(identity.subject).or_default() += 1;
        }
        if protocol == Protocol::CrossSession {
            population.by_session = sessions.into_values().map(|session| session.into_iter().collect()).collect();
        }
        self.for_each(|probe, reference, relation| {
            let (a, b) = (self.identities[probe].subject, self.identities[reference].subject);
            if a == b && relation == Relation::NonMated {
                population.own_non_mated[a as usize] += 1;
            }
        });
        population
    }
}

/// Sessions in their natural order: `2` before `10`, words after numbers.
pub(crate) fn session_order(session: &str) -> (bool, u64, &str) {
    match session.parse() {
        Ok(number) => (false, number, session),
        Err(_) => (true, 0, session),
    }
}

/// Inner product, in lanes that the compiler turns into vector instructions.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_position_may_be_either() {
        let palm = |subject, hand| Identity { subject, hand };
        for (a, b, relation) in [
            (palm(1, Hand::Left), palm(1, Hand::Left), Relation::Mated),
            (palm(1, Hand::Left), palm(1, Hand::Right), Relation::NonMated),
            (palm(1, Hand::Left), palm(1, Hand::Unknown), Relation::Unclear),
            (palm(1, Hand::Unknown), palm(1, Hand::Unknown), Relation::Mated),
            (palm(1, Hand::Unknown), palm(2, Hand::Unknown), Relation::NonMated),
        ] {
            assert_eq!((a.relation(b), b.relation(a)), (relation, relation), "{a:?} {b:?}");
        }
    }

    #[test]
    fn sessions_are_counted_as_people_count() {
        let mut sessions = ["b", "10", "2", "a"];
        sessions.sort_by(|a, b| session_order(a).cmp(&session_order(b)));
        assert_eq!(sessions, ["2", "10", "a", "b"]);
    }
}
