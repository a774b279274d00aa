//! A palm that is not sure enough, and the digits that make up for it.

use std::time::Duration;

use serde_json::Value;
use tonic::Code;
use volar_core::second_factor::Digits;
use volar_gate::config::WhenUnreachable;
use volar_gate::keypad::Typed;
use volar_gate::screen::Screen;
use volar_proto::v1::Decision;
use zeroize::Zeroizing;

use crate::support::servers::CHALLENGE;
use crate::support::{Gate, Reply, Setting, Sight};

const MINUTE: u64 = 60_000;

fn digits() -> Typed {
    Typed::Digits(Digits::new(Zeroizing::new("8074".to_owned())).expect("digits"))
}

/// A gate whose next palms are unsure, and get these answers to what is typed.
async fn unsure(setting: Setting, answers: impl IntoIterator<Item = Reply>) -> Gate {
    let gate = Gate::start(setting).await;
    gate.servers.reply(answers.into_iter().flat_map(|answer| [Reply::Challenge(MINUTE), answer]));
    gate
}

impl Gate {
    /// A hand comes, is not sure enough, and goes; the keypad is up.
    async fn is_asked(&mut self) {
        self.stand.show(Sight::StillHand);
        assert_eq!(self.event("decision").await["decision"], "step-up");
        let asked = self.event("second-factor").await;
        assert_eq!((&asked["state"], &asked["time_max_ms"]), (&"asked".into(), &30_000.into()));
        self.screen(Screen::Keypad).await;
        self.stand.show(Sight::Nothing);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    async fn types(&mut self) -> Value {
        self.display.typed(digits()).expect("asked");
        assert_eq!(self.event("second-factor").await["state"], "typed");
        self.event("decision").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_digits_admit_with_a_ticket() {
    let mut gate = unsure(Setting::default(), [Reply::Admit]).await;
    gate.is_asked().await;
    let decision = gate.types().await;
    assert_eq!((&decision["decision"], &decision["reason"]), (&"admitted".into(), &"SECOND_FACTOR".into()));
    assert_eq!(decision["ticket"], "AQIDBA");
    gate.screen(Screen::Admitted).await;
    gate.event("left").await;
    gate.screen(Screen::Idle).await;
    let verified = gate.servers.verified();
    assert_eq!(verified.len(), 1);
    assert_eq!((verified[0].challenge.as_slice(), verified[0].digits.as_str()), (&CHALLENGE[..], "8074"));
    assert_ne!(verified[0].idempotency_id, gate.servers.asked()[0].idempotency_id);
    assert!(!decision.to_string().contains("8074"));
    assert_eq!(gate.walk_in().await["decision"], "admitted", "and the next person enters");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_digits_are_refused_and_the_hand_may_be_shown_again() {
    let wrong = Reply::Decide(Decision::Rejected, "SECOND_FACTOR_REFUSED", 0);
    let mut gate = unsure(Setting::default(), [wrong, Reply::Admit]).await;
    gate.is_asked().await;
    let decision = gate.types().await;
    assert_eq!((&decision["decision"], &decision["reason"]), (&"rejected".into(), &"SECOND_FACTOR_REFUSED".into()));
    assert!(decision["ticket"].is_null());
    gate.screen(Screen::CodeRefused).await;
    gate.event("left").await;
    gate.is_asked().await;
    assert_eq!(gate.types().await["decision"], "admitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_keypad_spares_the_typing_and_palms_go_on() {
    let locked = Reply::Decide(Decision::Rejected, "LOCKED_OUT", 1_000);
    let mut gate = unsure(Setting::default(), [locked]).await;
    gate.servers.reply([Reply::Challenge(MINUTE), Reply::Admit, Reply::Challenge(MINUTE)]);
    gate.is_asked().await;
    assert_eq!(gate.types().await["reason"], "LOCKED_OUT");
    gate.screen(Screen::CodeUnavailable).await;
    gate.event("left").await;
    assert_eq!(gate.walk_in().await["decision"], "step-up");
    assert_eq!(gate.display.state().screen, Screen::CodeUnavailable, "nobody is asked");
    assert_eq!(gate.walk_in().await["decision"], "admitted");
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    gate.is_asked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_that_nobody_can_check_open_nothing_and_staff_helps() {
    let setting = Setting {
        decision_time_max: Duration::from_millis(500),
        when_unreachable: WhenUnreachable::Open,
        ..Setting::default()
    };
    let mut gate = Gate::start(setting).await;
    gate.servers.reply([Reply::Challenge(MINUTE)]);
    gate.servers.reply(vec![Reply::Fail(Code::Unavailable, "SECOND_FACTOR_UNAVAILABLE"); 50]);
    gate.is_asked().await;
    gate.display.typed(digits()).expect("asked");
    assert_eq!(gate.event("second-factor").await["state"], "typed");
    let unchecked = gate.event("second-factor").await;
    assert_eq!(unchecked["state"], "unchecked");
    assert_eq!(unchecked["reason"], "SECOND_FACTOR_UNAVAILABLE");
    gate.screen(Screen::CodeUnavailable).await;
    let verified = gate.servers.verified();
    assert!(verified.len() > 1, "it is tried again");
    assert!(verified.iter().all(|call| call.idempotency_id == verified[0].idempotency_id), "as one call");
    let rest = gate.rest(Duration::from_millis(300)).await;
    assert!(!rest.iter().any(|kind| kind == "decision" || kind == "unreachable"), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_the_keypad_be_is_sent_to_staff() {
    let mut gate = Gate::start(Setting::default()).await;
    gate.servers.reply([Reply::Challenge(MINUTE), Reply::Challenge(300)]);
    gate.is_asked().await;
    gate.display.typed(Typed::Cancelled).expect("asked");
    assert_eq!(gate.event("second-factor").await["state"], "cancelled");
    gate.screen(Screen::StepUp).await;
    gate.event("left").await;

    gate.stand.show(Sight::StillHand);
    assert_eq!(gate.event("second-factor").await["time_max_ms"], 300);
    assert_eq!(gate.event("second-factor").await["state"], "timed-out");
    gate.screen(Screen::StepUp).await;
    assert!(gate.display.typed(digits()).is_err(), "too late");
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;
    assert!(gate.servers.verified().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_that_passes_while_somebody_types_is_asked_about_afterwards() {
    let mut gate = unsure(Setting::default(), [Reply::Admit]).await;
    gate.is_asked().await;
    gate.stand.show(Sight::StillHand);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(gate.display.state().screen, Screen::Keypad, "it is of no account");
    assert_eq!(gate.types().await["decision"], "admitted");
    assert_eq!(gate.event("decision").await["reason"], "MATCH", "the next person's turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sensor_ends_the_keypad() {
    let mut gate = unsure(Setting::default(), []).await;
    gate.servers.reply([Reply::Challenge(MINUTE)]);
    gate.is_asked().await;
    gate.stand.show(Sight::Unplugged);
    assert_eq!(gate.event("sensor").await["state"], "lost");
    assert_eq!(gate.event("second-factor").await["state"], "cancelled");
    gate.screen(Screen::Sensor).await;
    gate.stand.show(Sight::Nothing);
    gate.screen(Screen::Idle).await;
    assert_eq!(gate.walk_in().await["decision"], "admitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_without_a_keypad_asks_nobody() {
    let mut gate = unsure(Setting { keypad: false, ..Setting::default() }, []).await;
    gate.servers.reply([Reply::Challenge(MINUTE)]);
    assert_eq!(gate.walk_in().await["decision"], "step-up");
    gate.screen(Screen::StepUp).await;
    assert!(gate.rest(Duration::from_millis(200)).await.is_empty());
}
