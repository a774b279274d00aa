//! The feed, as followers hear it.

use volar_core::shard::Shard;
use volar_vault::error::VaultError;
use volar_vault::feed::{News, Wanted};
use volar_vault::format::v1::State;

use crate::world::{World, kiosk, matcher, members, operator, peer};

#[test]
fn probes_are_told_until_the_verdict_and_to_those_who_have_not_spoken() {
    let mut world = World::new();
    world.settings.verdicts_required = 2;
    let vault = world.open();
    let request = world.request(false);
    vault.enroll(&kiosk(), &world.call(0), &request).expect("enrolled");
    let told = |device| {
        let items = vault.events(&peer("matcher", device), &members(), Shard::WHOLE, 1, 1).expect("readable").0;
        match items.into_iter().next().map(|item| item.news) {
            Some(News::Enrolled { palms, probes, .. }) => (palms, probes),
            other => panic!("not an enrollment: {other:?}"),
        }
    };
    let (palms, probes) = told("m-1");
    let probes = probes.expect("a verdict is wanted");
    assert_eq!((palms.len(), probes.probes.len()), (2, 2));
    for ((palm, probe), sent) in palms.iter().zip(&probes.probes).zip(&request.memberships[0].palms) {
        assert_eq!(palm.position, sent.position);
        assert_eq!(palm.references.len(), sent.references.len());
        assert_eq!(palm.references[1].code, sent.references[1].code.to_bytes());
        assert_eq!(palm.references[1].embedding, sent.references[1].embedding.expose());
        assert_eq!(probe.codes.len(), sent.probe.codes.len() * 384);
        assert_eq!(probe.embedding, sent.probe.embedding.expose());
    }
    let report =
        |device| vault.report_verdict(&peer("matcher", device), &world.call(0), &members(), 1, Shard::WHOLE, None);
    report("m-1").expect("taken");
    assert!(told("m-1").1.is_none(), "its word is in");
    assert!(told("m-2").1.is_some(), "its word is wanted still");
    assert_eq!(report("m-2").expect("taken"), Some(State::Active));
    assert!(told("m-3").1.is_none(), "nobody's word is wanted");
    let left = std::fs::read_dir(world.path("store/blobs")).expect("readable").count();
    assert_eq!(left, 0, "probes are not kept once the verdict is in");
}

#[test]
fn numbers_are_gapless_whatever_happens_at_once() {
    let world = World::new();
    let vault = world.open();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    vault.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
                }
            });
        }
        scope.spawn(|| {
            let mut next = 1;
            while next <= 32 {
                for item in vault.events(&matcher(), &members(), Shard::WHOLE, next, 5).expect("readable").0 {
                    assert_eq!(item.sequence, next);
                    next += 1;
                }
            }
        });
    });
    assert_eq!(world.feed(&vault).len(), 32);
}

