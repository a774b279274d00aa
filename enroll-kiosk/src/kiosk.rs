//! Brings the session to life: passes touches, frames, time and answers in, carries out what it asks for, and tells
//! whoever looks on when something changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use volar_core::clock::Clock;
use volar_core::id::{IdempotencyId, ModelId};
use volar_core::log_safe::log_safe;
use volar_core::randomness::Randomness;
use volar_core::template::Position;
use volar_palm::guided::Observation;
use volar_palm::sensor::{SensorError, Stage};
use zeroize::Zeroizing;

use crate::matcher_client::MatcherClient;
use crate::notice::{Notice, NoticeConfig};
use crate::payment::PaymentProvider;
use crate::second_factor::{Chosen, FactorError};
use crate::session::{Next, OrderError, Rules, Session};
use crate::state::State;
use crate::texts::Language;
use crate::vault_client::VaultClient;

/// What a kiosk is built of.
pub struct Parts {
    /// How sessions go.
    pub rules: Rules,
    /// The notice.
    pub notice: NoticeConfig,
    /// The vault.
    pub vault: VaultClient,
    /// The matcher.
    pub matcher: MatcherClient,
    /// The payment provider.
    pub provider: Arc<dyn PaymentProvider>,
    /// The embedding model of this kiosk's software.
    pub model: ModelId,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub randomness: Arc<dyn Randomness>,
    /// Says what is in front of the sensor, if that can be said.
    pub stage: Option<Stage>,
    /// Whether the live picture is shown mirrored.
    pub mirror_picture: bool,
    /// Ends everything.
    pub shutdown: CancellationToken,
}

/// One kiosk.
pub struct Kiosk {
    pub(crate) parts: Parts,
    session: Mutex<Session>,
    state: watch::Sender<Arc<State>>,
    picture: watch::Sender<Option<Arc<Zeroizing<Vec<u8>>>>>,
    /// Cancelled when the session ends.
    work: Mutex<CancellationToken>,
    runtime: Handle,
}

impl Kiosk {
    /// A kiosk at its welcome. Must be called inside a Tokio runtime.
    pub fn new(parts: Parts) -> Arc<Self> {
        let now = parts.clock.now();
        let session = Session::new(parts.rules.clone(), now);
        let state = State::of(&session, parts.stage.is_some(), parts.mirror_picture, now);
        let work = Mutex::new(parts.shutdown.child_token());
        let (state, picture) = (watch::Sender::new(Arc::new(state)), watch::Sender::new(None));
        Arc::new(Self { parts, session: Mutex::new(session), state, picture, work, runtime: Handle::current() })
    }

