//! A gate with everything around it made up: a sensor that is told what to see, a matcher and a vault that are told
//! what to answer.

pub(crate) mod eye;
pub(crate) mod servers;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::{CancellationToken, DropGuard};
use volar_core::clock::Clock;
use volar_gate::act::Act;
use volar_gate::agent::{Agent, Parts};
use volar_gate::config::{HookConfig, Language, OnAdmitConfig, WhenUnreachable};
use volar_gate::eye::Eye;
use volar_gate::identify::Identifier;
use volar_gate::link::{self, Link};
use volar_gate::protection::KeySource;
use volar_gate::screen::{Display, Fixed, Screen};
use volar_service::system::{SystemClock, SystemRandomness};

pub(crate) use eye::{Sight, Stand};
pub(crate) use servers::{Reply, Servers};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a gate under test differs from the default.
pub(crate) struct Setting {
    pub(crate) decision_time_max: Duration,
    pub(crate) when_unreachable: WhenUnreachable,
    pub(crate) on_admit: OnAdmitConfig,
    pub(crate) hook: HookConfig,
    /// Whether the matcher's health is asked.
    pub(crate) monitored: bool,
    /// Whether somebody can type.
    pub(crate) keypad: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            decision_time_max: Duration::from_secs(3),
            when_unreachable: WhenUnreachable::StayClosed,
            on_admit: OnAdmitConfig::default(),
            hook: HookConfig::default(),
            monitored: false,
            keypad: true,
        }
    }
}

/// A running gate.
pub(crate) struct Gate {
    pub(crate) servers: Servers,
    pub(crate) stand: Stand,
    pub(crate) display: Display,
    lines: UnboundedReceiver<Value>,
    _stop: DropGuard,
}

impl Gate {
    pub(crate) async fn start(setting: Setting) -> Self {
        let (eye, stand) = eye::scripted();
        Self::watching(setting, eye, stand).await
    }

    /// With any eye.
    pub(crate) async fn watching(setting: Setting, eye: impl Eye, stand: Stand) -> Self {
        let servers = Servers::start().await;
        let stop = CancellationToken::new();
        let (sender, lines) = unbounded_channel();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let lane: volar_core::id::LaneId = "lane-1".parse().expect("a slug");
        let gallery: volar_core::id::GalleryId = "members".parse().expect("a slug");
        let galleries = volar_core::galleries::Galleries::from(gallery);

        let out = Box::new(LineSender(sender, Vec::new()));
        let act =
            Act::start(lane.clone(), &setting.on_admit, &setting.hook, out, clock.clone()).expect("threads start");
        let when_unreachable = setting.when_unreachable;
        let fixed =
            Fixed { language: Language::En, lane: lane.clone(), other_way: None, when_unreachable, stage: false };
        let display = Display::new(fixed);
        let keys = KeySource::new(servers.vault_channel(), galleries.clone(), servers::MODEL.parse().expect("a slug"));
        let protections = keys.fetch(PATIENCE).await.expect("the vault answers");
        let identifier = Identifier::new(
            servers.matcher_channel(),
            keys,
            protections,
            lane,
            setting.decision_time_max,
            Arc::new(SystemRandomness),
        );
        let link = Link::default();
        let parts = Parts {
            watch: volar_gate::eye::start(eye, stop.clone()).expect("the thread starts"),
            identifier,
            link: link.clone(),
            act,
            display: display.clone(),
            clock,
            when_unreachable,
            device: "gate-1".parse().expect("a slug"),
            galleries,
            keypad: setting.keypad,
        };
        if setting.monitored {
            tokio::spawn(link::monitor(servers.matcher_channel(), link, stop.clone()));
        }
        tokio::spawn(Agent::new(parts).run());
        let mut gate = Self { servers, stand, display, lines, _stop: stop.drop_guard() };
        gate.event("ready").await;
        gate
    }

    /// The next line of this kind; others before it are passed over.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
            let Ok(Some(line)) = next else { panic!("no {kind} after {seen:?}") };
            if line["event"] == kind {
                return line;
            }
            seen.push(line);
        }
    }

    /// The kinds of every line until there has been none for a while.
    pub(crate) async fn rest(&mut self, quiet: Duration) -> Vec<String> {
        let mut kinds = Vec::new();
        while let Ok(Some(line)) = tokio::time::timeout(quiet, self.lines.recv()).await {
            kinds.push(line["event"].as_str().expect("a kind").to_owned());
        }
        kinds
    }

    /// Waits until the screen is this one.
    pub(crate) async fn screen(&self, wanted: Screen) {
        let mut changes = self.display.subscribe();
        let shown = tokio::time::timeout(PATIENCE, changes.wait_for(|state| state.screen == wanted)).await;
        assert!(shown.is_ok(), "the screen is {:?}, not {wanted:?}", self.display.state().screen);
    }

    /// Shows a hand until there is a decision, and takes it away.
    pub(crate) async fn walk_in(&mut self) -> Value {
        self.stand.show(Sight::StillHand);
        let decision = self.event("decision").await;
        self.stand.show(Sight::Nothing);
        self.event("left").await;
        decision
    }
}

/// Sends each line written to it.
struct LineSender(UnboundedSender<Value>, Vec<u8>);

impl Write for LineSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.1.drain(..=end).collect();
            let line = serde_json::from_slice(&line).expect("each line is one JSON object");
            self.0.send(line).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
