//! Every edge of the state machine, replayed without a sensor, a server or a clock.

use volar_core::id::EnrollmentId;
use volar_core::randomness::{Randomness, SeededRandomness};
use volar_core::template::{
    EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, ORIENTATIONS, OrientationField, Quality, Template,
};
use volar_palm::guidance::Guidance;
use volar_palm::guided::Presence;
use volar_palm::outline::Outline;
use volar_palm::pipeline::Capture;
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use zeroize::Zeroizing;

use super::*;
use crate::parameters::VERDICT_PATIENCE;
use crate::payment::{Display, PaymentError, PaymentReference};

mod factors;
mod swapped;

const START: Timestamp = Timestamp::from_unix_milliseconds(1_000_000);
const SIZE: (u32, u32) = (640, 480);
/// Views of a hand that complete its capture.
const VIEWS: usize = 5;

/// A session and the time at which things happen to it.
struct Visit {
    session: Session,
    now: Timestamp,
    seen: u64,
}

impl Visit {
    fn with(rules: Rules) -> Self {
        let mut session = Session::new(rules, START);
        session.vault_lacks(None);
        Self { session, now: START, seen: 0 }
    }

    fn new() -> Self {
        Self::with(Rules {
            session: SessionConfig::default(),
            capture: CaptureConfig::default(),
            scores: ScoreModel::for_model(&"palm-lines-3".parse().expect("a slug")).expect("calibrated"),
            language: Language::En,
            second_factor: false,
            payment_required: false,
        })
    }

    fn screen(&self) -> &'static str {
        self.session.screen()
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now = self.now.after(Duration::from_millis(250));
            self.session.tick(self.now);
        }
    }

    fn at_hands() -> Self {
        let mut visit = Self::new();
        visit.session.start(Language::De, visit.now).expect("from the welcome");
        visit.session.consent(consent(), visit.now).expect("from the notice");
        visit
    }

    fn at_capture(hands: &[Position]) -> Self {
        let mut visit = Self::at_hands();
        visit.session.choose_hands(hands, visit.now).expect("from the hands");
        visit
    }

    fn at_enrolling() -> Self {
        let mut visit = Self::at_capture(&[Position::Left]);
        visit.views(VIEWS, Position::Left);
        assert_eq!(visit.screen(), "enrolling");
        visit
    }

    fn at_payment() -> (Self, EnrollmentId) {
        let mut visit = Self::at_enrolling();
        let enrollment = EnrollmentId::from_bytes([7; 16]);
        let number = visit.session.number();
        visit.session.enrolled(number, enrollment, visit.now);
        visit.session.stands(number, Standing::Active, visit.now);
        visit.session.payment_begun(number, Ok(begun()), visit.now);
        visit.session.take_effects();
        assert_eq!(visit.screen(), "payment");
        (visit, enrollment)
    }

    fn at_removal() -> Self {
        let mut visit = Self::new();
        visit.session.start_removal(Language::Fr, visit.now).expect("from the welcome");
        visit
    }

    /// A frame, half a second after the one before.
    fn frame(&mut self, presence: Presence, guidance: Option<Guidance>, captured: Option<Capture>) -> Next {
        self.now = self.now.after(Duration::from_millis(500));
        let progress = if captured.is_some() { 1.0 } else { 0.5 };
        let seen = Observation { presence, guidance, outline: Outline::default(), captured, progress };
        let number = self.session.watching().unwrap_or_default();
        self.session.observe(number, seen, SIZE, self.now)
    }

    /// A good view of the person's hand, a little unlike every one before.
    fn view(&mut self, position: Position) -> Next {
        self.view_of(1, position)
    }

    /// The same of anybody's.
    fn view_of(&mut self, person: u64, position: Position) -> Next {
        self.seen += 1;
        self.frame(Presence::Present, None, Some(capture_of(person, position, self.seen, 50)))
    }

    fn views(&mut self, count: usize, position: Position) {
        for _ in 0..count {
            self.view(position);
        }
    }

    fn advice(&self) -> Option<&'static str> {
        self.session.capturing().and_then(|capturing| capturing.advice).map(|advice| advice.as_str())
    }

    fn taken(&self) -> usize {
        self.session.capturing().map_or(0, Capturing::taken)
    }

    fn effects(&mut self) -> Vec<&'static str> {
        let name = |effect: &Effect| match effect {
            Effect::Enroll { .. } => "enroll",
            Effect::Follow(_) => "follow",
            Effect::Cancel(_) => "cancel",
            Effect::KeepFactor(..) => "keep-factor",
            Effect::BeginPayment(_) => "begin-payment",
            Effect::Bind(_, Some(_)) => "bind",
            Effect::Bind(_, None) => "bind-none",
            Effect::Identify(_) => "identify",
            Effect::Withdraw(_) => "withdraw",
            Effect::Forget => "forget",
        };
        self.session.take_effects().iter().map(name).collect()
    }

    fn endings(&mut self) -> Vec<Ending> {
        self.session.take_endings().into_iter().map(|(ending, _)| ending).collect()
    }
}

