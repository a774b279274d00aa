//! Lanes that search several galleries, and galleries of some sites alone.

use std::sync::Arc;

use tonic::Code;
use volar_core::challenge::{self, Challenge};
use volar_core::id::GalleryId;
use volar_core::score::Score;
use volar_core::template::Template;
use volar_core::ticket::Ticket;
use volar_matcher::decision::{Decision, DecisionPolicy};
use volar_matcher::identify::{Answer, Matcher, ServedGallery};
use volar_matcher::parameters::SEARCH_WAIT_MAX;
use volar_matcher::pool::SearchPool;
use volar_matcher::search::{LocalSearch, Searched, judge};
use volar_matcher::tail_watch::TailWatch;
use volar_matcher::testing::{score_model, subject};
use volar_matcher::verify::Candidate;
use volar_proto::v1;
use volar_service::fault::Fault;
use volar_service::identity::Role;

use crate::vault::{opening_key, wire_probe};
use crate::world::{World, matcher, peer};

/// One matcher of two galleries, each followed from a vault of its own.
struct Lanes {
    members: World,
    staff: World,
    matcher: Arc<Matcher>,
}

impl Lanes {
    async fn new(seed: u64) -> Self {
        let (members, staff) = (World::ready(seed).await, World::ready(seed + 1_000).await);
        let pool = Arc::new(SearchPool::searching(2, SEARCH_WAIT_MAX).expect("two threads"));
        let search = |world: &World| {
            let (gallery, ready) = (world.gallery.clone(), world.ready.clone());
            Arc::new(LocalSearch { gallery, ready, pool: pool.clone() })
        };
        let (tickets, shard) = (members.matcher.tickets.clone(), members.matcher.shard);
        let made = matcher(shard, search(&members), tickets, members.clock.clone(), Some(members.vault.channel()));
        let mut made = Arc::into_inner(made).expect("nobody else has it yet");
        let tail = TailWatch::new(DecisionPolicy::default().step_up_fpir);
        made.galleries.insert(id("staff"), ServedGallery { search: search(&staff), tail });
        Self { members, staff, matcher: Arc::new(made) }
    }

    async fn ask(&self, template: &Template, galleries: &[&str]) -> Result<Answer, Fault> {
        let mut request = self.members.request(template, "a");
        let probe = wire_probe(&self.members.palms.probe(template));
        let probe = |gallery: &&str| v1::GalleryProbe {
            gallery: (*gallery).to_owned(),
            probe: Some(probe.clone()),
            ..request.probes[0].clone()
        };
        request.probes = galleries.iter().map(probe).collect();
        self.matcher.identify(peer(Role::Gate), request).await
    }

    async fn says(&self, template: &Template, galleries: &[&str]) -> (&'static str, &'static str) {
        let answer = self.ask(template, galleries).await.expect("an answer");
        (answer.decision.as_str(), answer.reason.as_str())
    }

    fn found_in(&self, answer: &Answer) -> GalleryId {
        let (_, sealed) = answer.ticket.as_ref().expect("a ticket");
        Ticket::open(sealed, self.members.now(), opening_key).expect("opens").gallery
    }
}

fn id(name: &str) -> GalleryId {
    name.parse().expect("a slug")
}

#[tokio::test]
async fn a_lane_searches_the_galleries_that_it_asks_for_and_no_other() {
    let mut lanes = Lanes::new(80).await;
    let (anna, bert, nobody) =
        (lanes.members.palms.template(), lanes.members.palms.template(), lanes.members.palms.template());
    lanes.members.admit(1, &anna).await;
    lanes.staff.admit(2, &bert).await;
    let (again, others) = (lanes.members.palms.mate(&bert), ["staff", "members"]);
    let answer = lanes.ask(&again, &others).await.expect("an answer");
    assert_eq!(answer.decision, Decision::Admitted(subject(2)));
    assert_eq!(lanes.found_in(&answer), id("staff"));
    let answer = lanes.ask(&anna, &others).await.expect("an answer");
    assert_eq!(answer.decision, Decision::Admitted(subject(1)));
    assert_eq!(lanes.found_in(&answer), id("members"));
    assert_eq!(lanes.says(&nobody, &others).await, ("no-match", "BELOW_THRESHOLD"));
    assert_eq!(lanes.says(&bert, &["members"]).await.0, "no-match", "enrolled elsewhere");
    assert_eq!(lanes.says(&anna, &["staff"]).await.0, "no-match", "enrolled elsewhere");
}

