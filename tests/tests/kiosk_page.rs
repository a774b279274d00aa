//! The kiosk's page in a real browser: every screen, in every language, at the sizes of an upright and a lying screen.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use volar_tests::browser::{Browser, OVERFLOW, Scheme};
use volar_tests::system::System;
use xtask::kiosk::Kiosk;

/// An upright kiosk's screen, and a tablet's.
const SIZES: [(u32, u32); 2] = [(1080, 1920), (1280, 800)];
const LANGUAGES: [&str; 3] = ["en", "fr", "de"];
/// WCAG 2.2 asks for 24 CSS pixels (2.5.8) or 44 (2.5.5); fingers on a wall want more.
const TARGET_MIN: f64 = 48.0;
/// WCAG 2.2, 1.4.3 (AA).
const CONTRAST_MIN: f64 = 4.5;
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// Whatever can be pressed and is shown, with its size; the skip link shows only to the keyboard.
const TARGETS: &str = "
  return [...document.querySelectorAll('button, input, a[href], select, [role=button]')]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }) && element.id !== 'skip')
    .map((element) => { const box = element.getBoundingClientRect();
      return [element.id || element.textContent.trim(), box.width, box.height]; })";

/// A page at a kiosk, and somebody before its sensor.
struct Visitor<'a> {
    browser: &'a Browser,
    kiosk: &'a Kiosk,
    person: u64,
    language: &'a str,
    size: (u32, u32),
    scheme: Scheme,
}

