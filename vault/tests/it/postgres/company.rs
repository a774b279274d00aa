//! Several vaults over one database and one key table at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use volar_core::id::SubjectId;
use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::{News, Wanted};
use volar_vault::format::v1::State;
use volar_vault::vault::Vault;

use crate::world::{SharedPostgres, WorldOver, checkout, kiosk, matcher, members, operator, payment, peer, slug};

type World = WorldOver<SharedPostgres>;

const VAULTS: usize = 3;

fn vaults(world: &World) -> Vec<Arc<Vault>> {
    (0..VAULTS).map(|_| world.open()).collect()
}

/// Kiosks, a matcher and a checkout, each at another vault from call to call: everybody is enrolled once, told once, judged,
/// and pays once; nobody has another's key.
#[test]
fn what_one_vault_begins_the_others_go_on_with() {
    let world = World::new();
    let vaults = vaults(&world);
    let people = 6;
    std::thread::scope(|scope| {
        for at in 0..VAULTS {
            let (world, vaults) = (&world, &vaults);
            scope.spawn(move || {
                for step in 0..people {
                    let next = |by: usize| &vaults[(at + step + by) % VAULTS];
                    let enroll = (world.call(0), world.request(true));
                    let enrollment = next(0).enroll(&kiosk(), &enroll.0, &enroll.1).expect("enrolled");
                    let again = next(1).enroll(&kiosk(), &enroll.0, &enroll.1).expect("the same answer");
                    assert_eq!(again, enrollment, "a call repeated at another vault is one call");
                    next(2).bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
                }
            });
        }
    });
    let total = (VAULTS * people) as u64;
    let feeds: Vec<Vec<(u64, SubjectId)>> = vaults
        .iter()
        .map(|vault| world.feed(vault).iter().map(|item| (item.sequence, item.subject)).collect())
        .collect();
    assert!(feeds.iter().all(|feed| *feed == feeds[0]), "one feed, whoever tells it");
    assert_eq!(feeds[0].iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=total).collect::<Vec<_>>());
    assert_eq!(feeds[0].iter().map(|(_, subject)| *subject).collect::<BTreeSet<_>>().len() as u64, total);
    for (number, (sequence, subject)) in feeds[0].iter().enumerate() {
        let at = |by: usize| &vaults[(number + by) % VAULTS];
        let state = at(0).report_verdict(&matcher(), &world.call(0), &members(), *sequence, Shard::WHOLE, None);
        assert_eq!(state.expect("taken"), Some(State::Active));
        let ticket = world.sealed(at(1), *subject, Purpose::Admission);
        let claim = (world.call(0), ticket);
        at(2).claim(&checkout(), &claim.0, &claim.1).expect("pays");
        at(0).claim(&checkout(), &claim.0, &claim.1).expect("the same answer");
        let twice = at(1).claim(&checkout(), &world.call(0), &claim.1);
        assert!(matches!(twice, Err(VaultError::TicketAlreadyClaimed)), "{:?}", twice.map(drop));
    }
    drop(vaults);
    // The first to come looks at every slot and everybody's place.
    let vault = world.open();
    let whole = world.feed(&vault).into_iter().filter(|item| matches!(item.news, News::Enrolled { .. })).count();
    assert_eq!(whole as u64, total);
}

