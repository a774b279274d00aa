//! Whether the matcher answers, asked while nobody waits for it: so the screen can say how else to enter before a
//! person tries, and that all is well again without one.

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use volar_proto::v1::identification_service_server::SERVICE_NAME;

use crate::convert;
use crate::identify::Trouble;
use crate::parameters::{ATTEMPT_TIME_MAX, HEALTH_FAILURES, HEALTH_PERIOD, HEALTH_PERIOD_DOWN};

/// The link to the matcher: `None` while it answers, else why not. Shared by whoever finds out.
#[derive(Clone, Debug)]
pub struct Link(watch::Sender<Option<Trouble>>);

impl Default for Link {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Link {
    /// It answers.
    pub fn up(&self) {
        self.set(None);
    }

    /// It does not.
    pub fn down(&self, trouble: Trouble) {
        self.set(Some(trouble));
    }

    /// Tells each change.
    pub fn subscribe(&self) -> watch::Receiver<Option<Trouble>> {
        self.0.subscribe()
    }

    /// Up to down or back is a change; another reason for being down is not.
    fn set(&self, trouble: Option<Trouble>) {
        self.0.send_if_modified(|known| {
            let changed = known.is_some() != trouble.is_some();
            if changed {
                *known = trouble;
            }
            changed
        });
    }
}

/// Asks for the matcher's health until `shutdown`.
pub async fn monitor(matcher: Channel, link: Link, shutdown: CancellationToken) {
    let mut failures = 0;
    let mut period = HEALTH_PERIOD;
    loop {
        tokio::select! {
            () = sleep(period) => {}
            () = shutdown.cancelled() => return,
        }
        match check(matcher.clone()).await {
            Ok(()) => {
                (failures, period) = (0, HEALTH_PERIOD);
                link.up();
            }
            Err(trouble) => {
                failures += 1;
                period = HEALTH_PERIOD_DOWN;
                if failures >= HEALTH_FAILURES {
                    link.down(trouble);
                }
            }
        }
    }
}

async fn check(matcher: Channel) -> Result<(), Trouble> {
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let mut health = HealthClient::new(matcher);
    match timeout(ATTEMPT_TIME_MAX, health.check(request)).await {
        Ok(Ok(response)) if response.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(Ok(_)) => Err(Trouble {
            reason: "NOT_READY".to_owned(),
            message: "the matcher is still loading the gallery from the vault".to_owned(),
        }),
        Ok(Err(status)) => Err(Trouble { reason: convert::reason(&status), message: convert::message(&status) }),
        Err(_) => {
            Err(Trouble { reason: "NO_ANSWER".to_owned(), message: "the matcher did not answer in time".to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(reason: &str) -> Trouble {
        Trouble { reason: reason.to_owned(), message: String::new() }
    }

    #[test]
    fn only_going_down_and_coming_back_are_changes() {
        let link = Link::default();
        let mut changes = link.subscribe();
        let mut changed = || {
            let changed = changes.has_changed().expect("the link is there");
            changes.mark_unchanged();
            changed
        };
        link.up();
        assert!(!changed());
        link.down(trouble("A"));
        assert!(changed());
        link.down(trouble("B"));
        assert!(!changed());
        link.up();
        assert!(changed());
    }
}
