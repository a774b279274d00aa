//! What follows an admission: the command and the hook, well and ill.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Gate, Reply, Setting, Sight};
use volar_gate::config::{HookConfig, OnAdmitConfig};

async fn gate_that_runs(on_admit: OnAdmitConfig) -> Gate {
    Gate::start(Setting { on_admit, ..Setting::default() }).await
}

fn shell(line: &str) -> OnAdmitConfig {
    OnAdmitConfig { shell: Some(line.to_owned()), ..OnAdmitConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_ticket_lane_and_decision() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (program, told) = (folder.path().join("open door"), folder.path().join("told"));
    // A name with a space, and words that a shell would change: there is no shell.
    let script = format!(
        "#!/bin/sh\necho \"$1 $2 $VOLAR_TICKET $VOLAR_TICKET_ID $VOLAR_LANE\" > {}\ncat >> {}\n",
        told.display(),
        told.display()
    );
    std::fs::write(&program, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("executable");
    let words = [program.to_str().expect("UTF-8"), "$HOME", "*"].map(str::to_owned).to_vec();
    let on_admit = OnAdmitConfig { command: Some(words), ..OnAdmitConfig::default() };
    let mut gate = gate_that_runs(on_admit).await;
    gate.stand.show(Sight::StillHand);
    let ended = gate.event("command").await;
    assert_eq!((&ended["exit_code"], &ended["timed_out"]), (&0.into(), &false.into()), "{ended}");
    assert_eq!(ended["ticket_id"], "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d");
    let told = std::fs::read_to_string(told).expect("the command ran");
    let (first, rest) = told.split_once('\n').expect("two lines");
    assert_eq!(first, "$HOME * AQIDBA 3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d lane-1");
    let line: serde_json::Value = serde_json::from_str(rest).expect("the decision's line");
    assert_eq!((&line["decision"], &line["ticket"]), (&"admitted".into(), &"AQIDBA".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_says_with_which_code() {
    let mut gate = gate_that_runs(shell("exit 7")).await;
    gate.stand.show(Sight::StillHand);
    assert_eq!(gate.event("command").await["exit_code"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_run_says_why() {
    let words = vec!["/nowhere/open-door".to_owned()];
    let mut gate = gate_that_runs(OnAdmitConfig { command: Some(words), ..OnAdmitConfig::default() }).await;
    gate.stand.show(Sight::StillHand);
    let ended = gate.event("command").await;
    assert!(ended["error"].as_str().is_some_and(|error| error.contains("/nowhere/open-door")), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_is_stopped_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let late = folder.path().join("late");
    let line = format!("(sleep 2; touch {}) & sleep 60", late.display());
    let mut gate = gate_that_runs(OnAdmitConfig { time_max_ms: 300, ..shell(&line) }).await;
    let began = Instant::now();
    gate.stand.show(Sight::StillHand);
    let ended = gate.event("command").await;
    assert_eq!((&ended["timed_out"], &ended["exit_code"]), (&true.into(), &serde_json::Value::Null));
    assert!(began.elapsed() < Duration::from_secs(10));
    // The gate went on meanwhile.
    gate.stand.show(Sight::Nothing);
    gate.event("left").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(!late.exists(), "what the command started was stopped too");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admissions_run_the_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mark = folder.path().join("ran");
    let mut gate = gate_that_runs(shell(&format!("touch {}", mark.display()))).await;
    gate.servers.reply([Reply::Decide(volar_proto::v1::Decision::StepUp, "BELOW_THRESHOLD", 0)]);
    assert_eq!(gate.walk_in().await["decision"], "step-up");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!mark.exists());
}

fn hook(url: String) -> HookConfig {
    HookConfig { url: Some(url), time_max_ms: 200, attempts_max: 2, queue_max: 1 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_gets_the_decision_as_the_line_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}/volar", listener.local_addr().expect("an address"));
    // Refuses once: the decision comes again.
    let server = std::thread::spawn(move || {
        ["503 Service Unavailable", "204 No Content"].map(|status| {
            let (mut connection, _) = listener.accept().expect("a call");
            let request = read_request(&mut connection);
            write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("written");
            request
        })
    });
    let mut gate =
        Gate::start(Setting { hook: HookConfig { time_max_ms: 5_000, ..hook(url) }, ..Setting::default() }).await;
    let line = gate.walk_in().await;
    let requests = server.join().expect("no panic");
    for request in requests {
        let (head, body) = request.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("POST /volar HTTP/1.1"), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).expect("JSON"), line);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_hook_does_not_hold_the_gate_up() {
    // Accepts calls and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let mut gate = Gate::start(Setting { hook: hook(url), ..Setting::default() }).await;
    for _ in 0..5 {
        let decision = gate.walk_in().await;
        assert_eq!(decision["decision"], "admitted");
        assert!(decision["milliseconds"]["total"].as_f64() < Some(2_500.0), "{decision}");
    }
}

fn read_request(connection: &mut std::net::TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let count = connection.read(&mut buffer).expect("readable");
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next().and_then(|length| length.trim().parse::<usize>().ok()));
        if count == 0 || length.is_some_and(|length| body.len() >= length) {
            return text;
        }
    }
}