fn consent() -> Consent {
    let policy_version = "2026-11".to_owned();
    Consent { policy_version, language: Language::De, text_sha256: [1; 32], given_at: START }
}

fn begun() -> Begun {
    Begun { handle: "seti_test_x".to_owned(), display: Display::Form { fields: Vec::new() } }
}

fn reference() -> PaymentReference {
    let text = |text: &str| text.to_owned();
    PaymentReference {
        provider: text("test"),
        customer: text("cus_test_anna"),
        payment_method: text("pm_test_x"),
        label: text("Test account anna"),
    }
}

/// A view of the person's palm, a little unlike those of other seeds.
fn capture(position: Position, seed: u64, quality: u32) -> Capture {
    capture_of(1, position, seed, quality)
}

fn capture_of(person: u64, position: Position, seed: u64, quality: u32) -> Capture {
    let palm = SeededRandomness::new(1_000 * person + u64::from(position == Position::Left));
    let (mut bytes, mut noise) = ([0; EMBEDDING_DIMENSIONS], [0; EMBEDDING_DIMENSIONS]);
    palm.fill(&mut bytes);
    SeededRandomness::new(seed).fill(&mut noise);
    let values: Vec<f32> = bytes.iter().zip(noise).map(|(&a, b)| f32::from(a) + f32::from(b / 2) - 191.0).collect();
    let mut cells = [0; FIELD_SIDE * FIELD_SIDE];
    palm.fill(&mut cells);
    cells.iter_mut().for_each(|cell| *cell %= ORIENTATIONS);
    let quality = Quality::new(quality).expect("0 to 100");
    let template = Template {
        position,
        quality,
        embedding: Embedding::normalized(&values).expect("not zero"),
        orientations: vec![OrientationField::new(&cells).expect("six orientations")],
    };
    let region = RegionOfInterest::new(vec![0; ROI_SIDE * ROI_SIDE]).expect("the right number of pixels");
    Capture { template, quality, outline: Outline::default(), region }
}

#[test]
fn a_whole_visit() {
    let mut visit = Visit::new();
    assert_eq!(visit.screen(), "welcome");
    visit.session.start(Language::De, visit.now).expect("from the welcome");
    assert_eq!((visit.screen(), visit.session.language), ("notice", Language::De));
    visit.session.consent(consent(), visit.now).expect("from the notice");
    assert_eq!(visit.screen(), "hands");
    visit.session.choose_hands(&[Position::Left, Position::Right], visit.now).expect("from the hands");
    assert_eq!(visit.screen(), "capture");
    visit.views(VIEWS, Position::Left);
    assert_eq!(visit.session.capturing().and_then(|capturing| capturing.hand), Some(Position::Right));
    visit.views(VIEWS, Position::Right);
    assert_eq!((visit.screen(), visit.effects()), ("enrolling", vec!["enroll"]));
    assert_eq!(visit.session.take_captures(), [Duration::from_secs(2); 2]);

    let (number, enrollment) = (visit.session.number(), EnrollmentId::from_bytes([7; 16]));
    visit.session.enrolled(number, enrollment, visit.now);
    assert_eq!(visit.effects(), ["follow"]);
    assert!(visit.session.stands(number, Standing::Pending, visit.now), "keep asking");
    assert_eq!(visit.screen(), "enrolling");
    assert!(!visit.session.stands(number, Standing::Active, visit.now));
    assert_eq!((visit.screen(), visit.effects()), ("payment", vec!["begin-payment"]));
    visit.session.payment_begun(number, Ok(begun()), visit.now);
    assert_eq!(visit.session.answer_payment(visit.now), Ok(begun()));
    visit.session.payment_checked(number, Ok(reference()), visit.now);
    assert_eq!((visit.screen(), visit.effects()), ("payment", vec!["bind"]));
    visit.session.bound(number, Ok(Standing::Active), visit.now);
    assert_eq!(visit.screen(), "result");
    visit.session.cancel(visit.now);
    assert_eq!(
        (visit.screen(), visit.effects(), visit.endings()),
        ("welcome", vec!["forget"], vec![Ending::Completed])
    );
    assert_eq!(visit.session.language, Language::En);
}

