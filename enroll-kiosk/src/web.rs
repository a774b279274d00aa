//! The page's HTTP interface on the loopback address. `enroll-kiosk/README.md` documents it for whoever drives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use volar_core::second_factor::{Digits, Kind};
use volar_core::template::Position;
use volar_palm::sensor::{Scene, SensorConfig};
use zeroize::Zeroizing;

use crate::kiosk::Kiosk;
use crate::page;
use crate::parameters::{BODY_BYTES_MAX, LIVE_CONNECTIONS_MAX};
use crate::second_factor::{Chosen, FactorError};
use crate::session::OrderError;
use crate::texts::{Language, UnknownLanguage};

/// What the handlers share.
#[derive(Clone)]
struct Served {
    kiosk: Arc<Kiosk>,
    live: Arc<AtomicUsize>,
    simulated: bool,
}

/// The page and its interface. `sensor` says which scenes the stage takes.
pub fn router(kiosk: Arc<Kiosk>, sensor: &SensorConfig) -> Router {
    let stage = kiosk.stage().is_some();
    let simulated = matches!(sensor, SensorConfig::Simulated { .. });
    let served = Served { kiosk, live: Arc::new(AtomicUsize::new(0)), simulated };
    let mut router = Router::new()
        .route("/", get(|| async { file("index.html") }))
        .route("/api/state", get(state))
        .route("/api/live", get(live))
        .route("/api/notice", get(notice))
        .route("/api/session", post(start).delete(cancel))
        .route("/api/session/consent", post(consent))
        .route("/api/session/hands", post(hands))
        .route("/api/session/second-factor", post(second_factor))
        .route("/api/session/payment", post(payment))
        .route("/api/session/decline", post(decline))
        .route("/api/removal", post(removal))
        .route("/api/language", post(language))
        .route("/api/touch", post(touch));
    if stage {
        router = router.route("/stage", get(stage_now).post(stage_set));
    }
    router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).fallback(other).with_state(served)
}

/// An answer that is no state.
struct Refusal {
    status: StatusCode,
    reason: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Refused {
    error: RefusedBecause,
}

#[derive(Serialize)]
struct RefusedBecause {
    reason: &'static str,
    message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = RefusedBecause { reason: self.reason, message: self.message };
        (self.status, Json(Refused { error })).into_response()
    }
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        let status = match error {
            OrderError::Hands => StatusCode::UNPROCESSABLE_ENTITY,
            OrderError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self { status, reason: error.reason(), message: error.to_string() }
    }
}

impl From<UnknownLanguage> for Refusal {
    fn from(error: UnknownLanguage) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, reason: "LANGUAGE_UNKNOWN", message: error.to_string() }
    }
}

type Answer = Result<Response, Refusal>;

/// What a request's body says. An empty one says nothing.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refusal {
        status: StatusCode::BAD_REQUEST,
        reason: "BODY_INVALID",
        message: format!("the body is not the JSON that this takes: {error}"),
    })
}

fn answer(kiosk: &Kiosk) -> Answer {
    Ok(Json(&*kiosk.state()).into_response())
}

async fn state(State(served): State<Served>) -> Answer {
    answer(&served.kiosk)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Speak {
    language: Option<String>,
}

impl Speak {
    /// The language asked for, or the one that the screen speaks.
    fn language(&self, kiosk: &Kiosk) -> Result<Language, UnknownLanguage> {
        self.language.as_deref().map_or(Ok(kiosk.state().language), str::parse)
    }
}

async fn start(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    let language = read::<Speak>(&body)?.language(&kiosk)?;
    kiosk.start(language)?;
    answer(&kiosk)
}

async fn removal(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    let language = read::<Speak>(&body)?.language(&kiosk)?;
    kiosk.start_removal(language)?;
    answer(&kiosk)
}

async fn language(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    let language = read::<Speak>(&body)?.language(&kiosk)?;
    kiosk.speak(language);
    answer(&kiosk)
}

async fn notice(State(Served { kiosk, .. }): State<Served>, Query(speak): Query<Speak>) -> Answer {
    let language = speak.language(&kiosk)?;
    Ok(Json(kiosk.notice(language)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiveConsent {
    accepted: bool,
    text_sha256: Option<String>,
}

async fn consent(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    let given: GiveConsent = read(&body)?;
    if given.accepted {
        kiosk.consent(given.text_sha256.as_deref())?;
    } else {
        let screen = kiosk.state().screen;
        if screen != "notice" {
            return Err(OrderError::WrongScreen { wanted: "notice", screen }.into());
        }
        kiosk.decline();
    }
    answer(&kiosk)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChooseHands {
    hands: Vec<Position>,
}

async fn hands(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    kiosk.choose_hands(&read::<ChooseHands>(&body)?.hands)?;
    answer(&kiosk)
}

/// Prints nothing, so that no rejection repeats what was typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChooseFactor {
    #[serde(default)]
    skip: bool,
    kind: Option<Kind>,
    #[serde(default)]
    digits: String,
}

async fn second_factor(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    let ChooseFactor { skip, kind, digits } = serde_json::from_slice(&body).map_err(|_| Refusal {
        status: StatusCode::BAD_REQUEST,
        reason: "BODY_INVALID",
        message: "the body must be {\"kind\":\"code\",\"digits\":\"…\"}, with kind \"phone-digits\" or \"code\", or {\"skip\":true}".to_owned(),
    })?;
    if skip {
        kiosk.skip_factor()?;
        return answer(&kiosk);
    }
    let chosen = Digits::new(Zeroizing::new(digits)).and_then(|digits| {
        let kind = kind.unwrap_or(Kind::Code);
        digits.check(kind).map(|()| Chosen { kind, digits })
    });
    let refused = chosen.is_err();
    kiosk.choose_factor(chosen.map_err(FactorError::from))?;
    let status = if refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, Json(&*kiosk.state())).into_response())
}

#[derive(Deserialize)]
struct Pay {
    #[serde(default)]
    skip: bool,
    #[serde(flatten)]
    answers: BTreeMap<String, String>,
}

async fn payment(State(Served { kiosk, .. }): State<Served>, body: Bytes) -> Answer {
    let pay: Pay = read(&body)?;
    if pay.skip {
        kiosk.skip_payment()?;
        return answer(&kiosk);
    }
    kiosk.pay(pay.answers).await?;
    let refused = kiosk.state().payment.as_ref().and_then(|payment| payment.error.is_some().then(|| kiosk.state()));
    match refused {
        Some(state) => Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(&*state)).into_response()),
        None => answer(&kiosk),
    }
}

