//! Measures searches of a gallery on one thread:
//! `taskset -c 0 cargo run --release -p volar-matcher --example measure -- [palms] [references each] [rotations]`.
//!
//! Palms are random vectors and random codes, probes noisy second captures; time depends on how many there are, not on
//! what they look like.
#![allow(clippy::print_stdout)] // A measurement for a person's terminal.

use std::time::{Duration, Instant};

use prost::Message;
use volar_core::template::{Probe, ROTATIONS_MAX, Template};
use volar_matcher::convert;
use volar_matcher::decision::{Decision, DecisionPolicy};
use volar_matcher::gallery::{Gallery, Protection};
use volar_matcher::testing::{MODEL, Palms, score_model, subject};
use volar_proto::v1;

const SEARCHES: usize = 2_000;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (count, references, rotations) = (number(0, 10_000), number(1, 3), number(2, 1).clamp(1, ROTATIONS_MAX));

    let (mut palms, gallery) = (Palms::new(1), Gallery::new(DecisionPolicy::default()));
    gallery.restart(Protection { generation: 1, model: score_model() });
    let mut probes = Vec::new();
    for n in 0..count {
        let template = palms.template();
        let id = subject(n as u32);
        gallery.enroll(id, &[palms.indexed(&template, references - 1)]).expect("memory");
        gallery.activate(id).expect("enrolled");
        if n % count.div_ceil(SEARCHES / 2) == 0 {
            let mate = turned(palms.mate(&template), rotations);
            let stranger = turned(palms.template(), rotations);
            probes.push((Decision::Admitted(id), palms.probe(&mate)));
            probes.push((Decision::NoMatch, palms.probe(&stranger)));
        }
    }
    let (mut times, mut wrong, computed) = (Vec::new(), 0, time_on_processor());
    for turn in 0..SEARCHES {
        let (expected, probe) = &probes[turn % probes.len()];
        let started = Instant::now();
        let found = gallery.identify(probe).expect("a search");
        times.push(started.elapsed());
        wrong += usize::from(found.decision != *expected);
    }
    let computed = (time_on_processor() - computed) / SEARCHES as u32;
    times.sort_unstable();
    let at = |share: f64| milliseconds(times[(times.len() as f64 * share) as usize]);
    println!(
        "{count} palms of {references} references, probes of {} codes, {SEARCHES} searches on one thread: p50 {:.2} ms, \
         p99 {:.2} ms, longest {:.2} ms, mean time on the processor {:.2} ms, and {:.2} ms to read the request; {wrong} \
         decided wrong",
        49 * rotations,
        at(0.5),
        at(0.99),
        milliseconds(times[times.len() - 1]),
        milliseconds(computed),
        milliseconds(time_to_read(&probes[0].1)),
    );
}

/// What it takes to decode, digest and check a request with this probe.
fn time_to_read(probe: &Probe) -> Duration {
    let request = v1::IdentifyRequest {
        idempotency_id: "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d".to_owned(),
        lane: "a".to_owned(),
        purpose: v1::Purpose::Admission.into(),
        probes: vec![v1::GalleryProbe {
            gallery: "members".to_owned(),
            generation: 1,
            model: MODEL.to_owned(),
            probe: Some(v1::Probe {
                embedding: probe.embedding.expose().to_vec(),
                orientation_codes: probe.codes.iter().map(|code| code.to_bytes()).collect(),
                quality: u32::from(probe.quality),
            }),
        }],
    };
    let bytes = request.encode_to_vec();
    let started = time_on_processor();
    for _ in 0..SEARCHES {
        let request = v1::IdentifyRequest::decode(bytes.as_slice()).expect("just encoded");
        let digest = convert::digest(&request);
        std::hint::black_box((digest, convert::call(request).expect("a good request")));
    }
    (time_on_processor() - started) / SEARCHES as u32
}

fn turned(mut template: Template, rotations: usize) -> Template {
    let field = template.orientations[0].clone();
    template.orientations.resize(rotations, field);
    template
}

/// What this thread has computed so far: unlike the clock on the wall it leaves out waiting for a busy processor.
fn time_on_processor() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux with scheduler statistics");
    let nanoseconds = statistics.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first number is nanoseconds on the processor"))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