    /// What the screen shows now.
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// Tells of every change of the state.
    pub fn states(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// The live picture (JPEG), newest only; none while nobody needs it.
    pub fn pictures(&self) -> watch::Receiver<Option<Arc<Zeroizing<Vec<u8>>>>> {
        self.picture.subscribe()
    }

    /// Says what is in front of the sensor, if that can be said.
    pub fn stage(&self) -> Option<&Stage> {
        self.parts.stage.as_ref()
    }

    /// The notice in `language`.
    pub fn notice(&self, language: Language) -> Notice {
        Notice::new(&self.parts.notice, language)
    }

    /// welcome -> notice.
    pub fn start(self: &Arc<Self>, language: Language) -> Result<(), OrderError> {
        self.act(|session, now| session.start(language, now))?;
        metrics::counter!("volar_kiosk_sessions_started_total").increment(1);
        tracing::info!(language = %log_safe(&language), "session started");
        Ok(())
    }

    /// welcome -> removal.
    pub fn start_removal(self: &Arc<Self>, language: Language) -> Result<(), OrderError> {
        self.act(|session, now| session.start_removal(language, now))?;
        metrics::counter!("volar_kiosk_sessions_started_total").increment(1);
        tracing::info!(language = %log_safe(&language), "removal started");
        Ok(())
    }

    /// notice -> hands. `shown` is the digest of the text that the page showed, if it says.
    pub fn consent(self: &Arc<Self>, shown: Option<&str>) -> Result<(), OrderError> {
        self.act(|session, now| {
            let notice = Notice::new(&self.parts.notice, session.language);
            if shown.is_some_and(|shown| shown != notice.text_sha256) {
                return Err(OrderError::NoticeChanged);
            }
            session.consent(notice.released(now), now)
        })
    }

    /// hands -> capture.
    pub fn choose_hands(self: &Arc<Self>, hands: &[Position]) -> Result<(), OrderError> {
        self.act(|session, now| session.choose_hands(hands, now))
    }

    /// second-factor: keeps what the person chose, or says on the screen why that cannot be.
    pub fn choose_factor(self: &Arc<Self>, chosen: Result<Chosen, FactorError>) -> Result<(), OrderError> {
        self.act(|session, now| session.choose_factor(chosen, now))
    }

    /// second-factor -> payment: the person goes without.
    pub fn skip_factor(self: &Arc<Self>) -> Result<(), OrderError> {
        self.act(|session, now| session.skip_factor(now))
    }

    /// payment: hands the answers to the provider.
    pub async fn pay(self: &Arc<Self>, answers: BTreeMap<String, String>) -> Result<(), OrderError> {
        let (number, begun) =
            self.act(|session, now| session.answer_payment(now).map(|begun| (session.number(), begun)))?;
        let checked = self.parts.provider.complete(&begun, answers.into()).await;
        if let Err(error) = &checked {
            tracing::info!(reason = error.reason(), "payment not accepted");
        }
        self.act(|session, now| session.payment_checked(number, checked, now));
        Ok(())
    }

    /// payment: the person goes without.
    pub fn skip_payment(self: &Arc<Self>) -> Result<(), OrderError> {
        self.act(|session, now| session.skip_payment(now))
    }

    /// Forgets everything and says how to do without a palm.
    pub fn decline(self: &Arc<Self>) {
        self.act(|session, now| session.decline(now));
    }

    /// Forgets everything.
    pub fn cancel(self: &Arc<Self>) {
        self.act(|session, now| session.cancel(now));
    }

    /// Changes the language of the screens.
    pub fn speak(self: &Arc<Self>, language: Language) {
        self.act(|session, now| session.speak(language, now));
    }

    /// Somebody is there.
    pub fn touch(self: &Arc<Self>) {
        self.act(|session, now| session.touch(now));
    }

    /// The capture under way, by number, if frames are wanted.
    pub fn watching(&self) -> Option<u64> {
        self.locked().watching()
    }

    /// Whether somebody looks at the live picture: in a session that captures, or while the sensor is simulated.
    pub fn is_picture_wanted(&self) -> bool {
        self.picture.receiver_count() > 0 && (self.parts.stage.is_some() || self.watching().is_some())
    }

    /// Hands the live picture to whoever looks on; the one before is forgotten.
    pub fn show(&self, picture: Option<Zeroizing<Vec<u8>>>) {
        self.picture.send_replace(picture.map(Arc::new));
    }

    /// What a frame of capture `number` showed.
    pub fn observe(self: &Arc<Self>, number: u64, seen: Observation, frame_size: (u32, u32)) -> Next {
        metrics::counter!("volar_kiosk_frames_total").increment(1);
        self.act(|session, now| session.observe(number, seen, frame_size, now))
    }

    /// The sensor delivers frames.
    pub fn sensor_works(self: &Arc<Self>) {
        if self.locked().is_sensor_missing() {
            tracing::info!("the sensor delivers again");
            metrics::gauge!("volar_kiosk_sensor_up").set(1.0);
            self.act(|session, _| session.sensor_works(true));
        }
    }

    /// The sensor delivers none.
    pub fn sensor_failed(self: &Arc<Self>, error: &SensorError) {
        if !self.locked().is_sensor_missing() {
            tracing::warn!(%error, "no frames");
            metrics::gauge!("volar_kiosk_sensor_up").set(0.0);
            self.act(|session, _| session.sensor_works(false));
        }
    }

    /// Lets the session do something, carries out what it asks for, and tells whoever looks on.
    pub(crate) fn act<R>(self: &Arc<Self>, action: impl FnOnce(&mut Session, volar_core::clock::Timestamp) -> R) -> R {
        let now = self.parts.clock.now();
        let mut session = self.locked();
        let returned = action(&mut session, now);
        let (effects, endings, number) = (session.take_effects(), session.take_endings(), session.number());
        let captures = session.take_captures();
        let mut state = State::of(&session, self.parts.stage.is_some(), self.parts.mirror_picture, now);
        self.state.send_if_modified(|shown| {
            if shown.screen != state.screen {
                tracing::debug!(screen = state.screen, session = number, "screen");
            }
            state.change = shown.change;
            let changed = **shown != state;
            if changed {
                state.change += 1;
                *shown = Arc::new(state);
            }
            changed
        });
        drop(session);
        for took in captures {
            metrics::histogram!("volar_kiosk_capture_seconds").record(took.as_secs_f64());
        }
        for (ending, took) in endings {
            metrics::counter!("volar_kiosk_sessions_total", "outcome" => ending.as_str()).increment(1);
            metrics::histogram!("volar_kiosk_session_seconds").record(took.as_secs_f64());
            tracing::info!(outcome = ending.as_str(), seconds = took.as_secs(), "session ended");
        }
        for effect in effects {
            self.carry_out(number, effect);
        }
        returned
    }

    /// A token that lives as long as the session that is under way now.
    pub(crate) fn session_token(&self) -> CancellationToken {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn forget_work(&self) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.cancel();
        *work = self.parts.shutdown.child_token();
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    pub(crate) fn idempotency_id(&self) -> IdempotencyId {
        IdempotencyId::random(&*self.parts.randomness)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