#[test]
fn requests_out_of_order_change_nothing() {
    let wrong = |visit: &mut Visit| {
        let now = visit.now;
        let session = &mut visit.session;
        [
            session.start(Language::En, now).err(),
            session.start_removal(Language::En, now).err(),
            session.consent(consent(), now).err(),
            session.choose_hands(&[Position::Left], now).err(),
            session.answer_payment(now).err(),
            session.skip_payment(now).err(),
        ]
        .map(|error| error.map(|error| error.reason()))
    };
    let (under_way, wrong_screen) = (Some("SESSION_UNDER_WAY"), Some("WRONG_SCREEN"));
    let all = [under_way, under_way, wrong_screen, wrong_screen, wrong_screen, wrong_screen];
    for mut visit in [Visit::at_capture(&[Position::Left]), Visit::at_enrolling(), Visit::at_removal()] {
        let screen = visit.screen();
        visit.effects();
        assert_eq!(wrong(&mut visit), all, "{screen}");
        assert_eq!((visit.screen(), visit.effects().len()), (screen, 0));
    }
    let mut declined = Visit::new();
    declined.session.decline(declined.now);
    assert_eq!(wrong(&mut declined), all);
    assert_eq!(declined.screen(), "declined");
    let mut welcome = Visit::new();
    let now = welcome.now;
    assert_eq!(welcome.session.consent(consent(), now).map_err(|e| e.reason()), Err("WRONG_SCREEN"));
    assert_eq!(welcome.screen(), "welcome");
}

#[test]
fn hands_are_one_or_two_each_once() {
    for bad in [&[][..], &[Position::Left, Position::Left], &[Position::Left, Position::Right, Position::Left]] {
        let mut visit = Visit::at_hands();
        assert_eq!(visit.session.choose_hands(bad, visit.now), Err(OrderError::Hands));
        assert_eq!(visit.screen(), "hands");
    }
}

#[test]
fn the_best_view_comes_first() {
    let mut visit = Visit::at_capture(&[Position::Right]);
    for (seed, quality) in [(1, 40), (2, 90), (3, 60), (4, 50), (5, 70)] {
        visit.frame(Presence::Present, None, Some(capture(Position::Right, seed, quality)));
    }
    let effects = visit.session.take_effects();
    let Some(Effect::Enroll { palms, consent: given }) = effects.first() else { panic!("five views enrol") };
    let qualities: Vec<u8> = palms[0].templates.iter().map(|template| template.quality.value()).collect();
    assert_eq!((qualities.len(), palms[0].position), (CaptureConfig::default().references_kept, Position::Right));
    assert!(qualities.is_sorted_by(|a, b| a > b), "{qualities:?}");
    assert_eq!(*given, consent());
}

#[test]
fn the_same_picture_again_is_no_second_view() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    for _ in 0..5 {
        assert_eq!(visit.frame(Presence::Present, None, Some(capture(Position::Left, 9, 50))), Next::Watch);
        assert_eq!(visit.frame(Presence::Present, None, None), Next::Rearm);
    }
    assert_eq!(visit.taken(), 1);
}

#[test]
fn fewer_views_are_enough_once_patience_is_over() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.view(Position::Left);
    for _ in 0..50 {
        visit.frame(Presence::Present, Some(Guidance::Closer), None);
    }
    assert_eq!(visit.screen(), "capture", "one view is below the minimum, whatever the time");
    visit.view(Position::Left);
    assert_eq!(visit.screen(), "enrolling");

    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.view(Position::Left);
    visit.view(Position::Left);
    visit.wait(18);
    assert_eq!(visit.screen(), "capture", "patience is not over");
    visit.wait(2);
    assert_eq!((visit.screen(), visit.effects()), ("enrolling", vec!["enroll"]));
}

