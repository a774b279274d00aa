//! Feeds that break, jump, repeat and change.

use std::time::Duration;

use volar_core::id::SubjectId;
use volar_core::template::Template;
use volar_matcher::testing::subject;
use volar_proto::v1;
use volar_proto::v1::feed_event::Change;
use volar_proto::v1::follow_response::Item;

use crate::vault::{caught_up, enrolled, event, start, ticket_key};
use crate::world::{World, eventually};

fn activated() -> Change {
    Change::Activated(v1::SubjectActivated {})
}

/// A world whose vault has enrolled and activated `templates`; the matcher has not been let near it yet if `script`
/// makes a first stream of these events.
async fn scripted(seed: u64, count: u32, script: impl FnOnce(&[Item]) -> Vec<Item>) -> (World, Vec<Template>) {
    let mut world = World::new(seed).await;
    world.becomes_ready().await;
    // Cut the line, and play the script when the matcher comes again.
    let templates: Vec<Template> = (0..count).map(|_| world.palms.template()).collect();
    let mut events = Vec::new();
    for (number, template) in (1..).zip(&templates) {
        let sequence = 2 * u64::from(number) - 1;
        events.push(event(sequence, subject(number), enrolled(&[world.palms.reference(template)], None)));
        events.push(event(sequence + 1, subject(number), activated()));
    }
    {
        let mut books = world.vault.books();
        books.events = events;
        let items: Vec<Item> = books.events.iter().cloned().map(Item::Event).collect();
        let mut played = vec![start(&books)];
        played.extend(script(&items));
        books.follows.clear();
        books.scripts.push_back(played);
    }
    world.vault.poke();
    (world, templates)
}

async fn all_admitted(world: &World, templates: &[Template]) {
    world.took_effect(2 * templates.len() as u64).await;
    for template in templates {
        assert_eq!(world.says(template, "a").await, ("admitted", "MATCH"));
    }
}

#[tokio::test]
async fn a_gap_is_noticed_and_closed() {
    let (world, templates) =
        scripted(40, 3, |events| vec![events[0].clone(), events[1].clone(), events[3].clone()]).await;
    all_admitted(&world, &templates).await;
    assert_eq!(world.vault.books().follows, [1, 3], "again from the last good one");
}

#[tokio::test]
async fn events_out_of_order_are_noticed() {
    let (world, templates) = scripted(41, 3, |events| vec![events[1].clone(), events[0].clone()]).await;
    all_admitted(&world, &templates).await;
    assert_eq!(world.vault.books().follows, [1, 1]);
}

#[tokio::test]
async fn a_caught_up_that_promises_more_than_came_is_a_gap() {
    let (world, templates) = scripted(42, 2, |events| vec![events[0].clone(), caught_up(4)]).await;
    all_admitted(&world, &templates).await;
    assert_eq!(world.vault.books().follows, [1, 2]);
}

#[tokio::test]
async fn repeated_events_do_no_harm() {
    let (world, templates) = scripted(43, 2, |events| {
        [0, 0, 1, 0, 1, 2, 2, 3, 1].iter().map(|&at: &usize| events[at].clone()).chain([caught_up(4)]).collect()
    })
    .await;
    all_admitted(&world, &templates).await;
    assert_eq!(world.gallery.palms(), (2, 0));
    eventually("followed again", || world.vault.books().follows.len() == 2).await;
    assert_eq!(world.vault.books().follows, [1, 5], "the stream was good to its end");
}

#[tokio::test]
async fn damaged_events_are_not_taken() {
    let damage: [fn(&mut v1::FeedEvent); 6] = [
        |event| event.subject_id.truncate(15),
        |event| event.change = None,
        |event| palm(event).references[0].embedding[0] = f32::NAN,
        |event| palm(event).references.clear(),
        |event| palm(event).position = 0,
        |event| enrolment(event).verdict_wanted = true,
    ];
    for (number, damage) in damage.into_iter().enumerate() {
        let (world, templates) = scripted(44 + number as u64, 2, |events| {
            let Item::Event(mut third) = events[2].clone() else { panic!("an event") };
            damage(&mut third);
            vec![events[0].clone(), events[1].clone(), Item::Event(third), events[3].clone()]
        })
        .await;
        all_admitted(&world, &templates).await;
        assert_eq!(world.vault.books().follows, [1, 3], "{number}");
    }
}

fn enrolment(event: &mut v1::FeedEvent) -> &mut v1::SubjectEnrolled {
    match event.change.as_mut() {
        Some(Change::Enrolled(enrolled)) => enrolled,
        _ => panic!("an enrolment"),
    }
}

fn palm(event: &mut v1::FeedEvent) -> &mut v1::EnrolledPalm {
    &mut enrolment(event).palms[0]
}

#[tokio::test]
async fn events_that_do_not_fit_what_came_before_are_not_taken() {
    let strange: SubjectId = subject(77);
    for (seed, number) in [(50, 1), (51, 77)] {
        let (world, templates) = scripted(seed, 2, |events| {
            // Enrolled twice, or activated and never enrolled.
            let Item::Event(first) = events[0].clone() else { panic!("an event") };
            let bad = if number == 1 {
                event(3, subject(1), first.change.expect("set"))
            } else {
                event(3, strange, activated())
            };
            vec![events[0].clone(), events[1].clone(), Item::Event(bad)]
        })
        .await;
        all_admitted(&world, &templates).await;
        assert_eq!(world.vault.books().follows, [1, 3]);
    }
}

