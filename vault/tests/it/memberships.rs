//! People of several galleries, and galleries of some sites alone.

use volar_core::id::GalleryId;
use volar_core::shard::Shard;
use volar_core::template::Position;
use volar_core::ticket::{Purpose, Ticket};
use volar_vault::config::GalleryConfig;
use volar_vault::enrollment::{Enroll, Join};
use volar_vault::erasure::Erase;
use volar_vault::feed::{FeedItem, News, Wanted};
use volar_vault::format::v1::State;
use volar_vault::vault::Vault;

use crate::people;
use crate::world::{World, checkout, kiosk, matcher, members, operator, payment, peer, slug, suspicion};

fn staff() -> GalleryId {
    slug("staff")
}

/// Tenant "acme" with a gallery for every site, one for its site "north" and one for its site "south".
fn world() -> World {
    let mut world = World::new();
    let gallery = |id, site| GalleryConfig { id: slug(id), model: slug("palm-lines-3"), sites: [slug(site)].into() };
    world.settings.tenants[0].1.extend([gallery("staff", "north"), gallery("depot", "south")]);
    world
}

fn join(world: &World, gallery: GalleryId) -> Join {
    let palm = |position| people::palm(&*world.randomness, position, 2, 3);
    let palms = vec![palm(Position::Left), palm(Position::Right)];
    Join { gallery, generation: 1, model: slug("palm-lines-3"), palms }
}

fn request(world: &World, galleries: &[GalleryId]) -> Enroll {
    let memberships = galleries.iter().map(|gallery| join(world, gallery.clone())).collect();
    Enroll { memberships, consent: Some(world.consent()), payment_follows: true }
}

fn feed(vault: &Vault, gallery: &GalleryId) -> Vec<FeedItem> {
    vault.events(&matcher(), gallery, Shard::WHOLE, 1, 100).expect("readable").0
}

fn clear(world: &World, vault: &Vault, gallery: &GalleryId, sequence: u64) -> Option<State> {
    vault.report_verdict(&matcher(), &world.call(0), gallery, sequence, Shard::WHOLE, None).expect("taken")
}

#[tokio::test]
async fn somebody_of_two_galleries_is_in_both_until_they_leave_both() {
    let world = world();
    let vault = world.open();
    // Somebody of one gallery before, so that the two feeds count differently.
    world.member(&vault);
    let sent = request(&world, &[members(), staff()]);
    let enrollment = vault.enroll(&kiosk(), &world.call(0), &sent).expect("enrolled");
    let mut subjects = Vec::new();
    for (join, (gallery, sequence)) in sent.memberships.iter().zip([(members(), 3), (staff(), 1)]) {
        let item = feed(&vault, &gallery).pop().expect("an event");
        assert_eq!(item.sequence, sequence, "{gallery}");
        let News::Enrolled { palms, probes: Some(probes), .. } = item.news else { panic!("a verdict is wanted") };
        for ((palm, probe), sent) in palms.iter().zip(&probes.probes).zip(&join.palms) {
            assert_eq!(palm.references[0].embedding, sent.references[0].embedding.expose(), "{gallery}");
            assert_eq!(probe.embedding, sent.probe.embedding.expose(), "{gallery}");
        }
        assert_eq!((palms.len(), probes.probes.len()), (2, 2), "each gallery gets its own palms and no other");
        subjects.push(item.subject);
    }
    let anna = subjects[0];
    assert_eq!(subjects[1], anna, "one person");

    // Nobody is admitted anywhere before every gallery was searched for duplicates.
    assert_eq!(clear(&world, &vault, &members(), 3), Some(State::Pending));
    let again = feed(&vault, &members()).pop().expect("an event").news;
    assert!(matches!(again, News::Enrolled { probes: None, .. }), "the word of this gallery is in");
    assert_eq!(clear(&world, &vault, &staff(), 1), Some(State::Active));
    for gallery in [members(), staff()] {
        let last = feed(&vault, &gallery).pop().expect("an event");
        assert!(last.subject == anna && matches!(last.news, News::Activated), "{gallery}: {last:?}");
        let page = vault.subjects(&operator(), &gallery, Some(State::Active), 0, "").expect("readable");
        assert!(page.subjects.iter().any(|(subject, _)| *subject == anna), "{gallery}");
    }
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");

    // Tickets of both are theirs, of a third gallery none is.
    let ticket = |gallery| {
        let ticket = Ticket { gallery, ..world.ticket(anna, Purpose::Admission) };
        ticket.seal(&vault.ticket_key(&matcher()).expect("a key"), &*world.randomness)
    };
    for gallery in [members(), staff()] {
        vault.claim(&checkout(), &world.call(0), &ticket(gallery)).expect("claimed");
    }
    let elsewhere = vault.claim(&checkout(), &world.call(0), &ticket(slug("depot"))).map(drop);
    assert!(elsewhere.expect_err("not there").to_string().contains("no such subject"));

    let exported = vault.export_subject(&operator(), &world.call(0), anna, true).expect("exported");
    let held: Vec<_> = exported.memberships.iter().map(|held| (held.gallery.clone(), held.palms.len())).collect();
    assert_eq!(held, [(members(), 2), (staff(), 2)]);

    // A matcher that has not taken it in in one gallery has not taken it in.
    let wanted = Wanted::Events(Shard::WHOLE);
    let follow = |device: &str, gallery: &GalleryId, from| {
        vault.follow(&peer("matcher", device), gallery, from, wanted).expect("followed")
    };
    let late = (follow("m-2", &members(), 5), follow("m-2", &staff(), 3));
    let erasing = tokio::spawn({
        let (vault, call) = (vault.clone(), world.call(0));
        async move { vault.erase(&operator(), call, Erase::Subject(anna)).await.expect("erased") }
    });
    let taken = || vault.acknowledge(&peer("matcher", "m-2"), &staff(), 3);
    while taken().is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let receipt = erasing.await.expect("no panic");
    assert_eq!((receipt.confirmed, receipt.pending), (vec![], vec![slug("m-2")]));
    for gallery in [members(), staff()] {
        for item in feed(&vault, &gallery).iter().filter(|item| item.subject == anna) {
            assert!(matches!(item.news, News::Erased), "{gallery}: {item:?}");
        }
        let page = vault.subjects(&operator(), &gallery, None, 0, "").expect("readable");
        assert!(page.subjects.iter().all(|(subject, _)| *subject != anna), "{gallery}");
    }
    let status = vault.status(&operator()).expect("readable");
    let active: Vec<_> = status.iter().map(|of| (of.gallery.as_str(), of.head.active)).collect();
    assert_eq!(active, [("depot", 0), ("members", 1), ("staff", 0)]);
    drop((late, vault));
    // Nothing of theirs is left for the next start to find.
    let vault = world.open();
    assert_eq!(feed(&vault, &staff()).len(), 3);
}

