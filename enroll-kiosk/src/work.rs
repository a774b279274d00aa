//! What sessions ask of vault, matcher and payment provider. Every writing call keeps its idempotency id over all its
//! attempts; a server that does not answer shows on the screen until it does.

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use volar_core::id::EnrollmentId;
use volar_core::log_safe::log_safe;
use volar_core::template::{EnrolledPalm, Template};
use zeroize::Zeroizing;

use crate::client::{CallError, Pauses};
use crate::convert;
use crate::kiosk::Kiosk;
use crate::notice::Consent;
use crate::parameters::{TICK, UNRESOLVED_TIME_MAX, VAULT_CHECK, VAULT_CHECK_DOWN, VERDICT_WAIT};
use crate::payment::{PaymentError, PaymentReference};
use crate::second_factor::{Chosen, FactorError};
use crate::session::{Effect, Missing, Palm, Standing};
use crate::vault_client::Protection;

/// Lets time pass at the kiosk until it shuts down.
pub async fn keep_time(kiosk: Arc<Kiosk>) {
    let shutdown = kiosk.parts.shutdown.clone();
    let mut ticks = tokio::time::interval(TICK);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        kiosk.act(|session, now| session.tick(now));
    }
}

/// Watches whether the vault is there and has a gallery for this kiosk's model, until shutdown.
pub async fn watch_vault(kiosk: Arc<Kiosk>) {
    let shutdown = kiosk.parts.shutdown.clone();
    let mut lacked = Some(Missing::Vault);
    loop {
        let Some(answer) = shutdown.run_until_cancelled(kiosk.parts.vault.protections()).await else { return };
        let missing = match &answer {
            Ok(protections) if other_model(&kiosk, protections).is_none() => None,
            Ok(_) => Some(Missing::Model),
            Err(_) => Some(Missing::Vault),
        };
        if missing != lacked {
            match (&answer, missing) {
                (Ok(protections), Some(_)) => {
                    if let Some(protection) = other_model(&kiosk, protections) {
                        tracing::error!(
                            gallery = %log_safe(&protection.gallery), gallery_model = %log_safe(&protection.model),
                            own_model = %log_safe(&kiosk.parts.model),
                            "the gallery is of another model than this kiosk: update the kiosk or name another gallery"
                        );
                    }
                }
                (Err(error), _) => tracing::warn!(%error, "the vault is not available"),
                _ => tracing::info!("the vault answers"),
            }
            lacked = missing;
        } else if let (Err(error), Some(_)) = (&answer, missing) {
            tracing::debug!(%error, "the vault is still not available");
        }
        metrics::gauge!("volar_kiosk_vault_up").set(if missing.is_none() { 1.0 } else { 0.0 });
        kiosk.act(|session, _| session.vault_lacks(missing));
        let pause = if missing.is_none() { VAULT_CHECK } else { VAULT_CHECK_DOWN };
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// A gallery whose references this kiosk's templates do not compare with, if there is one.
fn other_model<'a>(kiosk: &Kiosk, protections: &'a [Protection]) -> Option<&'a Protection> {
    protections.iter().find(|protection| protection.model != kiosk.parts.model)
}

impl Kiosk {
    /// Starts what session `number` asks for.
    pub(crate) fn carry_out(self: &Arc<Self>, number: u64, effect: Effect) {
        let job = Job { kiosk: self.clone(), number, over: self.session_token() };
        match effect {
            Effect::Enroll { consent, palms } => self.spawn(job.enroll(consent, palms)),
            Effect::Follow(enrollment) => self.spawn(job.follow(enrollment)),
            Effect::Cancel(enrollment) => self.spawn(job.cancel(enrollment)),
            Effect::KeepFactor(enrollment, chosen) => self.spawn(job.keep_factor(enrollment, chosen)),
            Effect::BeginPayment(enrollment) => self.spawn(job.begin_payment(enrollment)),
            Effect::Bind(enrollment, payment) => self.spawn(job.bind(enrollment, payment)),
            Effect::Identify(template) => self.spawn(job.identify(template)),
            Effect::Withdraw(ticket) => self.spawn(job.withdraw(ticket)),
            Effect::Forget => self.forget_work(),
        }
    }
}

/// One thing under way for one session.
struct Job {
    kiosk: Arc<Kiosk>,
    number: u64,
    /// Cancelled when the session ends.
    over: CancellationToken,
}

/// How a call ended.
enum Ended<T> {
    Answered(T),
    Refused(String),
    /// The session, or the process, was over first.
    Over,
}

