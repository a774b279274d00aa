//! Searches while the gallery changes, checked against what must hold at every moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use volar_core::template::Probe;
use volar_matcher::decision::{Decision, DecisionPolicy};
use volar_matcher::gallery::{Gallery, Protection};
use volar_matcher::index::IndexedPalm;
use volar_matcher::testing::{Palms, score_model, subject};

/// A subject that comes and goes. Steps count up: absent, being enrolled, pending, being activated, active, being
/// erased, and absent again; even ones are at rest.
struct Guest {
    number: u32,
    palm: IndexedPalm,
    probe: Probe,
    step: AtomicU64,
}

impl Guest {
    fn advance(&self, gallery: &Gallery) {
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        let done = match step % 6 {
            0 => gallery.enroll(subject(self.number), std::slice::from_ref(&self.palm)),
            2 => gallery.activate(subject(self.number)),
            _ => gallery.erase(subject(self.number)),
        };
        done.expect("the steps are in order");
        self.step.fetch_add(1, Ordering::SeqCst);
    }

    /// Searches for the guest; says whether the search fell within one state.
    fn check(&self, gallery: &Gallery) -> bool {
        let before = self.step.load(Ordering::SeqCst);
        let decision = gallery.identify(&self.probe).expect("a search").decision;
        let after = self.step.load(Ordering::SeqCst);
        if before != after || before % 2 == 1 {
            return false;
        }
        let expected = if before % 6 == 4 { Decision::Admitted(subject(self.number)) } else { Decision::NoMatch };
        assert_eq!(decision, expected, "guest {} at step {before}", self.number);
        true
    }
}

#[test]
fn searches_are_right_while_people_come_and_go() {
    let mut palms = Palms::new(60);
    let gallery = Gallery::new(DecisionPolicy::default());
    gallery.restart(Protection { generation: 1, model: score_model() });
    let mut residents = Vec::new();
    for number in 1..=300 {
        let template = palms.template();
        gallery.enroll(subject(number), &[palms.indexed(&template, 1)]).expect("memory");
        gallery.activate(subject(number)).expect("enrolled");
        let mate = palms.mate(&template);
        residents.push((subject(number), palms.probe(&mate)));
    }
    let guests: Vec<Guest> = (1_001..=1_040)
        .map(|number| {
            let template = palms.template();
            let mate = palms.mate(&template);
            let (palm, probe) = (palms.indexed(&template, 2), palms.probe(&mate));
            Guest { number, palm, probe, step: AtomicU64::new(0) }
        })
        .collect();
    let (gallery, done, checked) = (Arc::new(gallery), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for half in guests.chunks(20) {
            let (gallery, done) = (&gallery, &done);
            scope.spawn(move || {
                for turn in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    half[turn * 7 % half.len()].advance(gallery);
                    std::thread::yield_now();
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (gallery, guests, residents, checked) = (&gallery, &guests, &residents, &checked);
                scope.spawn(move || {
                    for turn in 0..3_000 {
                        let (resident, probe) = &residents[(turn * 13 + reader) % residents.len()];
                        let found = gallery.identify(probe).expect("a search").decision;
                        assert_eq!(found, Decision::Admitted(*resident), "nobody who stays is ever missed");
                        if guests[(turn * 3 + reader) % guests.len()].check(gallery) {
                            checked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.expect("every check holds"));
    });
    let checked = checked.into_inner();
    assert!(checked > 1_000, "only {checked} searches fell between two changes");
    let turns: u64 = guests.iter().map(|guest| guest.step.load(Ordering::SeqCst) / 2).sum();
    assert!(turns > 200, "the gallery changed {turns} times only");
}