/// Enrolments and erasures at every vault at once: slots go round between them, and nobody's key goes with another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_go_round_between_vaults() {
    let world = Arc::new(World::new());
    let vaults = vaults(&world);
    let mut tasks = Vec::new();
    for at in 0..VAULTS {
        let (world, vaults) = (world.clone(), vaults.clone());
        tasks.push(tokio::spawn(async move {
            let mut kept = Vec::new();
            for round in 0..12 {
                let (here, there) = (vaults[at].clone(), vaults[(at + round) % VAULTS].clone());
                let (call, request) = (world.call(0), world.request(false));
                let asked = here.clone();
                let enrollment = tokio::task::spawn_blocking(move || asked.enroll(&kiosk(), &call, &request));
                let enrollment = enrollment.await.expect("no panic").expect("enrolled");
                if round % 3 == 0 {
                    kept.push(enrollment);
                } else {
                    let call = world.call(0);
                    there.erase(&kiosk(), call, Erase::Cancel(enrollment)).await.expect("erased");
                }
            }
            kept
        }));
    }
    let mut kept = Vec::new();
    for task in tasks {
        kept.extend(task.await.expect("no panic"));
    }
    for (number, enrollment) in kept.iter().enumerate() {
        let standing = vaults[number % VAULTS].standing(&kiosk(), *enrollment).expect("readable");
        assert_eq!(standing.state, Some(State::Pending));
    }
    drop(vaults);
    let vault = world.open();
    assert_eq!(
        kept.iter().filter(|kept| vault.standing(&kiosk(), **kept).is_ok_and(|at| at.state.is_some())).count(),
        12
    );
}