impl Job {
    async fn enroll(self, consent: Consent, palms: Vec<Palm>) {
        // A gallery that is protected anew between two attempts refused the first for certain: the second is another
        // call, with another id.
        loop {
            let Ended::Answered(protections) = self.protections().await else { return };
            let protect = |protection: &Protection| -> Vec<EnrolledPalm> {
                palms.iter().filter_map(|palm| convert::protect(palm, &protection.transform)).collect()
            };
            let memberships: Vec<_> = protections.iter().map(|protection| (protection, protect(protection))).collect();
            let id = self.kiosk.idempotency_id();
            let vault = &self.kiosk.parts.vault;
            let attempt = || vault.enroll(id, &consent, &memberships);
            match self.until_known(attempt).await {
                Ended::Answered(enrollment) => {
                    tracing::info!(enrollment = %log_safe(&enrollment), hands = palms.len(), "enrolled");
                    return self.tell(|session, number, now| session.enrolled(number, enrollment, now));
                }
                Ended::Refused(reason) if reason == "GENERATION_MISMATCH" => continue,
                Ended::Refused(reason) => return self.refuse(reason),
                Ended::Over => return,
            }
        }
    }

    async fn follow(self, enrollment: EnrollmentId) {
        loop {
            let standing = || self.kiosk.parts.vault.standing(enrollment, VERDICT_WAIT);
            match self.until_answered(Missing::Vault, standing).await {
                Ended::Answered(standing) => {
                    let go_on = self.kiosk.act(|session, now| session.stands(self.number, standing, now));
                    if !go_on {
                        return;
                    }
                }
                Ended::Refused(reason) => return self.refuse(reason),
                Ended::Over => return,
            }
        }
    }

    async fn keep_factor(self, enrollment: EnrollmentId, chosen: Chosen) {
        let id = self.kiosk.idempotency_id();
        let attempt = || self.kiosk.parts.vault.set_second_factor(id, enrollment, &chosen);
        let kept = match self.until_answered(Missing::Vault, attempt).await {
            Ended::Answered(standing) => Ok(standing),
            Ended::Over => return,
            Ended::Refused(reason) => Err(match reason.as_str() {
                "ENROLLMENT_UNKNOWN" | "SUBJECT_ERASED" | "ENROLLMENT_FINISHED" => FactorError::EnrollmentGone,
                _ => FactorError::NotStored,
            }),
        };
        if let Err(error) = &kept {
            tracing::warn!(reason = error.reason(), "second factor not kept");
        }
        self.tell(|session, number, now| session.factor_kept(number, kept, now));
    }

    async fn begin_payment(self, enrollment: EnrollmentId) {
        let begun = self.kiosk.parts.provider.begin(enrollment).await;
        self.tell(|session, number, now| session.payment_begun(number, begun, now));
    }

    async fn bind(self, enrollment: EnrollmentId, payment: Option<PaymentReference>) {
        let id = self.kiosk.idempotency_id();
        let attempt = || self.kiosk.parts.vault.bind_payment(id, enrollment, payment.as_ref());
        let bound = match self.until_answered(Missing::Vault, attempt).await {
            Ended::Answered(standing) => Ok(standing),
            Ended::Over => return,
            Ended::Refused(reason) => Err(match reason.as_str() {
                "CARD_NUMBER_REFUSED" => PaymentError::CardNumber,
                "ENROLLMENT_UNKNOWN" | "SUBJECT_ERASED" | "ENROLLMENT_FINISHED" => PaymentError::EnrollmentGone,
                _ => PaymentError::NotStored,
            }),
        };
        let follow = matches!(bound, Ok(Standing::Pending));
        if let Err(error) = &bound {
            tracing::warn!(reason = error.reason(), "payment not bound");
        }
        self.tell(|session, number, now| session.bound(number, bound, now));
        if follow {
            self.follow(enrollment).await;
        }
    }

    async fn identify(self, template: Template) {
        let Ended::Answered(protections) = self.protections().await else { return };
        let probes: Vec<_> =
            protections.iter().map(|protection| (protection, protection.transform.probe(&template))).collect();
        drop(template);
        let id = self.kiosk.idempotency_id();
        let attempt = || self.kiosk.parts.matcher.identify(id, &probes);
        match self.until_answered(Missing::Matcher, attempt).await {
            Ended::Answered(identified) => {
                self.tell(|session, number, now| session.identified(number, identified, now));
            }
            Ended::Refused(reason) => self.refuse(reason),
            Ended::Over => {}
        }
    }

