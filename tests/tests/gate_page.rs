//! The gate's status page in a real browser: every screen that it has, as a reader upright or lying shows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fantoccini::Locator;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use volar_gate::config::{Language, WhenUnreachable};
use volar_gate::keypad::Typed;
use volar_gate::screen::{Display, Fixed, Screen};
use volar_palm::guidance::Guidance;
use volar_palm::sensor::{self, SensorConfig, Stage};
use volar_service::system::SystemClock;
use volar_service::web::Web;
use volar_tests::browser::{Browser, OVERFLOW, PAGE_PATIENCE};
use volar_tests::system::System;

/// A reader's own upright screen, and one beside the lane.
const SIZES: [(u32, u32); 2] = [(480, 800), (1280, 800)];
/// WCAG 2.2, 1.4.6 (AAA): it is read from a metre away.
const CONTRAST_MIN: f64 = 7.0;

/// A page that shows what it is told.
struct Page {
    display: Display,
    url: String,
}

impl Page {
    async fn new(language: Language, when_unreachable: WhenUnreachable, stage: Option<Stage>) -> Self {
        let lane = "lane-1".parse().expect("a slug");
        let fixed = Fixed { language, lane, other_way: None, when_unreachable, stage: stage.is_some() };
        let display = Display::new(fixed);
        let web = Web::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let url = format!("http://{}/", web.address());
        tokio::spawn(web.serve(volar_gate::router(display.clone(), stage), CancellationToken::new()));
        Self { display, url }
    }

    /// Shows something and waits until the page does.
    async fn tell(&self, browser: &Browser, shown: &str, tell: impl FnOnce(&Display)) {
        tell(&self.display);
        browser.shown(&format!("body[data-screen={shown}] #headline")).await;
    }
}