#[test]
fn after_the_first_hand_the_other_one_is_asked_for() {
    let mut visit = Visit::at_capture(&[Position::Left, Position::Right]);
    visit.views(VIEWS, Position::Left);
    visit.frame(Presence::Present, None, None);
    assert_eq!(visit.advice(), Some("next-hand"));
    visit.view(Position::Left);
    assert_eq!((visit.advice(), visit.taken()), (Some("next-hand"), 0));
    visit.frame(Presence::Left, Some(Guidance::ShowHand), None);
    assert_eq!(visit.advice(), Some("show-hand"));
    visit.view(Position::Left);
    assert_eq!(visit.advice(), Some("wrong-hand"));
    visit.views(VIEWS, Position::Right);
    assert_eq!(visit.screen(), "enrolling");
}

#[test]
fn frames_of_a_capture_that_is_over_are_ignored() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    let seen = |seed| Observation {
        presence: Presence::Present,
        guidance: None,
        outline: Outline::default(),
        captured: Some(capture(Position::Left, seed, 50)),
        progress: 1.0,
    };
    let number = visit.session.watching().expect("a capture is under way");
    visit.session.observe(number + 1, seen(1), SIZE, visit.now);
    assert_eq!(visit.taken(), 0);
    visit.session.observe(number, seen(1), SIZE, visit.now);
    assert_eq!(visit.taken(), 1);
}

#[test]
fn an_abandoned_visit_counts_down_and_forgets() {
    for mut visit in [Visit::at_hands(), Visit::at_capture(&[Position::Left]), Visit::at_enrolling()] {
        let screen = visit.screen();
        visit.effects();
        visit.wait(44);
        assert_eq!(visit.session.countdown(visit.now), None, "{screen}");
        visit.wait(1);
        assert_eq!(visit.session.countdown(visit.now), Some(15), "{screen}");
        visit.wait(14);
        assert_eq!((visit.session.countdown(visit.now), visit.screen()), (Some(1), screen));
        visit.wait(1);
        assert_eq!((visit.screen(), visit.effects()), ("welcome", vec!["forget"]), "{screen}");
        assert_eq!(visit.endings(), [Ending::Abandoned]);
        assert_eq!(visit.session.countdown(visit.now), None);
    }
}

#[test]
fn a_touch_or_a_hand_keeps_the_visit() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.wait(50);
    assert!(visit.session.countdown(visit.now).is_some());
    visit.session.touch(visit.now);
    assert_eq!(visit.session.countdown(visit.now), None);
    visit.wait(50);
    visit.frame(Presence::Present, Some(Guidance::Closer), None);
    assert_eq!(visit.session.countdown(visit.now), None);
    for _ in 0..130 {
        visit.frame(Presence::Absent, Some(Guidance::ShowHand), None);
        visit.session.tick(visit.now);
    }
    assert_eq!(visit.screen(), "welcome", "an empty sensor keeps nobody");
}

#[test]
fn whoever_leaves_after_enrolling_is_cancelled() {
    let (mut visit, _) = Visit::at_payment();
    visit.wait(60);
    assert_eq!((visit.screen(), visit.effects()), ("welcome", vec!["cancel", "forget"]));

    let mut visit = Visit::at_enrolling();
    let number = visit.session.number();
    visit.session.cancel(visit.now);
    visit.effects();
    visit.session.enrolled(number, EnrollmentId::from_bytes([7; 16]), visit.now);
    assert_eq!((visit.screen(), visit.effects()), ("welcome", vec!["cancel"]), "the answer came after they had left");

    let (mut visit, _) = Visit::at_payment();
    visit.session.decline(visit.now);
    assert_eq!((visit.screen(), visit.effects()), ("declined", vec!["cancel", "forget"]));
    assert_eq!(visit.endings(), [Ending::Declined]);

    let (mut visit, _) = Visit::at_payment();
    visit.session.skip_payment(visit.now).expect("payment is not required");
    let number = visit.session.number();
    visit.session.bound(number, Ok(Standing::Active), visit.now);
    visit.effects();
    visit.wait(45);
    assert_eq!((visit.screen(), visit.effects()), ("welcome", vec!["forget"]), "who has finished stays enrolled");
}

