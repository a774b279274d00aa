//! Two galleries: from the kiosk's screen to the gate's door, and divided over matchers. Real processes, each configured as an
//! operator would.

use std::collections::BTreeSet;
use std::ops::RangeFrom;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use volar_core::id::SubjectId;
use volar_core::shard::Shard;
use volar_proto::v1::{Decision, EnrollmentState};
use volar_tests::client::{Clients, enroll_in, fresh_id, identify_in, reason};
use volar_tests::cluster::Cluster;
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;
use xtask::kiosk::Visit;

const PATIENCE: Duration = Duration::from_secs(20);
const PERSON: u64 = 41;

fn hand(sample: u64) -> Value {
    json!({"show": "hand", "person": PERSON, "position": "left", "sample": sample})
}

#[test]
fn a_visitor_joins_both_galleries_enters_by_either_and_leaves_both() {
    let mut system = System::whole_in(&["members", "staff"]);
    let kiosk = system.deployment.kiosk().expect("it runs");
    let visit = Visit { hands: &["left"], account: Some("anna"), code: None };
    assert_eq!(kiosk.enroll(&visit, |_| hand(0)).expect("a visit"), "active");
    let subjects = system.deployment.operator().subjects().expect("listed");
    assert_eq!(subjects.len(), 1, "one person, however many galleries: {subjects:?}");
    assert_eq!(subjects[0]["galleries"], json!(["members", "staff"]));

    // A gate of both, then one of each alone.
    for galleries in [&["staff", "members"][..], &["staff"], &["members"]] {
        system.restart_gate_in(galleries);
        let gate = system.deployment.gate().expect("it runs");
        let passage = gate.walk_in(&hand(1), &json!({"show": "empty"}), PATIENCE).expect("the gate answers");
        assert_eq!(passage.decision, "admitted", "{galleries:?}: {passage:?}");
        let claimed = system.deployment.operator().claim(&passage.ticket.expect("a ticket")).expect("an answer");
        assert_eq!(claimed.as_deref(), Ok("cus_test_anna"), "{galleries:?}");
    }

    let kiosk = system.deployment.kiosk().expect("it runs");
    assert_eq!(kiosk.remove(&hand(2)).expect("a visit"), "removed");
    assert!(system.deployment.operator().subjects().expect("listed").is_empty());
    for galleries in [&["members"][..], &["staff"]] {
        system.restart_gate_in(galleries);
        let gate = system.deployment.gate().expect("it runs");
        let passage = gate.walk_in(&hand(3), &json!({"show": "empty"}), PATIENCE).expect("the gate answers");
        assert_eq!(passage.decision, "no-match", "{galleries:?}: {passage:?}");
    }
    every_scan_is_in_the_audit_log(&system);
}

/// Three admissions and the removal were answered, and then the galleries were empty. Matchers tell the vault within a second.
fn every_scan_is_in_the_audit_log(system: &System) {
    let scans = || {
        let list = system.deployment.operator().run(&["audit", "list"]).expect("listed");
        let leaves = list["leaves"].as_array().expect("a list").iter().filter_map(Value::as_str);
        let count =
            |wanted: [&str; 3]| leaves.clone().filter(|leaf| wanted.iter().all(|line| leaf.contains(line))).count();
        let gate = count(["actor gate/", "\naction scan\n", "\noutcome done\n"]);
        let kiosk = count(["actor kiosk/", "\naction scan\n", "\noutcome done\n"]);
        (gate, kiosk, count(["actor gate/", "\naction scan\n", "no-match: gallery-empty"]).min(1))
    };
    let until = Instant::now() + PATIENCE;
    while scans() != (3, 1, 1) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(scans(), (3, 1, 1), "admitted at gates, removed at the kiosk, and nobody left");
}

/// Somebody, the galleries that they joined, and the part that holds them.
struct Member<'a> {
    person: Person,
    galleries: &'a [&'a Palms],
    shard: Shard,
}