#[tokio::test]
async fn a_suspicion_in_one_gallery_holds_in_all() {
    let world = world();
    let vault = world.open();
    let bert = world.member(&vault);
    vault.enroll(&kiosk(), &world.call(0), &request(&world, &[staff(), members()])).expect("enrolled");
    let suspected =
        vault.report_verdict(&matcher(), &world.call(0), &members(), 3, Shard::WHOLE, Some(suspicion(bert)));
    assert_eq!(suspected.expect("taken"), Some(State::InReview));
    for gallery in [members(), staff()] {
        let last = feed(&vault, &gallery).pop().expect("an event");
        assert!(matches!(last.news, News::Held), "{gallery}: {last:?}");
    }
    assert_eq!(clear(&world, &vault, &staff(), 1), Some(State::InReview), "a person decides now");
}

#[test]
fn a_gallery_of_some_sites_is_for_no_other() {
    let world = world();
    let vault = world.open();
    let refused = vault.give_protection(&kiosk(), &slug("depot")).map(drop).expect_err("of the south");
    assert!(refused.to_string().contains("not for site \"north\""), "{refused}");
    vault.give_protection(&kiosk(), &staff()).expect("of the north");
    let all = request(&world, &[members(), slug("depot")]);
    let refused = vault.enroll(&kiosk(), &world.call(0), &all).expect_err("all or none");
    assert!(refused.to_string().contains("gallery \"depot\" is not for site \"north\""), "{refused}");
    assert!(feed(&vault, &members()).is_empty());
    let start = vault.follow(&matcher(), &staff(), 1, Wanted::Keys).expect("followed");
    assert_eq!(start.sites, [slug("north")].into(), "matchers hear of it");
}

#[test]
fn lists_of_galleries_are_checked() {
    let mut world = world();
    let more = |id| GalleryConfig { id: slug(id), model: slug("palm-lines-3"), sites: Default::default() };
    world.settings.tenants[0].1.extend([more("b"), more("c")]);
    let vault = world.open();
    let refused = |galleries: &[GalleryId]| {
        let refused = vault.enroll(&kiosk(), &world.call(0), &request(&world, galleries));
        refused.expect_err("refused").to_string()
    };
    assert!(refused(&[]).contains("must be 1 to 3"));
    assert!(refused(&[members(), staff(), slug("b"), slug("c")]).contains("must be 1 to 3"));
    assert!(refused(&[members(), staff(), members()]).contains("\"members\" is named twice"));
    let mut uneven = request(&world, &[members(), staff()]);
    uneven.memberships[1].palms.pop();
    let error = vault.enroll(&kiosk(), &world.call(0), &uneven).expect_err("refused").to_string();
    assert!(error.contains("same hands"), "{error}");
    let mut old = request(&world, &[members(), staff()]);
    old.memberships[1].generation = 7;
    assert!(vault.enroll(&kiosk(), &world.call(0), &old).is_err(), "every gallery's generation counts");
    assert!(feed(&vault, &members()).is_empty());
}
