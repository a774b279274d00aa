//! The kiosk's HTTP interface over made-up servers: whole visits, requests out of order, and everything that can go
//! wrong between kiosk, vault and matcher.

// Tests are an edge: they take the time.
#![allow(clippy::disallowed_methods, missing_docs)]

#[path = "support/hands.rs"]
mod hands;
#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hands::{Hands, Shown, scores};
use serde_json::{Value, json};
use support::{ENROLLMENT, MODEL, RECEIPT, Servers};
use tokio_util::sync::{CancellationToken, DropGuard};
use volar_core::clock::{ManualClock, Timestamp};
use volar_core::randomness::SeededRandomness;
use volar_core::template::Position;
use volar_kiosk::config::{self, Config};
use volar_kiosk::kiosk::{Kiosk, Parts};
use volar_kiosk::matcher_client::MatcherClient;
use volar_kiosk::notice::Notice;
use volar_kiosk::payment::TestProvider;
use volar_kiosk::texts::Language;
use volar_kiosk::vault_client::VaultClient;
use volar_kiosk::{sensor_loop, web, work};
use volar_palm::guidance::Guidance;
use volar_proto::v1;
use volar_service::web::Web;

/// A kiosk, its servers, and somebody before it.
struct Stand {
    servers: Servers,
    hands: Hands,
    clock: Arc<ManualClock>,
    config: Config,
    url: String,
    _shutdown: DropGuard,
}