#[tokio::test]
async fn events_of_the_erased_are_told_as_erasures() {
    let world = World::new();
    let vault = world.open();
    let (anna, ben) = (world.member(&vault), world.member(&vault));
    let erase = volar_vault::erasure::Erase::Subject(anna);
    vault.erase(&operator(), world.call(0), erase).await.expect("erased");
    let feed = world.feed(&vault);
    assert_eq!(feed.iter().map(|item| item.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for item in feed {
        let erased = matches!(item.news, News::Erased);
        assert_eq!(erased, item.subject == anna, "{item:?}");
        assert!(erased || item.subject == ben);
    }
}

#[test]
fn a_follower_ahead_of_the_feed_proves_a_rollback_and_gets_a_new_feed() {
    let world = World::new();
    let vault = world.open();
    world.member(&vault);
    let follow = |from| vault.follow(&matcher(), &members(), from, Wanted::Events(Shard::WHOLE)).expect("followed");
    let feed = follow(1).feed_id;
    assert_eq!(follow(3).feed_id, feed, "the next number to come is not ahead");
    let renewed = follow(4).feed_id;
    assert_ne!(renewed, feed);
    drop(vault);
    let vault = world.open();
    assert_eq!(
        vault.follow(&matcher(), &members(), 1, Wanted::Events(Shard::WHOLE)).expect("followed").feed_id,
        renewed
    );
    let none = vault.follow(&matcher(), &members(), 0, Wanted::Events(Shard::WHOLE)).map(|start| start.last_sequence);
    assert!(matches!(none, Err(VaultError::Field { field: "from_sequence", .. })));
    assert!(matches!(
        vault.acknowledge(&matcher(), &members(), 9),
        Err(VaultError::SequenceAhead { sequence: 9, last: 2 })
    ));
}

#[test]
fn shards_get_their_own_references_and_every_probe() {
    let world = World::new();
    let vault = world.open();
    let shards = [0, 1].map(|index| Shard::new(index, 2).expect("a part"));
    for _ in 0..8 {
        vault.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    }
    let told = shards.map(|shard| vault.events(&matcher(), &members(), shard, 1, 8).expect("readable").0);
    for (one, other) in told[0].iter().zip(&told[1]) {
        let seen = [one, other].map(|item| match &item.news {
            News::Enrolled { palms, probes: Some(probes), elsewhere } => {
                assert_eq!((palms.len(), probes.probes.len()), (2, 2));
                assert!(palms.iter().all(|palm| palm.references.is_empty() == *elsewhere));
                *elsewhere
            }
            other => panic!("not an enrollment with probes: {other:?}"),
        });
        assert_eq!(seen, shards.map(|shard| !shard.holds(one.subject)), "one shard has each");
    }
}

#[test]
fn a_subject_is_active_when_every_shard_of_one_division_has_searched() {
    let world = World::new();
    let vault = world.open();
    let shard = |index, count| Shard::new(index, count).expect("a part");
    for (sequence, (words, active)) in (1_u64..).step_by(2).zip([
        (vec![shard(0, 2), shard(1, 2)], true),
        (vec![shard(1, 3), shard(0, 2), shard(0, 3), shard(2, 3)], true),
        (vec![Shard::WHOLE], true),
        (vec![shard(0, 2), shard(0, 3), shard(1, 3)], false),
    ]) {
        vault.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
        let says = |(number, shard): (usize, &Shard)| {
            let device = peer("matcher", &format!("m-{number}"));
            vault.report_verdict(&device, &world.call(0), &members(), sequence, *shard, None).expect("taken")
        };
        let states: Vec<_> = words.iter().enumerate().map(says).collect();
        let (last, before) = states.split_last().expect("somebody spoke");
        assert!(before.iter().all(|state| *state == Some(State::Pending)), "{words:?}: {states:?}");
        assert_eq!(*last == Some(State::Active), active, "{words:?}: {states:?}");
    }
}

#[test]
fn one_replica_of_a_shard_is_enough_and_the_others_are_not_asked() {
    let world = World::new();
    let vault = world.open();
    let half = Shard::new(0, 2).expect("a part");
    vault.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    let asked = |device| {
        let items = vault.events(&peer("matcher", device), &members(), half, 1, 1).expect("readable").0;
        matches!(items[0].news, News::Enrolled { probes: Some(_), .. })
    };
    let report = |device| vault.report_verdict(&peer("matcher", device), &world.call(0), &members(), 1, half, None);
    assert!(asked("m-1") && asked("m-2"));
    assert_eq!(report("m-1").expect("taken"), Some(State::Pending));
    assert!(!asked("m-1") && !asked("m-2"), "this half has been searched");
    assert_eq!(report("m-2").expect("taken"), Some(State::Pending), "the same half twice is not the whole");
}

#[test]
fn keys_alone_make_no_follower() {
    let world = World::new();
    let vault = world.open();
    vault.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    let start = vault.follow(&matcher(), &members(), 1, Wanted::Keys).expect("followed");
    assert!(start.connection.is_none());
    assert_eq!(start.last_sequence, 1);
    let status = vault.status(&operator()).expect("status");
    assert!(status[0].followers.is_empty());
}
