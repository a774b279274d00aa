//! Random operations on a vault and on a map that is right by being simple; they must agree, restarts included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use volar_core::id::{EnrollmentId, SubjectId};
use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_vault::admin::ReviewDecision;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::format::v1::State;
use volar_vault::vault::Vault;

use super::World;
use crate::world::{checkout, kiosk, matcher, members, operator, payment, suspicion};

#[derive(Clone, Debug)]
enum Op {
    Enroll { payment_follows: bool },
    Verdict { who: usize, suspect: bool },
    Bind { who: usize },
    Claim { who: usize },
    Cancel { who: usize },
    Erase { who: usize },
    Decide { who: usize, same: bool },
    Sweep { minutes: u64 },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..6_usize;
    prop_oneof![
        4 => any::<bool>().prop_map(|payment_follows| Op::Enroll { payment_follows }),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, suspect)| Op::Verdict { who, suspect }),
        3 => who.clone().prop_map(|who| Op::Bind { who }),
        3 => who.clone().prop_map(|who| Op::Claim { who }),
        1 => who.clone().prop_map(|who| Op::Cancel { who }),
        1 => who.clone().prop_map(|who| Op::Erase { who }),
        2 => (who, any::<bool>()).prop_map(|(who, same)| Op::Decide { who, same }),
        1 => (0..12_u64).prop_map(|minutes| Op::Sweep { minutes }),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Clone, Debug)]
struct Person {
    subject: SubjectId,
    enrollment: EnrollmentId,
    sequence: u64,
    state: Option<State>,
    payment_follows: bool,
    bound: bool,
    deadline: Option<u64>,
}

