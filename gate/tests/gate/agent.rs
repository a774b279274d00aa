//! The agent, from a hand to a decision.

use std::time::{Duration, Instant};

use crate::support::{Gate, Reply, Setting, Sight};
use volar_gate::screen::Screen;
use volar_palm::guidance::Guidance;
use volar_proto::v1::{Decision, Purpose};

async fn gate() -> Gate {
    Gate::start(Setting::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_is_admitted_with_its_ticket() {
    let mut gate = gate().await;
    gate.screen(Screen::Idle).await;
    gate.stand.show(Sight::StillHand);
    gate.event("hand").await;
    let decision = gate.event("decision").await;
    assert_eq!(decision["decision"], "admitted");
    assert_eq!(decision["reason"], "MATCH");
    assert_eq!(decision["ticket"], "AQIDBA");
    assert_eq!(decision["lane"], "lane-1");
    let took = &decision["milliseconds"];
    for part in ["presented", "capture", "identify", "total"] {
        assert!(took[part].as_f64().is_some_and(|milliseconds| milliseconds >= 0.0), "{took}");
    }
    assert!(took["total"].as_f64() >= took["identify"].as_f64());
    gate.screen(Screen::Admitted).await;
    gate.stand.show(Sight::Nothing);
    assert_eq!(gate.event("left").await["captured"], true);
    gate.screen(Screen::Idle).await;

    let asked = gate.servers.asked();
    assert_eq!(asked.len(), 1, "one capture is one question, however long the hand stays");
    assert_eq!((asked[0].probes[0].gallery.as_str(), asked[0].lane.as_str()), ("members", "lane-1"));
    assert_eq!(asked[0].purpose(), Purpose::Admission);
    assert_eq!(asked[0].probes[0].probe.as_ref().expect("a probe").orientation_codes.len(), 49);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hand_is_a_question_of_its_own() {
    let mut gate = gate().await;
    gate.walk_in().await;
    gate.walk_in().await;
    let asked = gate.servers.asked();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].idempotency_id, asked[1].idempotency_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_guided_and_told_each_change_once() {
    let mut gate = gate().await;
    gate.stand.show(Sight::Hand(Guidance::Closer));
    assert_eq!(gate.event("guidance").await["guidance"], "closer");
    gate.screen(Screen::Guidance).await;
    assert_eq!(gate.display.state().guidance, Some(Guidance::Closer));
    tokio::time::sleep(Duration::from_millis(400)).await;
    gate.stand.show(Sight::Hand(Guidance::HoldStill));
    assert_eq!(gate.event("guidance").await["guidance"], "hold-still");
    gate.stand.show(Sight::Nothing);
    let left = gate.event("left").await;
    assert_eq!((&left["captured"], &left["guidance"]), (&false.into(), &"hold-still".into()));
    assert!(gate.servers.asked().is_empty(), "nothing was captured, so nothing was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_no_ticket_and_show_what_else_can_be_done() {
    let mut gate = gate().await;
    for (decision, reason, word, screen) in [
        (Decision::NoMatch, "BELOW_THRESHOLD", "no-match", Screen::Refused),
        (Decision::StepUp, "CLOSE_SECOND", "step-up", Screen::StepUp),
        (Decision::Rejected, "SUSPECTED_ATTACK", "rejected", Screen::Refused),
    ] {
        gate.servers.reply([Reply::Decide(decision, reason, 0)]);
        gate.stand.show(Sight::StillHand);
        let told = gate.event("decision").await;
        assert_eq!((&told["decision"], &told["reason"]), (&word.into(), &reason.into()));
        assert!(told["ticket"].is_null() && told["ticket_id"].is_null());
        gate.screen(screen).await;
        gate.stand.show(Sight::Nothing);
        gate.event("left").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_captures_the_hand_again_while_it_stays() {
    let mut gate = gate().await;
    let retry = Reply::Decide(Decision::Retry, "QUALITY_LOW", 0);
    gate.servers.reply([retry.clone(), Reply::Admit]);
    gate.stand.show(Sight::StillHand);
    assert_eq!(gate.event("decision").await["decision"], "retry");
    gate.screen(Screen::Retry).await;
    assert_eq!(gate.event("decision").await["decision"], "admitted");
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;

    // Not for ever: after a few it must be taken away.
    gate.servers.reply(vec![retry; 5]);
    gate.stand.show(Sight::StillHand);
    for _ in 0..3 {
        assert_eq!(gate.event("decision").await["decision"], "retry");
    }
    assert!(gate.rest(Duration::from_millis(1_800)).await.is_empty());
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_lane_takes_no_hand_until_its_time_is_over() {
    let mut gate = gate().await;
    gate.servers.reply([Reply::Decide(Decision::Rejected, "LOCKED_OUT", 1_500)]);
    gate.stand.show(Sight::StillHand);
    let locked = gate.event("decision").await;
    let began = Instant::now();
    assert_eq!((&locked["reason"], &locked["retry_after_ms"]), (&"LOCKED_OUT".into(), &1_500.into()));
    gate.screen(Screen::LockedOut).await;
    assert!(gate.display.state().until_unix_ms.is_some());
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;

    // Another hand, too early: it is not asked about, and the countdown stays.
    gate.stand.show(Sight::StillHand);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(gate.servers.asked().len(), 1);
    assert_eq!(gate.display.state().screen, Screen::LockedOut);
    // It may wait there: its turn comes when the time is over.
    assert_eq!(gate.event("decision").await["decision"], "admitted");
    assert!(began.elapsed() >= Duration::from_millis(1_400), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplugged_sensor_is_said_and_comes_back_by_itself() {
    let mut gate = gate().await;
    gate.stand.show(Sight::Hand(Guidance::Closer));
    gate.event("hand").await;
    gate.stand.show(Sight::Unplugged);
    let lost = gate.event("sensor").await;
    assert_eq!((&lost["state"], &lost["reason"]), (&"lost".into(), &"unplugged".into()));
    assert!(lost["message"].as_str().is_some_and(|message| message.contains("plug it in")));
    gate.screen(Screen::Sensor).await;
    assert_eq!(gate.event("left").await["captured"], false);
    gate.stand.show(Sight::Nothing);
    assert_eq!(gate.event("sensor").await["state"], "back");
    gate.screen(Screen::Idle).await;
    assert_eq!(gate.walk_in().await["decision"], "admitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_broken_frames_are_passed_over() {
    let mut gate = gate().await;
    gate.stand.show(Sight::Flickering);
    assert!(gate.rest(Duration::from_millis(300)).await.is_empty());
    gate.stand.show(Sight::Nothing);
    assert_eq!(gate.walk_in().await["decision"], "admitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_protected_anew_is_asked_again_under_its_new_key() {
    let mut gate = gate().await;
    assert_eq!(gate.servers.key_fetches(), 1);
    gate.walk_in().await;
    gate.servers.next_generation();
    assert_eq!(gate.walk_in().await["decision"], "admitted", "the person notices nothing");
    assert_eq!(gate.servers.key_fetches(), 2);
    let asked = gate.servers.asked();
    let generations: Vec<u32> = asked.iter().map(|request| request.probes[0].generation).collect();
    assert_eq!(generations, [1, 1, 2]);
    assert_ne!(asked[1].idempotency_id, asked[2].idempotency_id, "another body is another question");
    let codes = |i: usize| asked[i].probes[0].probe.as_ref().expect("a probe").orientation_codes[0].clone();
    assert_eq!(codes(0), codes(1));
    assert_ne!(codes(1), codes(2), "protected under another key");
}
