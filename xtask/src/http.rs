//! JSON over a loopback page's interface.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

type Response = ureq::http::Response<ureq::Body>;

/// Pages answer at once; one that takes this long is stuck.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// A page's interface.
#[derive(Clone, Debug)]
pub struct Page {
    base: String,
    agent: ureq::Agent,
}

/// What a page answers: a status and JSON.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if it is empty.
    pub body: Value,
}

impl Page {
    /// The page served at `address` (`host:port`).
    pub fn at(address: &str) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(ANSWER_TIME_MAX)).http_status_as_error(false).build();
        Self { base: format!("http://{address}"), agent: config.into() }
    }

    /// Its address for a browser.
    pub fn url(&self) -> String {
        format!("{}/", self.base)
    }

    /// `GET`, expecting success.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answered = self.agent.get(self.whole(path)).call();
        expected(path, self.answer(path, answered)?)
    }

    /// `POST` with a JSON body; any status.
    pub fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Answer> {
        self.answer(path, self.agent.post(self.whole(path)).send_json(body))
    }

    /// `POST`, expecting success.
    pub fn send<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        expected(path, self.post(path, body)?)
    }

    /// `DELETE`, expecting success.
    pub fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let answered = self.agent.delete(self.whole(path)).call();
        expected(path, self.answer(path, answered)?)
    }

    fn whole(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn answer(&self, path: &str, sent: Result<Response, ureq::Error>) -> anyhow::Result<Answer> {
        let mut response = sent.with_context(|| format!("{}{path} does not answer", self.base))?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        Ok(Answer { status, body })
    }
}

fn expected<T: DeserializeOwned>(path: &str, answer: Answer) -> anyhow::Result<T> {
    if !(200..300).contains(&answer.status) {
        bail!("{path} answers {}: {}", answer.status, answer.body);
    }
    serde_json::from_value(answer.body).with_context(|| format!("{path} answers something unexpected"))
}