#[tokio::test]
async fn a_stream_must_begin_with_its_start() {
    let mut world = World::new(52).await;
    {
        let mut books = world.vault.books();
        let epoch = books.key_epoch;
        let opening = start(&books);
        books.scripts.push_back(vec![ticket_key(epoch), opening.clone(), caught_up(0)]);
        books.scripts.push_back(vec![opening.clone(), opening, caught_up(0)]);
        books.scripts.push_back(Vec::new());
    }
    world.becomes_ready().await;
    assert!(world.vault.books().follows.len() >= 3);
}

#[tokio::test]
async fn nothing_is_answered_before_the_gallery_is_whole() {
    let mut world = World::ready(53).await;
    let anna = world.palms.template();
    world.vault.books().says_caught_up = false;
    let mut world = world.restart_matcher().await;
    let sequence = world.vault.enroll(subject(1), &[world.palms.reference(&anna)], &world.palms.probe(&anna));
    world.took_effect(sequence).await;
    assert!(!*world.ready.borrow());
    let fault = world.identify(&anna, "a").await.expect_err("not ready");
    assert_eq!((fault.code, fault.reason), (tonic::Code::Unavailable, "GALLERY_NOT_READY"));
    assert!(fault.retry_after.is_some());
    world.vault.books().says_caught_up = true;
    world.vault.poke();
    world.becomes_ready().await;
}

#[tokio::test]
async fn another_feed_starts_over_from_empty() {
    let mut world = World::ready(54).await;
    let (anna, bert) = (world.palms.template(), world.palms.template());
    world.admit(1, &anna).await;
    world.admit(2, &bert).await;
    // Restored from a copy in which there is only Bert.
    {
        let mut books = world.vault.books();
        books.feed_id = "second".to_owned();
        books.events = vec![
            event(1, subject(2), enrolled(&[world.palms.reference(&bert)], None)),
            event(2, subject(2), activated()),
        ];
        books.follows.clear();
        books.acknowledged.clear();
    }
    world.vault.hang_up();
    world.took_effect(2).await;
    world.becomes_ready().await;
    assert_eq!(world.says(&anna, "a").await, ("no-match", "BELOW_THRESHOLD"));
    assert_eq!(world.says(&bert, "a").await, ("admitted", "MATCH"));
    let follows = world.vault.books().follows.clone();
    assert_eq!(follows[follows.len() - 2..], [5, 1], "asked for what follows, then for everything");
}

#[tokio::test]
async fn a_feed_that_lost_its_end_or_is_protected_anew_starts_over() {
    for (seed, generation) in [(55, 1), (56, 2)] {
        let mut world = World::ready(seed).await;
        let (anna, bert) = (world.palms.template(), world.palms.template());
        world.admit(1, &anna).await;
        world.admit(2, &bert).await;
        {
            let mut books = world.vault.books();
            books.generation = generation;
            books.acknowledged.clear();
            if generation == 1 {
                books.events.truncate(2);
            }
        }
        let last = world.vault.books().events.len() as u64;
        world.vault.hang_up();
        world.took_effect(last).await;
        world.becomes_ready().await;
        let mut request = world.request(&anna, "a");
        request.probes[0].generation = generation;
        assert_eq!(world.send(request).await.expect("an answer").decision.as_str(), "admitted");
        assert_eq!(world.gallery.palms(), (last as usize / 2, 0));
    }
}

#[tokio::test]
async fn doors_open_while_the_vault_restarts() {
    let mut world = World::ready(57).await;
    let (anna, bert) = (world.palms.template(), world.palms.template());
    world.admit(1, &anna).await;
    world.vault.go_away().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(*world.ready.borrow(), "still serving");
    assert_eq!(world.says(&anna, "a").await, ("admitted", "MATCH"));
    // Something happens before the matcher is back.
    let before = {
        let mut books = world.vault.books();
        books.events.push(event(3, subject(2), enrolled(&[world.palms.reference(&bert)], None)));
        books.events.push(event(4, subject(2), activated()));
        books.events.push(event(5, subject(1), Change::Erased(v1::SubjectErased {})));
        books.acknowledged.clear();
        books.follows.len()
    };
    world.vault.come_back().await;
    world.took_effect(5).await;
    assert_eq!(world.vault.books().follows[before], 3, "from where it was");
    assert_eq!(world.says(&anna, "a").await, ("no-match", "BELOW_THRESHOLD"));
    assert_eq!(world.says(&bert, "a").await, ("admitted", "MATCH"));
    // A vault that restarts has forgotten what was acknowledged, and hears it again.
    world.vault.books().acknowledged.clear();
    world.vault.go_away().await;
    world.vault.come_back().await;
    world.took_effect(5).await;
}

#[tokio::test]
async fn a_vault_in_trouble_is_asked_ever_less_often() {
    let mut world = World::ready(58).await;
    let anna = world.palms.template();
    // Closes four streams at once.
    world.vault.books().scripts.extend([Vec::new(), Vec::new(), Vec::new()]);
    world.vault.hang_up();
    let started = std::time::Instant::now();
    world.admit(1, &anna).await;
    let least = Duration::from_millis(100 + 200 + 400 + 800);
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
    assert_eq!(world.vault.books().follows, [1, 1, 1, 1, 1, 1]);
}
