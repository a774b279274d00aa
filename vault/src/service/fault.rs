//! How the vault's errors look on the wire.

use tonic::Code;
use volar_core::challenge::ChallengeError;
use volar_core::ticket::TicketError;
use volar_service::fault::Fault;

use crate::backup::BackupError;
use crate::error::VaultError;
use crate::format::FormatError;
use crate::keys::{HsmError, KeyFileError, KeyTableError};
use crate::store::StoreError;

/// Code and reason of an error. What concerns the vault's own disk goes to its log, and to the caller without detail.
pub fn fault(error: VaultError) -> Fault {
    use VaultError as E;
    let (code, reason) = match &error {
        E::TenantUnknown { .. } => (Code::PermissionDenied, "TENANT_UNKNOWN"),
        E::GalleryUnknown { .. } => (Code::NotFound, "GALLERY_UNKNOWN"),
        E::GalleryNotForSite { .. } => (Code::PermissionDenied, "GALLERY_NOT_FOR_SITE"),
        E::GenerationMismatch { .. } => (Code::FailedPrecondition, "GENERATION_MISMATCH"),
        E::FeedRenewed => (Code::Unavailable, "FEED_RENEWED"),
        E::ModelMismatch { .. } => (Code::FailedPrecondition, "MODEL_MISMATCH"),
        E::Field { .. } => (Code::InvalidArgument, "FIELD_INVALID"),
        E::ConsentMissing => (Code::InvalidArgument, "CONSENT_MISSING"),
        E::ConsentStale { .. } => (Code::FailedPrecondition, "CONSENT_STALE"),
        E::Template { .. } => (Code::InvalidArgument, "TEMPLATE_INVALID"),
        E::IdempotencyConflict => (Code::AlreadyExists, "IDEMPOTENCY_CONFLICT"),
        E::EnrollmentUnknown => (Code::NotFound, "ENROLLMENT_UNKNOWN"),
        E::EnrollmentFinished => (Code::FailedPrecondition, "ENROLLMENT_FINISHED"),
        E::PaymentAlreadyBound => (Code::AlreadyExists, "PAYMENT_ALREADY_BOUND"),
        E::SecondFactorAlreadySet => (Code::AlreadyExists, "SECOND_FACTOR_ALREADY_SET"),
        E::Challenge(ChallengeError::Malformed) => (Code::InvalidArgument, "CHALLENGE_MALFORMED"),
        E::Challenge(ChallengeError::Forged | ChallengeError::KeyUnknown { .. }) => {
            (Code::PermissionDenied, "CHALLENGE_FORGED")
        }
        E::Challenge(ChallengeError::Expired) => (Code::FailedPrecondition, "CHALLENGE_EXPIRED"),
        E::ChallengeAnswered => (Code::AlreadyExists, "CHALLENGE_ANSWERED"),
        E::CardNumberRefused { .. } => (Code::InvalidArgument, "CARD_NUMBER_REFUSED"),
        E::SubjectUnknown => (Code::NotFound, "SUBJECT_UNKNOWN"),
        E::SubjectErased => (Code::FailedPrecondition, "SUBJECT_ERASED"),
        E::NotInReview => (Code::FailedPrecondition, "NOT_IN_REVIEW"),
        E::NotAnEnrollment { .. } => (Code::NotFound, "NOT_AN_ENROLLMENT"),
        E::SequenceAhead { .. } => (Code::OutOfRange, "SEQUENCE_AHEAD"),
        E::Ticket(TicketError::Malformed) => (Code::InvalidArgument, "TICKET_MALFORMED"),
        E::Ticket(TicketError::Forged | TicketError::KeyUnknown { .. }) => (Code::PermissionDenied, "TICKET_FORGED"),
        E::Ticket(TicketError::Expired) => (Code::FailedPrecondition, "TICKET_EXPIRED"),
        E::TicketAlreadyClaimed => (Code::AlreadyExists, "TICKET_ALREADY_CLAIMED"),
        E::TicketBeforeRestore => (Code::FailedPrecondition, "TICKET_BEFORE_RESTORE"),
        E::PurposeMismatch { .. } => (Code::FailedPrecondition, "PURPOSE_MISMATCH"),
        E::TicketOfAnotherDevice => (Code::PermissionDenied, "TICKET_OF_ANOTHER_DEVICE"),
        E::NoPaymentReference => (Code::FailedPrecondition, "NO_PAYMENT_REFERENCE"),
        E::EnrollmentNotActive => (Code::FailedPrecondition, "ENROLLMENT_NOT_ACTIVE"),
        E::SealedByOperator => (Code::Unavailable, "SEALED"),
        E::NowhereToMove(_) => (Code::FailedPrecondition, "NOWHERE_TO_MOVE"),
        E::Closing => (Code::Unavailable, "CLOSING"),
        E::StillBusy => (Code::Unavailable, "STILL_BUSY"),
        E::Secret(_) => (Code::FailedPrecondition, "SECRET_UNUSABLE"),
        E::KeyFile(KeyFileError::PassphraseNeeded { .. }) | E::Hsm(HsmError::PinNeeded) => {
            (Code::FailedPrecondition, "SECRET_NEEDED")
        }
        E::KeyFile(KeyFileError::PassphraseWrong { .. }) | E::Hsm(HsmError::PinRefused { .. }) => {
            (Code::PermissionDenied, "SECRET_WRONG")
        }
        E::KeyFile(_) | E::WrongKeyHolder { .. } => (Code::FailedPrecondition, "KEY_HOLDER_UNUSABLE"),
        E::Backup(BackupError::NotConfigured) => (Code::FailedPrecondition, "BACKUP_NOT_CONFIGURED"),
        E::Backup(BackupError::Unknown { .. }) => (Code::NotFound, "BACKUP_UNKNOWN"),
        E::Backup(_) => (Code::Unavailable, "BACKUP_UNUSABLE"),
        E::Holder(_) | E::Hsm(_) => (Code::Unavailable, "KEY_HOLDER_UNAVAILABLE"),
        _ => return internal(&error),
    };
    let fault = Fault::new(code, reason, error.to_string());
    match error {
        E::Field { field, .. } | E::CardNumberRefused { field } => fault.with("field", field),
        E::Template { field, .. } => fault.with("field", field),
        E::GenerationMismatch { current, .. } => fault.with("generation", current),
        E::GalleryUnknown { gallery, .. } | E::GalleryNotForSite { gallery, .. } => fault.with("gallery", gallery),
        _ => fault,
    }
}

