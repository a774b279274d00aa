//! The status page and its interface, served to the reader's own screen.
//!
//! - `GET /` the page; `GET /api/state` what it shows ([`State`]); `GET /api/live` a WebSocket that sends each change.
//! - `POST /api/keypad` what was typed while digits are asked for: `{"digits": "…"}` or `{"cancel": true}`.
//! - `GET /stage`, `POST /stage` what is in front of a sensor that can be told (JSON of [`Scene`]); 404 otherwise.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use volar_core::second_factor::Digits;
use volar_palm::sensor::{Scene, Stage};
use zeroize::Zeroizing;

use crate::keypad::Typed;
use crate::parameters::LIVE_CONNECTIONS_MAX;
use crate::screen::{Display, State};

/// A scene is a few numbers, or a list of files.
const SCENE_BYTES_MAX: usize = 256 * 1024;

/// Eight digits and the JSON around them.
const KEYPAD_BYTES_MAX: usize = 256;

#[derive(Clone)]
struct Page {
    display: Display,
    stage: Option<Stage>,
    live: Arc<Semaphore>,
}

/// The page's routes. `stage` is that of a sensor which can be told what is in front of it.
pub fn router(display: Display, stage: Option<Stage>) -> Router {
    Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/page.css", get(|| file("text/css; charset=utf-8", include_str!("page/page.css"))))
        .route("/page.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route("/keypad.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/keypad.js"))))
        .route("/texts.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/texts.js"))))
        .route("/stage.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/stage.js"))))
        .route("/api/state", get(state))
        .route("/api/live", get(live))
        .route("/api/keypad", post(keypad).layer(DefaultBodyLimit::max(KEYPAD_BYTES_MAX)))
        .route("/stage", get(scene).post(set_scene).layer(DefaultBodyLimit::max(SCENE_BYTES_MAX)))
        .with_state(Page { display, stage, live: Arc::new(Semaphore::new(LIVE_CONNECTIONS_MAX)) })
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn state(Shared(page): Shared<Page>) -> Json<State> {
    Json(page.display.state())
}

async fn live(Shared(page): Shared<Page>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = page.live.try_acquire_owned() else {
        let message = format!("{LIVE_CONNECTIONS_MAX} screens look on already");
        return error(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_SCREENS", &message);
    };
    let changes = page.display.subscribe();
    upgrade.on_upgrade(move |socket| async move {
        send_changes(socket, changes).await;
        drop(place);
    })
}

/// Sends the state now and at each change, until the page goes away.
async fn send_changes(mut socket: WebSocket, mut changes: watch::Receiver<State>) {
    changes.mark_changed();
    loop {
        tokio::select! {
            changed = changes.changed() => {
                let Ok(()) = changed else { return };
                let text = serde_json::to_string(&*changes.borrow_and_update()).expect("text, numbers and flags");
                if socket.send(Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // The page has nothing to say.
                Some(Ok(_)) => {}
            },
        }
    }
}

/// What the keypad sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    digits: String,
    #[serde(default)]
    cancel: bool,
}

async fn keypad(Shared(page): Shared<Page>, body: Result<Json<Keys>, JsonRejection>) -> Response {
    // What cannot be read is not repeated: it may hold digits.
    let Ok(Json(Keys { digits, cancel })) = body else {
        let message = "the body must be {\"digits\": \"…\"} or {\"cancel\": true}";
        return error(StatusCode::BAD_REQUEST, "BODY_INVALID", message);
    };
    let typed = if cancel { Ok(Typed::Cancelled) } else { Digits::new(Zeroizing::new(digits)).map(Typed::Digits) };
    match typed.map(|typed| page.display.typed(typed)) {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(not_asked)) => error(StatusCode::CONFLICT, "NOT_ASKED", &not_asked.to_string()),
        Err(refused) => error(StatusCode::UNPROCESSABLE_ENTITY, "DIGITS_INVALID", &refused.to_string()),
    }
}

async fn scene(Shared(page): Shared<Page>) -> Result<Json<Scene>, Response> {
    page.stage.map(|stage| Json(stage.scene())).ok_or_else(no_stage)
}

async fn set_scene(Shared(page): Shared<Page>, body: Result<Json<Scene>, JsonRejection>) -> Response {
    let Some(stage) = page.stage else { return no_stage() };
    match body {
        Ok(Json(scene)) => {
            stage.set(scene.clone());
            Json(scene).into_response()
        }
        Err(rejection) => error(rejection.status(), "SCENE_INVALID", &rejection.body_text()),
    }
}

fn no_stage() -> Response {
    error(StatusCode::NOT_FOUND, "NO_STAGE", "the sensor is a real one: only simulated and folder sensors can be told")
}

fn error(status: StatusCode, reason: &str, message: &str) -> Response {
    (status, Json(json!({ "error": { "reason": reason, "message": message } }))).into_response()
}