struct Pair {
    world: World,
    vault: Option<Arc<Vault>>,
    runtime: tokio::runtime::Runtime,
    people: BTreeMap<usize, Person>,
    events: u64,
    minutes: u64,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::new();
        world.settings.erasure_wait = Duration::ZERO;
        let vault = Some(world.open());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { world, vault, runtime, people: BTreeMap::new(), events: 0, minutes: 0 }
    }

    fn vault(&self) -> &Arc<Vault> {
        self.vault.as_ref().expect("open between operations")
    }

    /// Applies `op` to both and compares the answers.
    fn apply(&mut self, op: &Op) {
        let call = self.world.call(0);
        match *op {
            Op::Enroll { payment_follows } => {
                let request = self.world.request(payment_follows);
                let enrollment = self.vault().enroll(&kiosk(), &call, &request).expect("enrolled");
                self.events += 1;
                let item = self.world.feed(self.vault()).pop().expect("an event");
                assert_eq!(item.sequence, self.events);
                let person = Person {
                    subject: item.subject,
                    enrollment,
                    sequence: item.sequence,
                    state: Some(State::Pending),
                    payment_follows,
                    bound: false,
                    deadline: payment_follows.then_some(self.minutes + 15),
                };
                self.people.insert(self.people.len(), person);
            }
            Op::Verdict { who, suspect } => {
                let Some(person) = self.people.get(&who).cloned() else { return };
                let of = suspect.then(|| suspicion(person.subject));
                let got = self.vault().report_verdict(&matcher(), &call, &members(), person.sequence, Shard::WHOLE, of);
                let expected = match person.state {
                    Some(State::Pending) if suspect => Some(State::InReview),
                    Some(State::Pending) => Some(State::Active),
                    other => other,
                };
                self.events += u64::from(expected != person.state);
                assert_eq!(got.expect("taken"), expected);
                self.person(who).state = expected;
            }
            Op::Bind { who } => {
                let Some(person) = self.people.get(&who).cloned() else { return };
                let got = self.vault().bind_payment(&kiosk(), &call, person.enrollment, &payment());
                match (person.state, person.bound) {
                    (None, _) => assert!(matches!(got, Err(VaultError::SubjectErased))),
                    (_, true) => assert!(matches!(got, Err(VaultError::PaymentAlreadyBound))),
                    (state, false) => {
                        assert_eq!(got.expect("bound"), state);
                        let person = self.person(who);
                        (person.bound, person.deadline) = (true, None);
                    }
                }
            }
            Op::Claim { who } => {
                let Some(person) = self.people.get(&who).cloned() else { return };
                let ticket = self.world.sealed(self.vault(), person.subject, Purpose::Admission);
                let got = self.vault().claim(&checkout(), &call, &ticket);
                match (person.state, person.bound) {
                    (None, _) => assert!(matches!(got, Err(VaultError::SubjectErased))),
                    (Some(State::Active), true) => assert!(got.expect("claimed").payment == payment()),
                    (Some(State::Active), false) => assert!(matches!(got, Err(VaultError::NoPaymentReference))),
                    _ => assert!(matches!(got, Err(VaultError::EnrollmentNotActive))),
                }
            }
            Op::Cancel { who } => {
                let Some(person) = self.people.get(&who).cloned() else { return };
                let got = self.runtime.block_on(self.vault().erase(&kiosk(), call, Erase::Cancel(person.enrollment)));
                let finished = person.state.is_some_and(|state| state != State::Pending)
                    && (person.bound || !person.payment_follows);
                match finished {
                    true => assert!(matches!(got, Err(VaultError::EnrollmentFinished))),
                    false => self.gone(who, got.map(drop)),
                }
            }
            Op::Erase { who } => {
                let Some(person) = self.people.get(&who).cloned() else { return };
                let got = self.runtime.block_on(self.vault().erase(&operator(), call, Erase::Subject(person.subject)));
                self.gone(who, got.map(drop));
            }
            Op::Decide { who, same } => {
                let Some(person) = self.people.get(&who).cloned() else { return };
                let decision = if same { ReviewDecision::SamePerson } else { ReviewDecision::DifferentPerson };
                let got =
                    self.runtime.block_on(self.vault().decide_review(&operator(), call, person.subject, decision));
                match person.state {
                    None => assert!(matches!(got, Err(VaultError::SubjectErased))),
                    Some(State::InReview) if same => self.gone(who, got.map(|state| assert_eq!(state, None))),
                    Some(State::InReview) => {
                        assert_eq!(got.expect("decided"), Some(State::Active));
                        self.person(who).state = Some(State::Active);
                        self.events += 1;
                    }
                    Some(_) => assert!(matches!(got, Err(VaultError::NotInReview))),
                }
            }
            Op::Sweep { minutes } => {
                self.minutes += minutes;
                self.world.clock.advance(Duration::from_secs(60 * minutes));
                let swept = self.vault().sweep().expect("swept");
                let minutes = self.minutes;
                let late = self.people.values_mut().filter(|person| person.deadline.is_some_and(|at| at <= minutes));
                let mut expected = 0;
                for person in late {
                    (person.state, person.deadline) = (None, None);
                    expected += 1;
                }
                assert_eq!(swept, expected);
                self.events += expected as u64;
            }
            Op::Reopen => {
                self.vault = None;
                self.vault = Some(self.world.open());
            }
        }
    }

    fn person(&mut self, who: usize) -> &mut Person {
        self.people.get_mut(&who).expect("known")
    }

    fn gone(&mut self, who: usize, got: Result<(), VaultError>) {
        got.expect("erased");
        let person = self.person(who);
        let was = person.state.take().is_some();
        person.deadline = None;
        self.events += u64::from(was);
    }

    /// Everything that can be seen agrees.
    fn compare(&self) {
        let vault = self.vault();
        let head = vault.status(&operator()).expect("readable")[0].head;
        let count = |state| self.people.values().filter(|person| person.state == Some(state)).count() as u64;
        assert_eq!(head.last_sequence, self.events);
        assert_eq!(
            (head.pending, head.active, head.in_review),
            (count(State::Pending), count(State::Active), count(State::InReview))
        );
        for person in self.people.values() {
            let standing = vault.standing(&kiosk(), person.enrollment).expect("known");
            assert_eq!(standing.state, person.state);
            assert_eq!(standing.payment_bound, person.bound && person.state.is_some());
        }
        let mut told: BTreeMap<SubjectId, Option<State>> = BTreeMap::new();
        for item in self.world.feed(vault) {
            let state = match item.news {
                News::Enrolled { .. } => Some(State::Pending),
                News::Activated => Some(State::Active),
                News::Held => Some(State::InReview),
                News::Erased => None,
            };
            told.insert(item.subject, state);
        }
        let expected: BTreeMap<_, _> = self.people.values().map(|person| (person.subject, person.state)).collect();
        assert_eq!(told, expected, "the feed alone tells where everybody stands");
        let slots = std::fs::read(self.world.path("keys")).expect("readable");
        let used = slots[4096..].chunks(128).filter(|slot| slot.iter().any(|&byte| byte != 0)).count();
        assert_eq!(used, self.people.values().filter(|person| person.state.is_some()).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_vault_behaves_like_its_model(ops in prop::collection::vec(op(), 1..40)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op);
            pair.compare();
        }
        pair.apply(&Op::Reopen);
        pair.compare();
    }
}