#[tokio::test]
async fn somebody_in_two_galleries_is_one_person_and_two_people_are_two() {
    let mut lanes = Lanes::new(81).await;
    let (anna, twin) = (lanes.members.palms.template(), lanes.members.palms.template());
    // One person in both; and one palm of two persons, one in each.
    lanes.members.admit(1, &anna).await;
    lanes.staff.admit(1, &anna).await;
    lanes.members.admit(2, &twin).await;
    lanes.staff.admit(3, &twin).await;
    let both = ["members", "staff"];
    assert_eq!(lanes.says(&anna, &both).await, ("admitted", "MATCH"));
    let answer = lanes.ask(&twin, &both).await.expect("an answer");
    assert_eq!((answer.decision.as_str(), answer.reason.as_str()), ("step-up", "CLOSE_SECOND"));
    let sealed = answer.challenge.expect("a challenge");
    let challenge = Challenge::open(&sealed, lanes.members.now(), opening_key).expect("opens");
    let mut named: Vec<challenge::Candidate> = challenge.candidates().cloned().collect();
    named.sort_by_key(|candidate| candidate.subject);
    let of = |number, gallery| challenge::Candidate { subject: subject(number), gallery: id(gallery) };
    assert_eq!(named, [of(2, "members"), of(3, "staff")]);
}

#[test]
fn the_threshold_is_that_of_all_galleries_together() {
    let (policy, model) = (DecisionPolicy::default(), score_model());
    let (one, both) = (policy.thresholds(&model, 100_000), policy.thresholds(&model, 200_000));
    assert!(one.admit < both.admit, "more references, a higher threshold");
    let score = Score::from_decades(f64::midpoint(one.admit.value().into(), both.admit.value().into()));
    let found = Candidate { subject: subject(1), score };
    let searched = |candidates| Searched { candidates, references: 100_000, complete: true };
    let alone = judge(&[searched(vec![found])], &policy, &model);
    assert_eq!(alone.decision, Decision::Admitted(subject(1)), "enough in a gallery of that size");
    let together = judge(&[searched(vec![]), searched(vec![found])], &policy, &model);
    assert_eq!(together.decision, Decision::StepUp, "not in two of them");
    assert_eq!((together.top, together.strangers), (Some((score, 1)), vec![None, None]));
}

#[tokio::test]
async fn a_gallery_of_other_sites_is_refused_until_the_vault_says_otherwise() {
    let mut lanes = Lanes::new(83).await;
    let anna = lanes.members.palms.template();
    lanes.members.admit(1, &anna).await;
    lanes.staff.gallery.restrict_to(["south".parse().expect("a slug")].into());
    let fault = lanes.ask(&anna, &["members", "staff"]).await.expect_err("refused");
    assert_eq!((fault.code, fault.reason), (Code::PermissionDenied, "GALLERY_NOT_FOR_SITE"));
    assert_eq!(lanes.says(&anna, &["members"]).await.0, "admitted");

    // As the feed says at each start, without anybody being forgotten.
    lanes.members.vault.books().sites = vec!["south".to_owned()];
    lanes.members.vault.hang_up();
    let gallery = lanes.members.gallery.clone();
    let north = "north".parse().expect("a slug");
    crate::world::eventually("closed to the north", || !gallery.serves(&north)).await;
    assert_eq!(lanes.ask(&anna, &["members"]).await.expect_err("refused").reason, "GALLERY_NOT_FOR_SITE");
    lanes.members.vault.books().sites = vec!["north".to_owned(), "south".to_owned()];
    lanes.members.vault.hang_up();
    crate::world::eventually("open to the north", || gallery.serves(&north)).await;
    assert_eq!(gallery.palms(), (1, 0), "the same palms");
    assert_eq!(lanes.says(&anna, &["members"]).await.0, "admitted");
}

#[tokio::test]
async fn lists_of_galleries_are_checked_and_all_of_them_count() {
    let mut lanes = Lanes::new(84).await;
    let anna = lanes.members.palms.template();
    lanes.members.admit(1, &anna).await;
    for (galleries, reason) in [
        (&[][..], "FIELD_INVALID"),
        (&["members", "members"], "FIELD_INVALID"),
        (&["members", "staff", "a", "b"], "FIELD_INVALID"),
        (&["members", "guests"], "GALLERY_UNKNOWN"),
    ] {
        assert_eq!(lanes.ask(&anna, galleries).await.expect_err("refused").reason, reason, "{galleries:?}");
    }
    // A gallery that is not there keeps the lane from saying that somebody is nobody.
    lanes.staff.gallery.forget();
    let fault = lanes.ask(&anna, &["members", "staff"]).await.expect_err("not ready");
    assert_eq!((fault.code, fault.reason), (Code::Unavailable, "GALLERY_NOT_READY"));
}