/// People of either gallery and of both, each gallery divided over two matchers behind one router: found in the galleries
/// that they joined and in no other. While a matcher is away its people are asked to try again, not turned away, and the
/// others enter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_answers_for_several_galleries_whose_parts_come_and_go() {
    let system = System::vault_in(&["members", "staff"]);
    let mut cluster = Cluster::start_in(&system, &["members", "staff"], 2, 1);
    let clients = cluster.clients();
    let (members, staff) = (clients.palms_in("members").await, clients.palms_in("staff").await);
    let (both, members, staff) = ([&members, &staff], [&members], [&staff]);
    let shards = [0, 1].map(|index| Shard::new(index, 2).expect("one of two"));

    let (mut people, mut numbers) = (Vec::new(), 1..);
    for galleries in [&both[..], &members, &staff] {
        for shard in shards {
            people.push(enrolled(&clients, galleries, shard, &mut numbers).await);
        }
    }
    for member in &people {
        admitted(&clients, &both, &member.person).await;
        for asked in [&members[..], &staff] {
            let joined = member.galleries.iter().any(|palms| palms.gallery == asked[0].gallery);
            let expected = if joined { Decision::Admitted } else { Decision::NoMatch };
            assert_eq!(decision(&clients, asked, &member.person).await, Ok(expected), "in {}", asked[0].gallery);
        }
    }

    tokio::task::block_in_place(|| cluster.take_away(0));
    for member in &people {
        let found = decision(&clients, &both, &member.person).await;
        let expected = if member.shard == shards[0] { Err("SHARD_MISSING".to_owned()) } else { Ok(Decision::Admitted) };
        assert_eq!(found, expected, "of shard {} while 0/2 is away", member.shard);
    }
    let stranger = decision(&clients, &both, &Person::new(9_000)).await;
    assert_eq!(stranger, Err("SHARD_MISSING".to_owned()), "might be somebody of the part that is away");

    tokio::task::block_in_place(|| cluster.bring_back(0));
    for member in &people {
        admitted(&clients, &both, &member.person).await;
    }
}

/// Enrols one person after the other until `shard` holds one: who holds whom is by the vault's random ids.
async fn enrolled<'a>(
    clients: &Clients,
    galleries: &'a [&'a Palms],
    shard: Shard,
    numbers: &mut RangeFrom<u64>,
) -> Member<'a> {
    let gallery = galleries[0].gallery;
    let mut known = subjects(clients, gallery).await;
    for number in numbers {
        let person = Person::new(number);
        let answer = clients.enrollment().enroll(enroll_in(galleries, &person)).await.expect("enrolled").into_inner();
        let state = clients.settled(&answer.enrollment_id).await;
        assert_eq!(state, EnrollmentState::Active, "every part of each gallery has spoken");
        let now = subjects(clients, gallery).await;
        let new: Vec<SubjectId> = now.difference(&known).copied().collect();
        assert_eq!(new.len(), 1, "one more");
        if shard.holds(new[0]) {
            return Member { person, galleries, shard };
        }
        known = now;
    }
    unreachable!("there is always another number")
}

async fn subjects(clients: &Clients, gallery: &str) -> BTreeSet<SubjectId> {
    let subjects = clients.subjects_in(gallery).await;
    subjects.iter().map(|subject| subject.subject_id.parse().expect("an id")).collect()
}

/// Waits until a gate of `galleries` admits somebody: matchers that start are not ready at once.
async fn admitted(clients: &Clients, galleries: &[&Palms], person: &Person) {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = decision(clients, galleries, person).await;
        if told == Ok(Decision::Admitted) {
            return;
        }
        assert!(Instant::now() < until, "still {told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a gate is told about a person's palm, or why nothing.
async fn decision(clients: &Clients, galleries: &[&Palms], person: &Person) -> Result<Decision, String> {
    // A lane of its own: no lane is locked for the strangers of another.
    let request = identify_in(galleries, person, &format!("lane-{}", fresh_id()));
    let answered = clients.identification().identify(request).await;
    answered.map(|response| response.get_ref().decision()).map_err(|status| reason(&status))
}