#[test]
fn answers_to_an_earlier_visit_change_nothing() {
    let (mut visit, _) = Visit::at_payment();
    let old = visit.session.number();
    visit.session.cancel(visit.now);
    visit.session.start(Language::En, visit.now).expect("from the welcome");
    visit.effects();
    let now = visit.now;
    let session = &mut visit.session;
    assert!(!session.stands(old, Standing::Active, now));
    session.payment_begun(old, Ok(begun()), now);
    session.payment_checked(old, Ok(reference()), now);
    session.bound(old, Ok(Standing::Active), now);
    session.refused(old, "X".to_owned(), now);
    session.identified(old, Identified::NotRecognized, now);
    session.waits_for(old, Some(Missing::Vault));
    assert_eq!((visit.screen(), visit.effects().len()), ("notice", 0));
}

#[test]
fn a_slow_verdict_does_not_hold_up_the_payment() {
    let mut visit = Visit::at_enrolling();
    let (number, enrollment) = (visit.session.number(), EnrollmentId::from_bytes([7; 16]));
    visit.session.enrolled(number, enrollment, visit.now);
    visit.now = visit.now.after(VERDICT_PATIENCE);
    assert!(visit.session.stands(number, Standing::Pending, visit.now), "asked for on the payment screen too");
    assert_eq!(visit.screen(), "payment");
    visit.session.payment_begun(number, Ok(begun()), visit.now);
    visit.session.skip_payment(visit.now).expect("payment is not required");
    visit.session.bound(number, Ok(Standing::Pending), visit.now);
    let outcome = |visit: &Visit| match &visit.session.phase {
        Phase::Result { outcome, .. } => outcome.clone(),
        _ => panic!("screen {}", visit.screen()),
    };
    assert_eq!(outcome(&visit), Outcome::Enrolled(Standing::Pending));
    assert!(!visit.session.stands(number, Standing::InReview, visit.now));
    assert_eq!(outcome(&visit), Outcome::Enrolled(Standing::InReview));
}

#[test]
fn a_refused_payment_is_asked_for_again() {
    let (mut visit, _) = Visit::at_payment();
    let number = visit.session.number();
    visit.session.answer_payment(visit.now).expect("asked for");
    assert_eq!(visit.session.answer_payment(visit.now), Err(OrderError::PaymentBusy));
    visit.session.payment_checked(number, Err(PaymentError::CardNumber), visit.now);
    let Phase::Payment { error, .. } = &visit.session.phase else { panic!("still the payment") };
    assert_eq!(*error, Some(PaymentError::CardNumber));
    visit.session.answer_payment(visit.now).expect("asked for again");
    visit.session.payment_checked(number, Ok(reference()), visit.now);
    visit.session.bound(number, Err(PaymentError::NotStored), visit.now);
    assert_eq!(visit.screen(), "payment");
    visit.session.answer_payment(visit.now).expect("asked for again");
    visit.session.payment_checked(number, Ok(reference()), visit.now);
    visit.session.bound(number, Err(PaymentError::EnrollmentGone), visit.now);
    assert_eq!(visit.screen(), "result");
}

#[test]
fn a_required_payment_cannot_be_skipped() {
    let (mut visit, _) = Visit::at_payment();
    visit.session.rules.payment_required = true;
    assert_eq!(visit.session.skip_payment(visit.now), Err(OrderError::PaymentRequired));
    assert_eq!((visit.screen(), visit.effects().len()), ("payment", 0));
}

#[test]
fn a_removal_ends_with_a_receipt() {
    let mut visit = Visit::at_removal();
    assert_eq!((visit.screen(), visit.session.language), ("removal", Language::Fr));
    visit.view(Position::Right);
    assert_eq!((visit.screen(), visit.effects()), ("removal", vec!["identify"]));
    assert_eq!(visit.session.watching(), None);
    let number = visit.session.number();
    visit.session.identified(number, Identified::Recognized(Zeroizing::new(vec![1])), visit.now);
    assert_eq!(visit.effects(), ["withdraw"]);
    let receipt = Receipt { number: "r".to_owned(), erased_at: visit.now, matchers_pending: 0 };
    visit.session.withdrawn(number, receipt, visit.now);
    assert_eq!(visit.screen(), "removed");
    visit.wait(45);
    assert_eq!((visit.screen(), visit.endings()), ("welcome", vec![Ending::Completed]));
}