/// Checks what must hold on every screen, and keeps a picture.
async fn look(browser: &Browser, name: &str) {
    tokio::time::sleep(Duration::from_millis(350)).await;
    browser.picture(&format!("gate-{name}")).await;
    let overflow = browser.run(OVERFLOW).await;
    assert!(overflow[0].as_f64().is_some_and(|wide| wide <= 0.0), "{name} scrolls sideways: {overflow}");
    assert_eq!(overflow[1], json!([]), "{name} sticks out");
    let tall = browser.run("return document.documentElement.scrollHeight - innerHeight").await;
    assert!(tall.as_f64().is_some_and(|tall| tall <= 0.0), "{name} must be scrolled: {tall}");
    assert_eq!(browser.faint(CONTRAST_MIN).await, json!([]), "{name} is hard to read");
    let heard = browser.run("return document.querySelector('[role=status][aria-live]').innerText.trim()").await;
    assert!(heard.as_str().is_some_and(|text| !text.is_empty()), "{name}: a screen reader hears nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_screen_in_every_language_at_two_sizes() {
    for (width, height) in SIZES {
        let browser = Browser::open(width, height).await;
        for (language, tag) in [(Language::En, "en"), (Language::Fr, "fr"), (Language::De, "de")] {
            let page = Page::new(language, WhenUnreachable::StayClosed, None).await;
            browser.client.goto(&page.url).await.expect("the page");
            let name = |screen: &str| format!("{screen}-{tag}-{width}x{height}");
            for (screen, shown) in [
                (Screen::Idle, "idle"),
                (Screen::Admitted, "admitted"),
                (Screen::Refused, "refused"),
                (Screen::StepUp, "step-up"),
                (Screen::CodeRefused, "code-refused"),
                (Screen::CodeUnavailable, "code-unavailable"),
                (Screen::Sensor, "sensor"),
                (Screen::Unreachable, "unreachable"),
            ] {
                page.tell(&browser, shown, |display| display.show(screen)).await;
                look(&browser, &name(shown)).await;
            }
            page.tell(&browser, "guidance", |display| display.guide(Some(Guidance::FingersApart), 0.0)).await;
            look(&browser, &name("guidance")).await;
            let later = volar_core::clock::Clock::now(&SystemClock).after(Duration::from_secs(600));
            page.tell(&browser, "locked-out", |display| display.lock("LOCKED_OUT", later.unix_milliseconds())).await;
            look(&browser, &name("locked-out")).await;
            page.tell(&browser, "keypad", |display| drop(display.ask(later.unix_milliseconds()))).await;
            look(&browser, &name("keypad")).await;
            let open = Page::new(language, WhenUnreachable::Open, None).await;
            browser.client.goto(&open.url).await.expect("the page");
            open.tell(&browser, "unreachable-open", |display| display.show(Screen::Unreachable)).await;
            look(&browser, &name("unreachable-open")).await;
        }
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_is_gone_is_out_of_order_and_not_frozen() {
    let mut system = System::whole();
    let browser = Browser::open(1280, 800).await;
    let url = system.deployment.gate().expect("it runs").page.url();
    browser.client.goto(&url).await.expect("the page");
    browser.shown("body[data-screen=idle] #headline").await;
    system.deployment.gate_process().expect("it runs").kill();
    browser.shown("body[data-screen=offline] #headline").await;
    for (width, height) in SIZES {
        browser.resize(width, height).await;
        look(&browser, &format!("offline-{width}x{height}")).await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_panel_of_a_simulated_sensor_covers_nothing() {
    let simulated = SensorConfig::Simulated { seed: 1, width: 640, height: 480, frame_rate: 5.0 };
    let stage = sensor::open(&simulated, Arc::new(SystemClock)).expect("a fair size").stage;
    for (width, height) in SIZES {
        let browser = Browser::open(width, height).await;
        let page = Page::new(Language::En, WhenUnreachable::StayClosed, stage.clone()).await;
        browser.client.goto(&page.url).await.expect("the page");
        page.tell(&browser, "idle", |display| display.show(Screen::Idle)).await;
        let panel = browser.shown("#stage summary").await;
        look(&browser, &format!("panel-closed-{width}x{height}")).await;
        panel.click().await.expect("it opens");
        browser.shown("#stage button").await;
        look(&browser, &format!("panel-open-{width}x{height}")).await;
        let covered = "const said = document.querySelector('#said').getBoundingClientRect();
            return document.querySelector('#stage').getBoundingClientRect().top - said.bottom";
        let room = browser.run(covered).await;
        assert!(room.as_f64().is_some_and(|room| room >= 0.0), "the panel covers what the gate says by {room}");
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gates_page_shows_what_the_gate_says() {
    let system = System::whole();
    let gate = system.deployment.gate().expect("it runs");
    let browser = Browser::open(1280, 800).await;
    browser.client.goto(&gate.page.url()).await.expect("the page");
    let text = || browser.run("return document.body.innerText.trim()");
    let at_rest = wait_for_text(&browser, |text| !text.is_empty()).await;
    browser.picture("gate-ready").await;
    gate.stage(&json!({"show": "hand", "person": 99, "position": "left"})).expect("a scene");
    let from = gate.lines().count();
    let decided = gate.lines().wait(from, PAGE_PATIENCE, |event| event["event"] == "decision");
    assert_eq!(decided.expect("not interrupted").expect("a stranger is decided on")["decision"], "no-match");
    wait_for_text(&browser, |text| text != at_rest).await;
    browser.picture("gate-no-match").await;
    assert!(browser.client.find(Locator::Css("[role=status], [aria-live]")).await.is_ok(), "a screen reader hears it");
    let overflow = browser.run(OVERFLOW).await;
    assert!(overflow[0].as_f64().is_some_and(|wide| wide <= 0.0), "{overflow}, {}", text().await);
    browser.close().await;
}

async fn wait_for_text(browser: &Browser, wanted: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + PAGE_PATIENCE;
    loop {
        let text = browser.run("return document.body.innerText.trim()").await;
        let text = text.as_str().unwrap_or_default();
        if wanted(text) {
            return text.to_owned();
        }
        assert!(Instant::now() < end, "the page still says {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digits_are_typed_by_finger_or_keyboard_and_shown_to_nobody() {
    let browser = Browser::open(480, 800).await;
    let page = Page::new(Language::En, WhenUnreachable::StayClosed, None).await;
    browser.client.goto(&page.url).await.expect("the page");
    let key = |text: &'static str| {
        format!("[...document.querySelectorAll('#keypad button')].find((key) => key.textContent === '{text}').click()")
    };
    let typed = page.display.ask(4_000_000_000_000);
    browser.shown("#keypad .keys").await;
    for text in ["8", "0", "9", "⌫", "7", "4"] {
        browser.run(&key(text)).await;
    }
    let shown = browser.run("return document.body.innerText").await;
    let shown = shown.as_str().expect("text");
    assert!(shown.contains("●●●●") && !shown.contains("8074"), "{shown}");
    browser.picture("gate-keypad-typed").await;
    browser.run(&key("✓")).await;
    let typed = tokio::time::timeout(PAGE_PATIENCE, typed).await.expect("in time").expect("typed");
    assert!(matches!(&typed, Typed::Digits(digits) if digits.expose() == "8074"), "{typed:?}");
    let left = browser.run("return document.querySelector('.dots-typed').textContent").await;
    assert_eq!(left, json!("○○○○"), "the page keeps nothing");

    page.tell(&browser, "idle", |display| display.show(Screen::Idle)).await;
    let typed = page.display.ask(4_000_000_000_000);
    browser.shown("#keypad .keys").await;
    let presses = "for (const key of ['5', '1', '2', '9', '3', 'Enter']) dispatchEvent(new KeyboardEvent('keydown', { key, cancelable: true }))";
    browser.run(presses).await;
    let typed = tokio::time::timeout(PAGE_PATIENCE, typed).await.expect("in time").expect("typed");
    assert!(matches!(&typed, Typed::Digits(digits) if digits.expose() == "51293"), "{typed:?}");
    browser.close().await;
}
