//! The status page's interface.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use volar_core::clock::Clock;
use volar_gate::config::{Language, WhenUnreachable};
use volar_gate::keypad::Typed;
use volar_gate::screen::{Display, Fixed, Screen};
use volar_palm::sensor::{self, SensorConfig, Stage};
use volar_service::system::SystemClock;
use volar_service::web::Web;

struct Page {
    url: String,
    display: Display,
    stage: Option<Stage>,
    _stop: DropGuard,
}

async fn page(staged: bool) -> Page {
    let lane = "lane-1".parse().expect("a slug");
    let when_unreachable = WhenUnreachable::StayClosed;
    let display =
        Display::new(Fixed { language: Language::Fr, lane, other_way: None, when_unreachable, stage: staged });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = SensorConfig::Simulated { seed: 1, width: 320, height: 240, frame_rate: 10.0 };
    let stage = staged.then(|| sensor::open(&config, clock).expect("a simulation opens").stage.expect("a stage"));
    let web = Web::bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let url = format!("http://{}", web.address());
    let stop = CancellationToken::new();
    tokio::spawn(web.serve(volar_gate::router(display.clone(), stage.clone()), stop.clone()));
    Page { url, display, stage, _stop: stop.drop_guard() }
}

/// Status and body.
async fn call(method: &'static str, url: String, body: Option<Value>) -> (u16, String) {
    let called = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = match (method, body) {
            ("POST", Some(body)) => agent.post(&url).send_json(body),
            _ => agent.get(&url).call(),
        }
        .expect("the page answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    });
    called.await.expect("no panic")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_told_and_holds_no_secret() {
    let page = page(false).await;
    page.display.show_because(Screen::Refused, "BELOW_THRESHOLD");
    let (status, body) = call("GET", format!("{}/api/state", page.url), None).await;
    assert_eq!(status, 200);
    let state = json(&body);
    assert_eq!((&state["screen"], &state["reason"]), (&"refused".into(), &"BELOW_THRESHOLD".into()));
    assert_eq!((&state["language"], &state["lane"], &state["stage"]), (&"fr".into(), &"lane-1".into(), &false.into()));
    let mut fields: Vec<&String> = state.as_object().expect("an object").keys().collect();
    fields.sort();
    let known = [
        "guidance",
        "lane",
        "language",
        "other_way",
        "progress",
        "reason",
        "screen",
        "stage",
        "until_unix_ms",
        "when_unreachable",
    ];
    assert_eq!(fields, known, "a new field must be shown to hold nothing of a person");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_page_loads_is_there() {
    let page = page(false).await;
    for (path, part) in [
        ("/", "aria-live"),
        ("/page.css", "--back"),
        ("/page.js", "WebSocket"),
        ("/texts.js", "Présentez"),
        ("/keypad.js", "api/keypad"),
        ("/stage.js", "Simulated"),
    ] {
        let (status, body) = call("GET", format!("{}{path}", page.url), None).await;
        assert_eq!(status, 200, "{path}");
        assert!(body.contains(part), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_set_and_told() {
    let page = page(true).await;
    let url = format!("{}/stage", page.url);
    let hand = json!({ "show": "hand", "person": 3, "position": "right" });
    assert_eq!(call("POST", url.clone(), Some(hand)).await.0, 200);
    let (status, body) = call("GET", url.clone(), None).await;
    assert_eq!((status, &json(&body)["person"]), (200, &3.into()));
    let shown = page.stage.as_ref().expect("a stage").scene();
    assert_eq!(serde_json::to_value(shown).expect("JSON")["position"], "right");
    let (status, body) = call("POST", url, Some(json!({ "show": "foot" }))).await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(json(&body)["error"]["reason"], "SCENE_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_sensor_has_no_stage() {
    let page = page(false).await;
    let url = format!("{}/stage", page.url);
    for (method, body) in [("GET", None), ("POST", Some(json!({ "show": "empty" })))] {
        let (status, body) = call(method, url.clone(), body).await;
        assert_eq!((status, &json(&body)["error"]["reason"]), (404, &"NO_STAGE".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keypad_takes_digits_while_they_are_asked_for_and_repeats_none() {
    let page = page(false).await;
    let url = format!("{}/api/keypad", page.url);
    let type_in = |body: Value| call("POST", url.clone(), Some(body));
    let refused = |(status, body): (u16, String)| {
        assert!(!body.contains("8074"), "{body}");
        (status, json(&body)["error"]["reason"].as_str().unwrap_or_default().to_owned())
    };
    let not_asked = (409, "NOT_ASKED".to_owned());
    assert_eq!(refused(type_in(json!({ "digits": "8074" })).await), not_asked);
    let mut typed = page.display.ask(9);
    assert_eq!((page.display.state().screen, page.display.state().until_unix_ms), (Screen::Keypad, Some(9)));
    for (body, status, reason) in [
        (json!({ "digits": "807" }), 422, "DIGITS_INVALID"),
        (json!({ "digits": "8074x" }), 422, "DIGITS_INVALID"),
        (json!({ "digit": "8074" }), 400, "BODY_INVALID"),
        (json!({ "digits": 8074 }), 400, "BODY_INVALID"),
    ] {
        assert_eq!(refused(type_in(body).await), (status, reason.to_owned()));
    }
    assert_eq!(type_in(json!({ "digits": "8074" })).await.0, 204);
    assert!(matches!(typed.try_recv(), Ok(Typed::Digits(digits)) if digits.expose() == "8074"));
    assert_eq!(refused(type_in(json!({ "digits": "8074" })).await), not_asked, "one answer");
    assert!(!call("GET", format!("{}/api/state", page.url), None).await.1.contains("8074"));

    let mut typed = page.display.ask(9);
    assert_eq!(type_in(json!({ "cancel": true })).await.0, 204);
    assert!(matches!(typed.try_recv(), Ok(Typed::Cancelled)));
    let mut typed = page.display.ask(9);
    page.display.show(Screen::Idle);
    assert!(typed.try_recv().is_err(), "another screen closes it");
    assert_eq!(refused(type_in(json!({ "digits": "8074" })).await), not_asked);
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

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_screens_look_on_and_one_that_leaves_makes_room() {
    let page = page(false).await;
    let mut screens = Vec::new();
    for _ in 0..8 {
        let (screen, status) = look_on(&page.url).await;
        assert_eq!(status, "101");
        screens.push(screen);
    }
    assert_eq!(look_on(&page.url).await.1, "429");
    screens.pop();
    let room = async {
        while look_on(&page.url).await.1 != "101" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), room).await.expect("a place is given back");
}