/// A matcher follows one vault, somebody is erased through another: the receipt waits for the matcher all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_erasure_waits_for_followers_of_every_vault() {
    let mut world = World::new();
    world.settings.erasure_wait = Duration::from_secs(15);
    let vaults = vaults(&world);
    let (anna, ben) = (world.member(&vaults[0]), world.member(&vaults[1]));
    let from = world.feed(&vaults[0]).len() as u64 + 1;
    let following = vaults[1].follow(&peer("matcher", "m-1"), &members(), from, Wanted::Events(Shard::WHOLE));
    let following = following.expect("followed");
    let (vault, call) = (vaults[0].clone(), world.call(0));
    let erasing = tokio::spawn(async move { vault.erase(&operator(), call, Erase::Subject(anna)).await });
    let told = |vault: Arc<Vault>| tokio::task::spawn_blocking(move || vault.look_around().expect("readable"));
    for _ in 0..10 {
        told(vaults[0].clone()).await.expect("no panic");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!erasing.is_finished(), "answered before the matcher had forgotten");
    }
    let last = world.feed(&vaults[1]).len() as u64;
    vaults[1].acknowledge(&peer("matcher", "m-1"), &members(), last).expect("taken");
    told(vaults[1].clone()).await.expect("no panic");
    told(vaults[0].clone()).await.expect("no panic");
    let receipt = erasing.await.expect("no panic").expect("erased");
    assert_eq!((receipt.confirmed, receipt.pending), (vec![slug("m-1")], vec![]));

    // A balancer may bring its word to any vault: the one that it follows hears of it.
    let carl = world.member(&vaults[2]);
    let before = world.feed(&vaults[0]).len();
    let (vault, call) = (vaults[1].clone(), world.call(0));
    let erasing = tokio::spawn(async move { vault.erase(&operator(), call, Erase::Subject(carl)).await });
    while world.feed(&vaults[0]).len() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = before as u64 + 1;
    vaults[2].acknowledge(&peer("matcher", "m-1"), &members(), last).expect("taken");
    assert!(!erasing.is_finished(), "it was acknowledged elsewhere");
    told(vaults[1].clone()).await.expect("no panic");
    let receipt = erasing.await.expect("no panic").expect("erased");
    assert_eq!((receipt.confirmed, receipt.pending), (vec![slug("m-1")], vec![]));
    // What the followed vault says of it next takes nothing back.
    for vault in [&vaults[1], &vaults[0]] {
        told(vault.clone()).await.expect("no panic");
    }
    let seen = vaults[0].status(&operator()).expect("readable").remove(0).followers;
    assert_eq!(seen.iter().map(|follower| follower.acknowledged).collect::<Vec<_>>(), [last]);

    // It leaves, which the others hear of; nobody waits for it any more, and the receipt names it as away.
    drop(following);
    told(vaults[1].clone()).await.expect("no panic");
    let begun = std::time::Instant::now();
    let receipt = vaults[2].erase(&operator(), world.call(0), Erase::Subject(ben)).await.expect("erased");
    assert!(begun.elapsed() < Duration::from_secs(10), "waited for one that is away");
    assert_eq!((receipt.confirmed, receipt.pending), (vec![], vec![slug("m-1")]));
    assert!(vaults.iter().all(|vault| vault.look_around().is_ok_and(|sealed| !sealed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn news_of_one_vault_wakes_who_waits_at_another() {
    let world = World::new();
    let vaults = vaults(&world);
    let (enrollment, _, sequence) = world.enroll(&vaults[0]);
    let (vault, wait) = (vaults[1].clone(), Duration::from_secs(10));
    let waiting = tokio::spawn(async move { vault.wait_for_standing(&kiosk(), enrollment, wait).await });
    for looks in 0.. {
        let vault = vaults[1].clone();
        tokio::task::spawn_blocking(move || vault.look_around().expect("readable")).await.expect("no panic");
        if looks == 5 {
            assert!(!waiting.is_finished(), "nothing has happened yet");
            vaults[2]
                .report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None)
                .expect("taken");
        }
        if waiting.is_finished() {
            break;
        }
        assert!(looks < 200, "nobody wakes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(waiting.await.expect("no panic").expect("readable").state, Some(State::Active));
}

/// A configuration with a new tenant, brought to one vault after the other while the rest serve.
#[test]
fn a_tenant_is_added_while_others_serve() {
    let mut world = World::new();
    let backup = |world: &World| Some(crate::backing_up::config(world));
    let gallery = world.settings.tenants[1].1[0].clone();
    let old = world.open_with(backup(&world));
    // The first of all tenants, and one of whose two vaults makes the keys.
    world.settings.tenants.push((slug("aaa"), vec![gallery]));
    let newer: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| world.open_with(backup(&world)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let kiosk = |device| format!("spiffe://volar/aaa/north/kiosk/{device}").parse().expect("a peer's name");
    let enroll = || (world.call(0), world.request(false));
    let enrollments: Vec<_> = newer
        .iter()
        .map(|vault| {
            let (call, request) = enroll();
            vault.enroll(&kiosk("k-1"), &call, &request).expect("enrolled")
        })
        .collect();
    assert!(matches!(old.standing(&kiosk("k-1"), enrollments[0]), Err(VaultError::TenantUnknown { .. })));
    let (call, request) = enroll();
    old.enroll(&crate::world::kiosk(), &call, &request).expect("enrolled");
    for vault in newer.iter().chain([&old]) {
        vault.back_up().expect("backed up");
    }
    drop((old, newer));
    crate::backing_up::lose(&world);
    let world = world.with(crate::world::Sled);
    assert_eq!(crate::backing_up::restore_newest(&world).subjects, 3, "the one that has never heard of the tenant");
    let vault = world.open();
    for enrollment in enrollments {
        assert_eq!(vault.standing(&kiosk("k-1"), enrollment).expect("readable").state, Some(State::Pending));
    }
}

/// A vault dies between marking somebody erased and destroying their key; another goes on.
#[tokio::test]
async fn an_erasure_that_one_vault_began_another_finishes() {
    let world = World::new();
    let vaults = vaults(&world);
    let anna = world.member(&vaults[0]);
    let keys = || {
        let bytes = std::fs::read(world.path("keys")).expect("readable");
        bytes[4096..].chunks(128).filter(|slot| slot.iter().any(|&byte| byte != 0)).count()
    };
    let erased = || world.feed(&vaults[1]).iter().any(|item| item.subject == anna && matches!(item.news, News::Erased));
    {
        // Asked once it begins; never asked again it gets no further than the mark.
        let peer = operator();
        let mut erasing = Box::pin(vaults[0].erase(&peer, world.call(0), Erase::Subject(anna)));
        assert!(futures::poll!(&mut erasing).is_pending());
        let begun = std::time::Instant::now();
        while !erased() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never marked");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(keys(), 1, "the mark alone");
    assert_eq!(vaults[1].sweep().expect("swept"), 0, "nobody else's time is over");
    assert_eq!(keys(), 0);
    let ticket = world.sealed(&vaults[2], anna, Purpose::Admission);
    let claimed = vaults[2].claim(&checkout(), &world.call(0), &ticket).map(drop);
    assert!(matches!(claimed, Err(VaultError::SubjectErased)), "{claimed:?}");
}