impl Visitor<'_> {
    /// Checks what must hold on every screen, and keeps a picture.
    async fn look(&self, screen: &str) {
        let dark = if self.scheme == Scheme::Dark { "dark-" } else { "" };
        let name = format!("{dark}{screen}-{}-{}x{}", self.language, self.size.0, self.size.1);
        // Screens fade in; a picture of the middle of that would say nothing.
        tokio::time::sleep(Duration::from_millis(600)).await;
        self.browser.picture(&name).await;
        let overflow = self.browser.run(OVERFLOW).await;
        assert!(overflow[0].as_f64().is_some_and(|wide| wide <= 0.0), "{name} scrolls sideways: {overflow}");
        assert_eq!(overflow[1], json!([]), "{name} sticks out");
        let targets = self.browser.run(TARGETS).await;
        for target in targets.as_array().expect("a list") {
            let side = |at: usize| target[at].as_f64().expect("a number");
            assert!(side(1) >= TARGET_MIN && side(2) >= TARGET_MIN, "{name}: {target} is too small for a finger");
        }
        assert_eq!(self.browser.faint(CONTRAST_MIN).await, json!([]), "{name} is hard to read");
        let language = self.browser.run("return document.documentElement.lang").await;
        assert_eq!(language, self.language, "{name}");
        let headings = self.browser.run("return [...document.querySelectorAll('h1')].map((h) => h.textContent)").await;
        let spoken = headings.as_array().is_some_and(|all| all.len() == 1 && all[0].as_str() != Some(""));
        assert!(spoken, "{name} has headings {headings}");
    }

    async fn press(&self, id: &str) {
        self.browser.shown(&format!("#{id}:enabled")).await.click().await.expect("it can be pressed");
    }

    /// Presses a button with Tab and Enter alone.
    async fn press_by_key(&self, id: &str) {
        self.browser.shown(&format!("#{id}:enabled")).await;
        self.tab_to(id).await;
        self.key(ENTER).await;
    }

    async fn tab_to(&self, id: &str) {
        for _ in 0..40 {
            if self.browser.run("return document.activeElement?.id ?? ''").await == id {
                return;
            }
            self.key(TAB).await;
        }
        panic!("Tab does not reach {id}");
    }

    async fn key(&self, keys: &str) {
        let focused = self.browser.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("keys can be pressed");
    }

    /// Shows the hands that the page asks for until it shows another screen than the capture.
    async fn show_hands(&self) {
        let mut shown = String::new();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let state = self.kiosk.state().expect("the kiosk answers");
            let Some(capture) = state.capture else {
                if !["capture", "enrolling", "removal"].contains(&state.screen.as_str()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
                continue;
            };
            let hand = capture.hand.unwrap_or_else(|| "left".to_owned());
            if hand != shown {
                self.kiosk.stage(&self.hand(&hand)).expect("a scene");
                shown = hand;
            }
            assert!(Instant::now() < end, "still capturing: {capture:?}", capture = capture.guidance);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn hand(&self, position: &str) -> Value {
        json!({"show": "hand", "person": self.person, "position": position})
    }

    fn clear(&self) {
        self.kiosk.stage(&json!({"show": "empty"})).expect("a scene");
    }

    /// Chooses the language: every visit starts in the shop's own.
    async fn speaks(&self) {
        self.press(&format!("language-{}", self.language)).await;
        self.browser.shown(&format!("html[lang={}] #start", self.language)).await;
    }

    /// From the welcome screen to the result, with a look at each screen on the way.
    async fn enrolls(&self) {
        self.speaks().await;
        self.look("welcome").await;
        self.press("start").await;
        self.browser.shown("#agree:enabled").await;
        self.look("notice").await;
        self.press("agree").await;
        self.browser.shown("#hands-both").await;
        self.look("hands").await;
        self.press("hands-both").await;
        self.browser.shown(".screen.capture").await;
        self.look("capture").await;
        self.show_hands().await;
        self.clear();
        self.chooses_a_code().await;
        let account = self.browser.shown("#account").await;
        self.look("payment").await;
        account.send_keys(&format!("anna-{}", self.person)).await.expect("letters");
        self.press("pay").await;
        self.browser.shown(".screen.outcome.well #done").await;
        self.look("result").await;
        self.press("done").await;
        self.browser.shown("#start").await;
    }

    /// A guessable one first, and then a good one.
    async fn chooses_a_code(&self) {
        self.browser.shown("#kind-code").await;
        self.look("second-factor").await;
        self.press("kind-code").await;
        for digit in ["1", "2", "3", "4"] {
            self.press(&format!("key-{digit}")).await;
        }
        self.press("keep-factor").await;
        self.browser.shown("#problem:not(:empty)").await;
        self.look("second-factor-refused").await;
        self.press("key-delete").await;
        self.press("key-7").await;
        self.press("keep-factor").await;
    }

    /// From the welcome screen to the receipt.
    async fn is_removed(&self) {
        self.speaks().await;
        self.press("remove-me").await;
        self.browser.shown("#remove").await;
        self.look("remove-me").await;
        self.press("remove").await;
        self.browser.shown(".screen.capture").await;
        self.show_hands().await;
        self.clear();
        let receipt = self.browser.shown("#receipt").await.text().await.expect("text");
        assert_eq!(receipt.len(), 36, "a receipt's number, not {receipt}");
        self.look("removed").await;
        self.press("done").await;
        self.browser.shown("#start").await;
    }

    async fn goes_without(&self) {
        self.speaks().await;
        self.press("without-palm").await;
        self.browser.shown(".screen.declined").await;
        self.look("declined").await;
        self.press("done").await;
        self.browser.shown("#start").await;
    }
}

/// A system whose kiosk offers a second factor.
fn offering() -> System {
    System::whole_with(vec![("kiosk", "[second_factor]\noffered = true".to_owned())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_visits_in_three_languages_at_two_sizes() {
    let system = offering();
    let kiosk = system.deployment.kiosk().expect("it runs");
    let mut person = 60;
    for (width, height) in SIZES {
        let browser = Browser::open(width, height).await;
        browser.client.goto(&kiosk.0.url()).await.expect("the page");
        for language in LANGUAGES {
            let visitor =
                Visitor { browser: &browser, kiosk, person, language, size: (width, height), scheme: Scheme::Light };
            visitor.enrolls().await;
            visitor.is_removed().await;
            visitor.goes_without().await;
            person += 1;
        }
        browser.close().await;
    }
    let left = system.deployment.operator().subjects().expect("a list");
    assert_eq!(left.len(), 0, "everyone was removed");
}

/// Colours do not depend on the language, so two of the three, in turn, see every screen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_visits_by_people_who_prefer_dark_screens() {
    let system = offering();
    let kiosk = system.deployment.kiosk().expect("it runs");
    for ((size, language), person) in SIZES.into_iter().zip(["de", "fr"]).zip(80..) {
        let scheme = Scheme::Dark;
        let browser = Browser::preferring(scheme, size.0, size.1).await;
        browser.client.goto(&kiosk.0.url()).await.expect("the page");
        let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches").await;
        assert_eq!(dark, true, "the browser does not prefer dark screens");
        let visitor = Visitor { browser: &browser, kiosk, person, language, size, scheme };
        visitor.enrolls().await;
        visitor.is_removed().await;
        visitor.goes_without().await;
        kiosk.stage(&json!({"show": "unplugged"})).expect("a scene");
        browser.shown(".screen.outcome.calm").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        browser.picture(&format!("dark-unavailable-{}x{}", size.0, size.1)).await;
        assert_eq!(browser.faint(CONTRAST_MIN).await, json!([]), "out of service is hard to read");
        kiosk.stage(&json!({"show": "empty"})).expect("a scene");
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_visit_with_the_keyboard_alone() {
    let system = offering();
    let kiosk = system.deployment.kiosk().expect("it runs");
    let (width, height) = SIZES[1];
    let browser = Browser::open(width, height).await;
    browser.client.goto(&kiosk.0.url()).await.expect("the page");
    let visitor =
        Visitor { browser: &browser, kiosk, person: 70, language: "en", size: (width, height), scheme: Scheme::Light };
    visitor.press_by_key("start").await;
    visitor.press_by_key("agree").await;
    visitor.press_by_key("hands-left").await;
    browser.shown(".screen.capture").await;
    visitor.show_hands().await;
    visitor.clear();
    browser.shown("#kind-code").await;
    visitor.tab_to("kind-phone-digits").await;
    visitor.key("8074").await;
    visitor.press_by_key("keep-factor").await;
    browser.shown("#account").await;
    visitor.tab_to("account").await;
    visitor.key("keyboard").await;
    visitor.press_by_key("pay").await;
    visitor.press_by_key("done").await;
    browser.shown("#start").await;
    assert_eq!(system.deployment.operator().subjects().expect("a list").len(), 1);
    visitor.press_by_key("remove-me").await;
    visitor.press_by_key("remove").await;
    browser.shown(".screen.capture").await;
    visitor.show_hands().await;
    browser.shown("#receipt").await;
    assert_eq!(system.deployment.operator().subjects().expect("a list").len(), 0);
    browser.close().await;
}