impl Stand {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config: Config = toml::from_str(config::DEFAULT).expect("the defaults are valid");
        config.capture.interval_ms = 0;
        change(&mut config);
        let (servers, hands, shutdown) = (Servers::start().await, Hands::new(), CancellationToken::new());
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(1_795_000_000_000)));
        let randomness = Arc::new(SeededRandomness::new(3));
        let (galleries, lane) = (config.galleries.clone(), config.lane.clone());
        let kiosk = Kiosk::new(Parts {
            rules: config.rules(scores()),
            notice: config.notice.clone(),
            vault: VaultClient::new(servers.channel(), galleries),
            matcher: MatcherClient::new(servers.channel(), lane),
            provider: Arc::new(TestProvider::new(randomness.clone())),
            model: MODEL.parse().expect("a slug"),
            clock: clock.clone(),
            randomness,
            stage: None,
            mirror_picture: true,
            shutdown: shutdown.clone(),
        });
        sensor_loop::spawn(hands.sensor(), hands.observer(), kiosk.clone(), clock.clone(), shutdown.clone())
            .expect("a thread");
        tokio::spawn(work::keep_time(kiosk.clone()));
        tokio::spawn(work::watch_vault(kiosk.clone()));
        let page = Web::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
        let url = format!("http://{}", page.address());
        tokio::spawn(page.serve(web::router(kiosk, &config.sensor), shutdown.clone()));
        let stand = Self { servers, hands, clock, config, url, _shutdown: shutdown.drop_guard() };
        stand.screen("welcome");
        stand
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}{path}", self.url);
        let answer = tokio::task::block_in_place(|| match (method, body) {
            ("GET", _) => agent.get(&url).call(),
            ("DELETE", _) => agent.delete(&url).call(),
            (_, Some(body)) => agent.post(&url).send_json(&body),
            (_, None) => agent.post(&url).send_empty(),
        });
        let mut answer = answer.expect("the page answers");
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(Value::Null))
    }

    /// A request that is in order.
    fn post(&self, path: &str, body: Value) -> Value {
        let (status, state) = self.ask("POST", path, Some(body));
        assert_eq!(status, 200, "{path}: {state}");
        state
    }

    /// A request that is not: its status and reason.
    fn refused(&self, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.ask("POST", path, Some(body));
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{path}: {answer}");
        (status, answer["error"]["reason"].as_str().unwrap_or_default().to_owned())
    }

    fn state(&self) -> Value {
        self.ask("GET", "/api/state", None).1
    }

    /// Waits for a state; fails with the last one.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let state = self.state();
            if wanted(&state) {
                return state;
            }
            assert!(Instant::now() < end, "{what} does not come: {state}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn screen(&self, screen: &str) -> Value {
        self.until(screen, |state| state["screen"] == screen)
    }

    fn wait_for(&self, what: &str, wanted: impl Fn(&support::Books) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !wanted(&self.servers.books()) {
            assert!(Instant::now() < end, "{what} does not come");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn begin(&self, hands: &[&str]) {
        self.post("/api/session", json!({"language": "de"}));
        self.post("/api/session/consent", json!({"accepted": true}));
        self.post("/api/session/hands", json!({ "hands": hands }));
    }

    fn to_payment(&self) {
        self.begin(&["left"]);
        self.hands.show(Shown::Hand(Position::Left));
        self.until("the form", |state| !state["payment"]["display"].is_null());
        self.hands.show(Shown::Nothing);
    }

    fn kind(&self) -> Value {
        self.until("a result", |state| !state["result"].is_null())["result"]["kind"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_whole_visit_with_both_hands() {
    let stand = Stand::new().await;
    let state = stand.post("/api/session", json!({"language": "fr"}));
    assert_eq!((&state["screen"], &state["language"], &state["step"]), (&json!("notice"), &json!("fr"), &json!(1)));
    let notice = stand.ask("GET", "/api/notice?language=fr", None).1;
    let agreed = json!({"accepted": true, "text_sha256": notice["text_sha256"]});
    assert_eq!(stand.post("/api/session/consent", agreed)["screen"], "hands");
    let state = stand.post("/api/session/hands", json!({"hands": ["left", "right"]}));
    assert_eq!((&state["screen"], &state["capture"]["hand"]), (&json!("capture"), &json!("left")));

    stand.hands.show(Shown::Poorly(Guidance::Closer));
    let state = stand.until("guidance", |state| state["capture"]["guidance"] == "closer");
    let outline = state["capture"]["outline"].as_array().expect("an outline");
    assert!((60..=120).contains(&outline.len()), "{} corners of 600", outline.len());
    assert!(outline.iter().all(|point| point[0].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x))));
    stand.hands.show(Shown::Hand(Position::Left));
    let state = stand.until("the other hand", |state| state["capture"]["hand"] == "right");
    assert_eq!((&state["capture"]["hand_number"], &state["capture"]["hands"]), (&json!(2), &json!(2)));
    stand.until("its words", |state| state["capture"]["guidance"] == "next-hand");
    stand.hands.show(Shown::Hand(Position::Right));
    let state = stand.until("the form", |state| !state["payment"]["display"].is_null());
    assert_eq!(state["payment"]["display"]["fields"][0]["name"], "account");

    stand.post("/api/session/payment", json!({"account": "Anna"}));
    let state = stand.screen("result");
    assert_eq!((&state["result"]["kind"], &state["result"]["enrollment_id"]), (&json!("active"), &json!(ENROLLMENT)));
    assert_eq!(stand.ask("DELETE", "/api/session", None).1["screen"], "welcome");

    let books = stand.servers.books();
    let [enrolled] = &books.enrolled[..] else { panic!("enrolled once") };
    assert!(enrolled.payment_follows);
    let positions: Vec<_> = enrolled.memberships[0].palms.iter().map(|palm| palm.position()).collect();
    assert_eq!(positions, [v1::PalmPosition::Left, v1::PalmPosition::Right]);
    for palm in &enrolled.memberships[0].palms {
        assert_eq!(palm.references.len(), 3);
        assert_eq!(palm.probe.as_ref().map(|probe| probe.orientation_codes.len()), Some(49));
    }
    let consent = enrolled.consent.as_ref().expect("a consent record");
    assert_eq!((&*consent.language, &*consent.policy_version, &*consent.method), ("fr", "2026-11", "touch-screen"));
    assert_eq!(consent.text_sha256, Notice::new(&stand.config.notice, Language::Fr).digest());
    assert_eq!(consent.given_at_unix_ms, 1_795_000_000_000);
    let payment = books.bound[0].payment.as_ref().expect("a payment");
    assert_eq!((&*payment.provider, &*payment.customer), ("test", "cus_test_anna"));
    assert_eq!(books.bound[0].enrollment_id, ENROLLMENT);
    assert!(books.cancelled.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_out_of_order_are_refused_by_name() {
    let stand = Stand::new().await;
    let wrong = (409, "WRONG_SCREEN".to_owned());
    assert_eq!(stand.refused("/api/session/consent", json!({"accepted": true})), wrong);
    assert_eq!(stand.refused("/api/session/consent", json!({"accepted": false})), wrong);
    assert_eq!(stand.refused("/api/session/hands", json!({"hands": ["left"]})), wrong);
    assert_eq!(stand.refused("/api/session/payment", json!({"account": "anna"})), wrong);
    assert_eq!(stand.refused("/api/session/payment", json!({"skip": true})), wrong);
    stand.post("/api/session", json!({"language": "en"}));
    let under_way = (409, "SESSION_UNDER_WAY".to_owned());
    assert_eq!(stand.refused("/api/session", json!({"language": "en"})), under_way);
    assert_eq!(stand.refused("/api/removal", json!({"language": "en"})), under_way);
    let other = json!({"accepted": true, "text_sha256": "0".repeat(64)});
    assert_eq!(stand.refused("/api/session/consent", other), (409, "NOTICE_CHANGED".to_owned()));
    stand.post("/api/session/consent", json!({"accepted": true}));
    for bad in [json!([]), json!(["left", "left"])] {
        let refused = stand.refused("/api/session/hands", json!({ "hands": bad }));
        assert_eq!(refused, (422, "HANDS_INVALID".to_owned()));
    }
    let invalid = (400, "BODY_INVALID".to_owned());
    assert_eq!(stand.refused("/api/session/hands", json!({"hands": ["foot"]})), invalid);
    assert_eq!(stand.refused("/api/session/hands", json!({"hands": ["left"], "more": 1})), invalid);
    assert_eq!(stand.refused("/api/session/consent", json!({"accepted": "yes"})), invalid);
    assert_eq!(stand.refused("/api/language", json!({"language": "xx"})), (422, "LANGUAGE_UNKNOWN".to_owned()));
    assert_eq!(stand.refused("/stage", json!({"show": "empty"})), (404, "NOT_FOUND".to_owned()));
    assert_eq!(stand.state()["screen"], "hands");
    assert_eq!(stand.post("/api/language", json!({"language": "de"}))["language"], "de");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_way_without_a_palm_is_always_open() {
    let stand = Stand::new().await;
    assert_eq!(stand.post("/api/session/decline", json!({}))["screen"], "declined");
    stand.ask("DELETE", "/api/session", None);
    stand.post("/api/session", json!({"language": "en"}));
    assert_eq!(stand.post("/api/session/consent", json!({"accepted": false}))["screen"], "declined");
    stand.ask("DELETE", "/api/session", None);
    stand.to_payment();
    assert_eq!(stand.post("/api/session/decline", json!({}))["screen"], "declined");
    stand.wait_for("the cancelling", |books| books.cancelled.len() == 1);
    assert_eq!(stand.servers.books().cancelled[0].enrollment_id, ENROLLMENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_abandoned_visit_forgets_and_cancels() {
    let stand = Stand::new().await;
    stand.to_payment();
    stand.clock.advance(Duration::from_secs(50));
    stand.until("the countdown", |state| state["countdown_seconds"] == 10);
    stand.post("/api/touch", json!({}));
    stand.until("the touch", |state| state["countdown_seconds"].is_null());
    stand.servers.books().away = true;
    stand.clock.advance(Duration::from_secs(60));
    stand.until("the end", |state| state["session"] != 1 && state["payment"].is_null());
    assert!(stand.servers.books().cancelled.is_empty());
    stand.servers.books().away = false;
    stand.wait_for("the cancelling", |books| books.cancelled.len() == 1);
    assert!(stand.servers.books().bound.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_answer_is_asked_for_with_the_same_id() {
    let stand = Stand::new().await;
    stand.servers.books().answers_lost = 2;
    stand.to_payment();
    let books = stand.servers.books();
    assert_eq!(books.enrolled.len(), 3);
    assert!(books.enrolled.iter().all(|request| *request == books.enrolled[0]), "one id, one body");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_abandoned_enrollment_whose_answer_got_lost_is_cancelled() {
    let stand = Stand::new().await;
    stand.servers.books().answers_lost = 2;
    stand.begin(&["left"]);
    stand.hands.show(Shown::Hand(Position::Left));
    stand.wait_for("the first attempt", |books| !books.enrolled.is_empty());
    stand.ask("DELETE", "/api/session", None);
    stand.hands.show(Shown::Nothing);
    stand.wait_for("the cancelling", |books| books.cancelled.len() == 1);
    assert_eq!(stand.state()["screen"], "welcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gallery_protected_anew_is_enrolled_into_again() {
    let stand = Stand::new().await;
    stand.servers.books().generation_changes = true;
    stand.to_payment();
    assert_eq!(stand.servers.books().enrolled[0].memberships[0].generation, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_vault_that_is_away_shows_and_recovers() {
    let stand = Stand::new().await;
    stand.servers.books().away = true;
    let state = stand.screen("unavailable");
    assert_eq!(state["missing"], "vault");
    assert_eq!(stand.refused("/api/session", json!({"language": "en"})), (503, "UNAVAILABLE".to_owned()));
    assert_eq!(stand.post("/api/session/decline", json!({}))["screen"], "declined", "the way without is open");
    stand.ask("DELETE", "/api/session", None);
    stand.servers.books().away = false;
    stand.screen("welcome");

    stand.begin(&["left"]);
    stand.servers.books().away = true;
    stand.hands.show(Shown::Hand(Position::Left));
    assert_eq!(stand.screen("unavailable")["missing"], "vault");
    stand.servers.books().away = false;
    stand.screen("payment");
    assert_eq!(stand.servers.books().enrolled.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gallery_of_another_model_puts_the_kiosk_out_of_service() {
    let stand = Stand::new().await;
    stand.servers.books().model = "another-2";
    assert_eq!(stand.screen("unavailable")["missing"], "model");
    stand.servers.books().model = MODEL;
    stand.screen("welcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unplugged_sensor_loses_nothing() {
    let stand = Stand::with(|config| config.capture.interval_ms = 60_000).await;
    stand.begin(&["left"]);
    stand.hands.show(Shown::Hand(Position::Left));
    stand.until("a view", |state| state["capture"]["captured"] == 1);
    stand.hands.show(Shown::Unplugged);
    assert_eq!(stand.screen("unavailable")["missing"], "sensor");
    stand.hands.show(Shown::Nothing);
    assert_eq!(stand.screen("capture")["capture"]["captured"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_verdict_has_its_result() {
    for (verdict, kind) in [(v1::EnrollmentState::InReview, "in-review"), (v1::EnrollmentState::Active, "active")] {
        let stand = Stand::new().await;
        stand.servers.books().verdict = verdict;
        stand.to_payment();
        stand.post("/api/session/payment", json!({"account": "anna"}));
        assert_eq!(stand.kind(), kind);
    }
    let stand = Stand::new().await;
    stand.servers.books().verdict = v1::EnrollmentState::Erased;
    stand.begin(&["left"]);
    stand.hands.show(Shown::Hand(Position::Left));
    assert_eq!(stand.kind(), "failed");

    let stand = Stand::new().await;
    stand.servers.books().enroll_refused = Some("TEMPLATE_INVALID");
    stand.begin(&["left"]);
    stand.hands.show(Shown::Hand(Position::Left));
    let state = stand.screen("result");
    assert_eq!((&state["result"]["kind"], &state["result"]["reason"]), (&json!("failed"), &json!("TEMPLATE_INVALID")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_are_refused_by_name_and_asked_for_again() {
    let stand = Stand::new().await;
    stand.to_payment();
    for (account, reason) in
        [("4111 1111 1111 1111", "CARD_NUMBER_REFUSED"), ("", "ACCOUNT_MISSING"), ("a b", "ACCOUNT_INVALID")]
    {
        let (status, state) = stand.ask("POST", "/api/session/payment", Some(json!({ "account": account })));
        assert_eq!((status, &state["payment"]["error"]["reason"]), (422, &json!(reason)));
        assert_eq!(state["screen"], "payment");
    }
    stand.servers.books().bind_refused = Some("CARD_NUMBER_REFUSED");
    stand.post("/api/session/payment", json!({"account": "anna"}));
    stand.until("the vault's refusal", |state| state["payment"]["error"]["reason"] == "CARD_NUMBER_REFUSED");
    stand.servers.books().bind_refused = None;
    stand.post("/api/session/payment", json!({"account": "anna"}));
    assert_eq!(stand.kind(), "active");
    assert_eq!(stand.servers.books().bound.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_may_be_left_out_unless_it_is_required() {
    let stand = Stand::new().await;
    stand.to_payment();
    assert_eq!(stand.state()["payment"]["skippable"], true);
    stand.post("/api/session/payment", json!({"skip": true}));
    assert_eq!(stand.kind(), "active");
    assert!(stand.servers.books().bound[0].payment.is_none());
    stand.ask("DELETE", "/api/session", None);
    assert!(stand.servers.books().cancelled.is_empty());

    let stand = Stand::with(|config| config.payment.required = true).await;
    stand.to_payment();
    assert_eq!(stand.state()["payment"]["skippable"], false);
    let refused = stand.refused("/api/session/payment", json!({"skip": true}));
    assert_eq!(refused, (409, "PAYMENT_REQUIRED".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_palm_removes_its_owner() {
    let stand = Stand::new().await;
    let state = stand.post("/api/removal", json!({"language": "en"}));
    assert_eq!((&state["screen"], &state["capture"]["purpose"]), (&json!("removal"), &json!("removal")));
    stand.servers.books().away = true;
    stand.hands.show(Shown::Hand(Position::Right));
    stand.screen("unavailable");
    stand.servers.books().away = false;
    let state = stand.screen("removed");
    assert_eq!((&state["result"]["kind"], &state["result"]["receipt_id"]), (&json!("removed"), &json!(RECEIPT)));
    let books = stand.servers.books();
    assert_eq!(books.identified[0].purpose(), v1::Purpose::Withdrawal);
    assert_eq!((books.withdrawn.len(), &books.withdrawn[0].ticket), (1, &vec![1, 2, 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_palm_that_is_not_known_removes_nobody() {
    for (decision, kind) in [
        (v1::Decision::NoMatch, "not-recognised"),
        (v1::Decision::StepUp, "not-sure"),
        (v1::Decision::Rejected, "locked-out"),
    ] {
        let stand = Stand::new().await;
        stand.servers.books().decision = decision;
        stand.post("/api/removal", json!({"language": "en"}));
        stand.hands.show(Shown::Hand(Position::Right));
        assert_eq!(stand.kind(), kind);
        if decision == v1::Decision::Rejected {
            assert_eq!(stand.state()["result"]["retry_after_seconds"], 30);
        }
        assert!(stand.servers.books().withdrawn.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asked_to_be_removed_is_removed_also_after_walking_away() {
    let stand = Stand::new().await;
    stand.post("/api/removal", json!({"language": "en"}));
    stand.servers.books().delay = Duration::from_millis(300);
    stand.hands.show(Shown::Hand(Position::Right));
    stand.wait_for("the matcher's answer", |books| !books.identified.is_empty());
    std::thread::sleep(Duration::from_millis(100));
    stand.ask("DELETE", "/api/session", None);
    stand.wait_for("the erasure", |books| books.withdrawn.len() == 1);
    assert_eq!(stand.state()["screen"], "welcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_page_comes_whole_and_fetches_nothing_elsewhere() {
    let stand = Stand::new().await;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let fetch = |path: &str| {
        let url = format!("{}/{path}", stand.url);
        let mut answer = tokio::task::block_in_place(|| agent.get(&url).call()).expect("the page answers");
        let policy = answer.headers().get("content-security-policy").is_some();
        (answer.status().as_u16(), policy, answer.body_mut().read_to_vec().expect("a body"))
    };
    for file in volar_kiosk::page::FILES {
        assert_eq!(fetch(file.path), (200, true, file.bytes.to_vec()), "{}", file.path);
        if file.media_type.starts_with("text/") {
            let text = std::str::from_utf8(file.bytes).expect("text").replace("http://www.w3.org/2000/svg", "");
            assert!(
                !text.contains("http://") && !text.contains("https://") || file.path == "server.js",
                "{}",
                file.path
            );
        }
    }
    assert_eq!(fetch("").0, 200);
    assert_eq!(fetch("nothing/here").0, 404);
    let index = volar_kiosk::page::file("index.html").expect("there is a page");
    let html = std::str::from_utf8(index.bytes).expect("text");
    for link in html.split("=\"/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(volar_kiosk::page::file(link).is_some(), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_factor_is_offered_kept_and_shown_to_nobody() {
    let stand = Stand::with(|config| config.second_factor.offered = true).await;
    let path = "/api/session/second-factor";
    stand.begin(&["left"]);
    let wrong = (409, "WRONG_SCREEN".to_owned());
    assert_eq!(stand.refused(path, json!({"skip": true})), wrong);
    stand.hands.show(Shown::Hand(Position::Left));
    let state = stand.until("the screen", |state| state["screen"] == "second-factor");
    stand.hands.show(Shown::Nothing);
    assert_eq!((&state["second_factor"], &state["step"]), (&json!({"busy": false, "error": null}), &json!(3)));
    for (body, reason) in [
        (json!({"kind": "code", "digits": "1234"}), "CODE_GUESSABLE"),
        (json!({"kind": "code", "digits": "80745129x"}), "DIGITS_INVALID"),
        (json!({"kind": "phone-digits", "digits": "80745"}), "PHONE_DIGITS_INVALID"),
    ] {
        let (status, state) = stand.ask("POST", path, Some(body.clone()));
        assert_eq!((status, &state["second_factor"]["error"]["reason"]), (422, &json!(reason)), "{body}");
    }
    for body in
        [json!({"kind": "nose", "digits": "80745129"}), json!({"code": "80745129"}), json!({"digits": 80745129})]
    {
        let (status, answer) = stand.ask("POST", path, Some(body.clone()));
        assert_eq!((status, answer["error"]["reason"].as_str()), (400, Some("BODY_INVALID")), "{body}");
        assert!(!answer.to_string().contains("80745129"), "a refusal repeats no digits: {answer}");
    }

    stand.servers.books().factor_refused = Some("FIELD_INVALID");
    stand.post(path, json!({"kind": "code", "digits": "80745129"}));
    let refused = |state: &Value| state["second_factor"]["error"]["reason"] == "SECOND_FACTOR_NOT_STORED";
    stand.until("the vault's refusal", refused);
    stand.servers.books().factor_refused = None;
    stand.post(path, json!({"kind": "code", "digits": "80745129"}));
    let state = stand.until("the form", |state| !state["payment"]["display"].is_null());
    assert!(state["second_factor"].is_null() && !state.to_string().contains("80745129"));
    {
        let books = stand.servers.books();
        let factor = books.factors[0].second_factor.as_ref().expect("a factor");
        assert_eq!(
            (books.factors.len(), factor.kind(), factor.digits.as_str()),
            (1, v1::SecondFactorKind::Code, "80745129")
        );
        assert_eq!(books.factors[0].enrollment_id, ENROLLMENT);
    }
    assert_eq!(stand.refused(path, json!({"skip": true})), wrong);
    stand.post("/api/session/payment", json!({"skip": true}));
    assert_eq!(stand.kind(), "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_factor_may_be_left_out() {
    let stand = Stand::with(|config| config.second_factor.offered = true).await;
    stand.begin(&["left"]);
    stand.hands.show(Shown::Hand(Position::Left));
    stand.until("the screen", |state| state["screen"] == "second-factor");
    stand.hands.show(Shown::Nothing);
    stand.post("/api/session/second-factor", json!({"skip": true}));
    stand.until("the form", |state| !state["payment"]["display"].is_null());
    assert!(stand.servers.books().factors.is_empty());
}

/// Opens a live connection; its answer's status.
async fn look_on(url: &str) -> (tokio::net::TcpStream, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let host = url.trim_start_matches("http://");
    let mut connection = tokio::net::TcpStream::connect(host).await.expect("it listens");
    let upgrade = format!(
        "GET /api/live HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    connection.write_all(upgrade.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    connection.read_exact(&mut status).await.expect("answered");
    (connection, String::from_utf8_lossy(&status[9..]).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bodies_are_short_and_only_so_many_screens_look_on() {
    let stand = Stand::new().await;
    let (status, _) = stand.ask("POST", "/api/session", Some(json!({"language": "x".repeat(64 * 1024)})));
    assert_eq!(status, 413);
    let mut screens = Vec::new();
    for _ in 0..8 {
        let (screen, status) = look_on(&stand.url).await;
        assert_eq!(status, "101");
        screens.push(screen);
    }
    assert_eq!(look_on(&stand.url).await.1, "429");
}
