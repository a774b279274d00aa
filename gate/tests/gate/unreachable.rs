//! A matcher that goes away, comes back, dawdles or refuses.

use std::time::{Duration, Instant};

use crate::support::{Gate, Reply, Setting, Sight};
use tonic::Code;
use volar_gate::config::{OnAdmitConfig, WhenUnreachable};
use volar_gate::screen::Screen;

fn setting(when_unreachable: WhenUnreachable) -> Setting {
    Setting { when_unreachable, decision_time_max: Duration::from_millis(800), ..Setting::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matcher_that_restarts_in_time_goes_unnoticed() {
    let mut gate = Gate::start(Setting::default()).await;
    assert_eq!(gate.walk_in().await["decision"], "admitted");
    gate.servers.stop_matcher().await;
    gate.stand.show(Sight::StillHand);
    gate.event("hand").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    gate.servers.start_matcher().await;
    let decision = gate.event("decision").await;
    assert_eq!(decision["decision"], "admitted");
    assert!(decision["milliseconds"]["identify"].as_f64() > Some(300.0), "{decision}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_again_keeps_its_idempotency_id() {
    let mut gate = Gate::start(Setting::default()).await;
    // The first answer is lost on its way; the second question is refused for a moment.
    let late = Reply::Late(Duration::from_secs(30), Box::new(Reply::Admit));
    gate.servers.reply([late, Reply::Fail(Code::ResourceExhausted, "MATCHER_BUSY")]);
    assert_eq!(gate.walk_in().await["decision"], "admitted");
    let asked = gate.servers.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| *request == asked[0]), "the same question, to the letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_matcher_keeps_the_gate_closed_by_default() {
    let ran = tempfile::tempdir().expect("a temporary folder");
    let mark = ran.path().join("opened");
    let shell = format!("touch {}", mark.display());
    let on_admit = OnAdmitConfig { shell: Some(shell), ..OnAdmitConfig::default() };
    let mut gate = Gate::start(Setting { on_admit, ..setting(WhenUnreachable::StayClosed) }).await;
    gate.servers.stop_matcher().await;
    let began = Instant::now();
    gate.stand.show(Sight::StillHand);
    let event = gate.event("unreachable").await;
    assert!(began.elapsed() < Duration::from_secs(4), "a person is not kept waiting: {:?}", began.elapsed());
    assert_eq!((&event["policy"], &event["opened"]), (&"stay-closed".into(), &false.into()));
    assert_eq!(event["reason"], "NOT_REACHED");
    gate.screen(Screen::Unreachable).await;
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;

    gate.servers.start_matcher().await;
    assert!(!mark.exists(), "nothing opened the gate");
    gate.stand.show(Sight::StillHand);
    gate.event("recovered").await;
    assert_eq!(gate.event("decision").await["decision"], "admitted");
    gate.event("command").await;
    assert!(mark.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_matcher_opens_the_gate_where_the_shop_says_so() {
    let ran = tempfile::tempdir().expect("a temporary folder");
    let told = ran.path().join("told");
    let shell = format!("cat > {}; echo \"ticket=${{VOLAR_TICKET-none}}\" >> {}", told.display(), told.display());
    let on_admit = OnAdmitConfig { shell: Some(shell), ..OnAdmitConfig::default() };
    let mut gate = Gate::start(Setting { on_admit, ..setting(WhenUnreachable::Open) }).await;
    gate.servers.stop_matcher().await;
    gate.stand.show(Sight::StillHand);
    let event = gate.event("unreachable").await;
    assert_eq!((&event["policy"], &event["opened"]), (&"open".into(), &true.into()));
    assert_eq!(gate.event("command").await["exit_code"], 0);
    let told = std::fs::read_to_string(told).expect("the command ran");
    assert!(told.contains("\"opened\":true") && told.contains("ticket=none"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_never_opens_the_gate() {
    let mut gate = Gate::start(setting(WhenUnreachable::Open)).await;
    gate.servers.reply([Reply::Fail(Code::PermissionDenied, "ROLE_NOT_ALLOWED")]);
    gate.stand.show(Sight::StillHand);
    let event = gate.event("unreachable").await;
    assert_eq!((&event["reason"], &event["opened"]), (&"ROLE_NOT_ALLOWED".into(), &false.into()));
    assert_eq!(gate.servers.asked().len(), 1, "what cannot pass is not tried again");
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;
    assert_eq!(gate.walk_in().await["decision"], "admitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matcher_that_dawdles_is_given_up_in_time() {
    let mut gate = Gate::start(setting(WhenUnreachable::StayClosed)).await;
    gate.servers.reply(vec![Reply::Late(Duration::from_secs(30), Box::new(Reply::Admit)); 8]);
    gate.stand.show(Sight::StillHand);
    gate.event("hand").await;
    let began = Instant::now();
    assert_eq!(gate.event("unreachable").await["reason"], "NO_ANSWER");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_says_so_before_anyone_tries_and_clears_by_itself() {
    let mut gate = Gate::start(Setting { monitored: true, ..Setting::default() }).await;
    gate.servers.stop_matcher().await;
    assert_eq!(gate.event("unreachable").await["opened"], false);
    gate.screen(Screen::Unreachable).await;
    gate.servers.start_matcher().await;
    gate.event("recovered").await;
    gate.screen(Screen::Idle).await;
    assert!(gate.servers.asked().is_empty(), "no hand was needed");
}