async fn decline(State(Served { kiosk, .. }): State<Served>) -> Answer {
    kiosk.decline();
    answer(&kiosk)
}

async fn cancel(State(Served { kiosk, .. }): State<Served>) -> Answer {
    kiosk.cancel();
    answer(&kiosk)
}

async fn touch(State(Served { kiosk, .. }): State<Served>) -> Answer {
    kiosk.touch();
    answer(&kiosk)
}

async fn stage_now(State(Served { kiosk, .. }): State<Served>) -> Answer {
    Ok(Json(kiosk.stage().map(|stage| stage.scene())).into_response())
}

async fn stage_set(State(served): State<Served>, body: Bytes) -> Answer {
    let scene: Scene = read(&body)?;
    let shown = match &scene {
        Scene::Unplugged => true,
        Scene::Files { .. } => !served.simulated,
        Scene::Simulated(_) => served.simulated,
    };
    if !shown {
        let (status, reason) = (StatusCode::UNPROCESSABLE_ENTITY, "SCENE_OF_ANOTHER_SENSOR");
        let message = "files are for a folder sensor, rendered hands for a simulated one".to_owned();
        return Err(Refusal { status, reason, message });
    }
    if let Some(stage) = served.kiosk.stage() {
        stage.set(scene);
    }
    stage_now(State(served)).await
}

async fn live(State(served): State<Served>, upgrade: WebSocketUpgrade) -> Answer {
    if served.live.fetch_add(1, Ordering::SeqCst) >= LIVE_CONNECTIONS_MAX {
        served.live.fetch_sub(1, Ordering::SeqCst);
        let (status, reason) = (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_SCREENS");
        return Err(Refusal { status, reason, message: format!("{LIVE_CONNECTIONS_MAX} screens look on already") });
    }
    let place = Place(served.live);
    Ok(upgrade.on_upgrade(move |socket| async move {
        // A screen that goes away in mid-message is no fault of anybody.
        let _ = look_on(socket, &served.kiosk).await;
        drop(place);
    }))
}

/// A place among the live connections, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sends the state whenever it changes and the live picture while there is one, until the other side goes away.
async fn look_on(mut socket: WebSocket, kiosk: &Kiosk) -> Result<(), axum::Error> {
    let (mut states, mut pictures) = (kiosk.states(), kiosk.pictures());
    states.mark_changed();
    loop {
        tokio::select! {
            changed = states.changed() => {
                if changed.is_err() { return Ok(()) }
                let state = states.borrow_and_update().clone();
                let text = serde_json::to_string(&*state).map_err(axum::Error::new)?;
                socket.send(Message::Text(text.into())).await?;
            }
            changed = pictures.changed() => {
                if changed.is_err() { return Ok(()) }
                let picture = pictures.borrow_and_update().clone();
                if let Some(jpeg) = picture {
                    socket.send(Message::Binary(Bytes::copy_from_slice(&jpeg))).await?;
                }
            }
            received = socket.recv() => match received {
                None | Some(Ok(Message::Close(_))) => return Ok(()),
                Some(message) => { message?; }
            },
            () = kiosk.parts.shutdown.cancelled() => return socket.send(Message::Close(None)).await,
        }
    }
}

fn file(path: &str) -> Response {
    match page::file(path) {
        Some(file) => {
            // Fonts never change under their name; everything else follows the binary.
            let cache = if file.path.starts_with("fonts/") { "max-age=31536000, immutable" } else { "no-cache" };
            ([(CONTENT_TYPE, file.media_type), (CACHE_CONTROL, cache)], file.bytes).into_response()
        }
        None => missing().into_response(),
    }
}

/// The page's other files, and whatever is not there.
async fn other(method: Method, uri: Uri) -> Response {
    if method == Method::GET { file(uri.path().trim_start_matches('/')) } else { missing().into_response() }
}

fn missing() -> Refusal {
    Refusal { status: StatusCode::NOT_FOUND, reason: "NOT_FOUND", message: "there is nothing at this path".to_owned() }
}