#[test]
fn a_removal_that_cannot_be_says_why() {
    let outcome = |identified: Identified| {
        let mut visit = Visit::at_removal();
        visit.view(Position::Left);
        let number = visit.session.number();
        visit.session.identified(number, identified, visit.now);
        match &visit.session.phase {
            Phase::Result { outcome, .. } => outcome.clone(),
            _ => panic!("screen {}", visit.screen()),
        }
    };
    assert_eq!(outcome(Identified::NotRecognized), Outcome::NotRecognized);
    assert_eq!(outcome(Identified::NotSure), Outcome::NotSure);
    assert_eq!(outcome(Identified::LockedOut { seconds: 30 }), Outcome::LockedOut { seconds: 30 });

    let mut visit = Visit::at_removal();
    for try_number in 1..=3 {
        visit.view(Position::Left);
        let number = visit.session.number();
        visit.session.identified(number, Identified::Retry, visit.now);
        assert_eq!(visit.screen(), if try_number < 3 { "removal" } else { "result" });
    }

    let mut visit = Visit::at_removal();
    visit.view(Position::Left);
    let number = visit.session.number();
    visit.session.refused(number, "TICKET_EXPIRED".to_owned(), visit.now);
    assert_eq!((visit.screen(), visit.endings().len()), ("result", 0));
    visit.session.cancel(visit.now);
    assert_eq!(visit.endings(), [Ending::Failed]);
}

#[test]
fn an_unplugged_sensor_loses_nothing() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.view(Position::Left);
    visit.session.sensor_works(false);
    assert_eq!((visit.screen(), visit.session.missing()), ("unavailable", Some(Missing::Sensor)));
    visit.session.sensor_works(true);
    assert_eq!((visit.screen(), visit.taken()), ("capture", 1));
}

#[test]
fn out_of_service_until_everything_is_there() {
    let rules = Visit::new().session.rules;
    let mut session = Session::new(rules, START);
    assert_eq!((session.screen(), session.missing()), ("unavailable", Some(Missing::Vault)));
    assert_eq!(session.start(Language::En, START), Err(OrderError::Unavailable { reason: "vault" }));
    session.vault_lacks(Some(Missing::Model));
    assert_eq!(session.start(Language::En, START), Err(OrderError::Unavailable { reason: "model" }));
    session.vault_lacks(None);
    session.sensor_works(false);
    assert_eq!(session.start_removal(Language::En, START), Err(OrderError::Unavailable { reason: "sensor" }));
    session.sensor_works(true);
    assert_eq!(session.screen(), "welcome");
    assert_eq!(session.start(Language::En, START), Ok(()));
    session.vault_lacks(Some(Missing::Vault));
    assert_eq!(session.screen(), "notice", "a notice needs no vault");
}

#[test]
fn a_server_that_does_not_answer_shows_until_it_does() {
    let mut visit = Visit::at_enrolling();
    let number = visit.session.number();
    visit.session.waits_for(number, Some(Missing::Vault));
    assert_eq!(visit.screen(), "unavailable");
    visit.session.enrolled(number, EnrollmentId::from_bytes([7; 16]), visit.now);
    assert_eq!(visit.screen(), "enrolling");
}

#[test]
fn a_refused_enrollment_fails_by_name() {
    let mut visit = Visit::at_enrolling();
    let number = visit.session.number();
    visit.session.refused(number, "CONSENT_MISSING".to_owned(), visit.now);
    let Phase::Result { outcome, enrollment } = &visit.session.phase else { panic!("a result") };
    assert_eq!((outcome.clone(), *enrollment), (Outcome::Failed("CONSENT_MISSING".to_owned()), None));
}

#[test]
fn the_language_may_change_anywhere_but_the_release_keeps_its_own() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.session.speak(Language::Fr, visit.now);
    assert_eq!(visit.session.language, Language::Fr);
    let Phase::Capture { consent, .. } = &visit.session.phase else { panic!("still the capture") };
    assert_eq!(consent.language, Language::De);
    visit.session.decline(visit.now);
    assert_eq!(visit.session.language, Language::Fr, "the last screen of a visit speaks its language");
}