    async fn withdraw(self, ticket: Zeroizing<Vec<u8>>) {
        let id = self.kiosk.idempotency_id();
        // Who asked to be erased is erased, also when they walk away before the receipt is there.
        let lasting = self.lasting();
        let attempt = || lasting.kiosk.parts.vault.withdraw(id, &ticket);
        match lasting.until_answered(Missing::Vault, attempt).await {
            Ended::Answered(receipt) => {
                tracing::info!(receipt = receipt.number, pending = receipt.matchers_pending, "a person was erased");
                lasting.tell(|session, number, now| session.withdrawn(number, receipt, now));
            }
            Ended::Refused(reason) => lasting.refuse(reason),
            Ended::Over => {}
        }
    }

    async fn cancel(self, enrollment: EnrollmentId) {
        let id = self.kiosk.idempotency_id();
        let lasting = self.lasting();
        match lasting.until_answered(Missing::Vault, || lasting.kiosk.parts.vault.cancel(id, enrollment)).await {
            Ended::Answered(_) => tracing::info!(enrollment = %log_safe(&enrollment), "unfinished enrollment erased"),
            Ended::Refused(reason) => {
                tracing::error!(enrollment = %log_safe(&enrollment), reason, "unfinished enrollment not erased");
            }
            Ended::Over => tracing::warn!(
                enrollment = %log_safe(&enrollment),
                "shut down before an unfinished enrollment was erased; the vault erases it when its time is over"
            ),
        }
    }

    async fn protections(&self) -> Ended<Vec<Protection>> {
        let ended = self.until_answered(Missing::Vault, || self.kiosk.parts.vault.protections()).await;
        match ended {
            Ended::Answered(protections) if other_model(&self.kiosk, &protections).is_some() => {
                self.refuse("MODEL_MISMATCH".to_owned());
                Ended::Over
            }
            Ended::Refused(reason) => {
                self.refuse(reason);
                Ended::Over
            }
            other => other,
        }
    }

    /// Tries a call until it is answered or the session is over.
    async fn until_answered<T, F>(&self, server: Missing, attempt: impl Fn() -> F) -> Ended<T>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pauses = Pauses::new();
        loop {
            match self.over.run_until_cancelled(attempt()).await {
                None => return Ended::Over,
                Some(Ok(answer)) => return Ended::Answered(answer),
                Some(Err(CallError::Refused { reason, message })) => return self.refused(reason, &message),
                Some(Err(error)) => self.unanswered(server, &error),
            }
            if self.over.run_until_cancelled(tokio::time::sleep(pauses.next())).await.is_none() {
                return Ended::Over;
            }
        }
    }

    /// Tries a call that stores something. Once sent, its outcome has to be known, or an abandoned enrollment could
    /// not be cancelled: the end of the session stops it only before the first attempt, and for good after a while.
    async fn until_known<T, F>(&self, attempt: impl Fn() -> F) -> Ended<T>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        if self.over.is_cancelled() {
            return Ended::Over;
        }
        let shutdown = &self.kiosk.parts.shutdown;
        let give_up = async {
            self.over.cancelled().await;
            tokio::time::sleep(UNRESOLVED_TIME_MAX).await;
        };
        let known = async {
            let mut pauses = Pauses::new();
            loop {
                match attempt().await {
                    Ok(answer) => return Ended::Answered(answer),
                    Err(CallError::Refused { reason, message }) => return self.refused(reason, &message),
                    Err(error) => self.unanswered(Missing::Vault, &error),
                }
                tokio::time::sleep(pauses.next()).await;
            }
        };
        let lost = tokio::select! {
            ended = known => return ended,
            () = give_up => "nobody knows whether an abandoned enrollment was stored",
            () = shutdown.cancelled() => "shut down before it was known whether an enrollment was stored",
        };
        metrics::counter!("volar_kiosk_enrollments_unresolved_total").increment(1);
        tracing::error!("{lost}; the vault erases it when its time is over");
        Ended::Over
    }

    fn refused<T>(&self, reason: String, message: &str) -> Ended<T> {
        tracing::warn!(reason, message, "call refused");
        Ended::Refused(reason)
    }

    fn unanswered(&self, server: Missing, error: &CallError) {
        tracing::warn!(server = server.as_str(), %error, "call not answered; trying again");
        self.tell(|session, number, _| session.waits_for(number, Some(server)));
    }

    fn refuse(&self, reason: String) {
        self.tell(|session, number, now| session.refused(number, reason, now));
    }

    fn tell(&self, word: impl FnOnce(&mut crate::session::Session, u64, volar_core::clock::Timestamp)) {
        self.kiosk.act(|session, now| word(session, self.number, now));
    }

    /// The same, for work that goes on when the session ends.
    fn lasting(self) -> Self {
        Self { over: self.kiosk.parts.shutdown.clone(), ..self }
    }
}