fn internal(error: &VaultError) -> Fault {
    tracing::error!(%error, "a call failed on the vault's own store");
    if let VaultError::Store(StoreError::LostWrites { .. }) = error {
        let message = "the vault's store has forgotten what it had acknowledged; the vault's log says how much, and it \
                       writes no more";
        return Fault::new(Code::DataLoss, "STORE_LOST_WRITES", message);
    }
    let unavailable = matches!(
        error,
        VaultError::Store(
            StoreError::Io { .. }
                | StoreError::SyncFailed { .. }
                | StoreError::Moved
                | StoreError::Outdated
                | StoreError::Unavailable { .. }
                | StoreError::OutcomeUnknown { .. }
                | StoreError::Refused { .. }
                | StoreError::TakenOver { .. }
        ) | VaultError::KeyTable(
            KeyTableError::Io { .. }
                | KeyTableError::InUse { .. }
                | KeyTableError::SyncFailed { .. }
                | KeyTableError::Full { .. }
        ) | VaultError::Format(FormatError::KeyUnknown { .. })
    );
    if unavailable {
        let message = "the vault cannot reach its store; its log says more";
        return Fault::new(Code::Unavailable, "STORE_UNAVAILABLE", message);
    }
    let message =
        "a record in the vault is damaged; its log says more, and a backup made together with the key table helps";
    Fault::new(Code::DataLoss, "RECORD_DAMAGED", message)
}
