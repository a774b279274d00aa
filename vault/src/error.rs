//! Everything that the vault refuses, and why.

use volar_core::challenge::ChallengeError;
use volar_core::id::{GalleryId, SiteId, TenantId};
use volar_core::template::TemplateError;
use volar_core::ticket::TicketError;

use crate::backup::BackupError;
use crate::format::FormatError;
use crate::keys::{HolderError, HsmError, KeyFileError, KeyId, KeyTableError, RingError, SecretError};
use crate::store::StoreError;

/// Which rule a call, a file or a record breaks.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The peer's certificate names a tenant that this vault does not serve.
    #[error(
        "tenant \"{tenant}\" is not configured in this vault; add it under [[tenants]] or use a certificate of a tenant that is"
    )]
    TenantUnknown {
        /// The tenant.
        tenant: TenantId,
    },
    /// No such gallery.
    #[error(
        "tenant \"{tenant}\" has no gallery \"{gallery}\"; add it to the tenant's galleries in the vault's configuration"
    )]
    GalleryUnknown {
        /// The tenant.
        tenant: TenantId,
        /// The gallery.
        gallery: GalleryId,
    },
    /// The gallery is for other sites.
    #[error(
        "gallery \"{gallery}\" is not for site \"{site}\"; add the site to the gallery's sites in the vault's configuration, or name another gallery"
    )]
    GalleryNotForSite {
        /// The gallery.
        gallery: GalleryId,
        /// The caller's site.
        site: SiteId,
    },
    /// Protected under an older key.
    #[error("the template is of generation {found}, the gallery is at {current}; call GetProtection and capture again")]
    GenerationMismatch {
        /// Generation received.
        found: u32,
        /// The gallery's.
        current: u32,
    },
    /// Another feed has taken its place.
    #[error("the gallery's feed begins anew; follow it again")]
    FeedRenewed,
    /// Made by another model.
    #[error("the template comes from model \"{found}\", the gallery holds \"{current}\"; update the device's software")]
    ModelMismatch {
        /// Model received.
        found: String,
        /// The gallery's.
        current: String,
    },
    /// A request field breaks a rule.
    #[error("{field} {rule}")]
    Field {
        /// Its path in the request.
        field: &'static str,
        /// What it must be.
        rule: String,
    },
    /// No consent record.
    #[error("consent is missing: no palm is stored without a written release")]
    ConsentMissing,
    /// A release older than answers are kept: the call may be a repeat of one that was answered and is forgotten.
    #[error("the release was given more than {hours} hours ago; ask the person again and make a new call")]
    ConsentStale {
        /// The oldest that is taken.
        hours: u64,
    },
    /// A template breaks a rule.
    #[error("{field}: {source}")]
    Template {
        /// Its path in the request.
        field: String,
        /// Which rule.
        source: TemplateError,
    },
    /// The same idempotency id came with another request before.
    #[error("this idempotency id was used for another request; make a new one for a new request")]
    IdempotencyConflict,
    /// No such enrollment of this kiosk.
    #[error("this kiosk has no such enrollment")]
    EnrollmentUnknown,
    /// Complete, so no longer the kiosk's to cancel.
    #[error("the enrollment is finished; the person withdraws with their palm, or an operator erases")]
    EnrollmentFinished,
    /// A payment reference is bound already.
    #[error("the enrollment has a payment reference already; it is bound once")]
    PaymentAlreadyBound,
    /// There is a second factor already.
    #[error("the enrollment has a second factor already; it is chosen once")]
    SecondFactorAlreadySet,
    /// The challenge does not open.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// Answered by another call before.
    #[error("the challenge was answered already; show the palm again for another")]
    ChallengeAnswered,
    /// Looks like a card number.
    #[error("{field} holds what may be a card number; send the payment provider's token instead")]
    CardNumberRefused {
        /// Its path in the request.
        field: &'static str,
    },
    /// No such subject.
    #[error("this tenant has no such subject")]
    SubjectUnknown,
    /// The person was erased.
    #[error("the person has been erased")]
    SubjectErased,
    /// There is no review to decide.
    #[error("the subject is not in review")]
    NotInReview,
    /// A feed event that takes no verdict.
    #[error("the feed has no enrollment at sequence number {sequence}")]
    NotAnEnrollment {
        /// Number received.
        sequence: u64,
    },
    /// Acknowledges what does not exist.
    #[error("sequence number {sequence} is beyond the feed's last, {last}")]
    SequenceAhead {
        /// Number received.
        sequence: u64,
        /// Last of the feed.
        last: u64,
    },
    /// The ticket does not open.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Claimed by another call before.
    #[error("the ticket was claimed already; a ticket is claimed once")]
    TicketAlreadyClaimed,
    /// Whether it was claimed is not known.
    #[error(
        "the ticket is older than the vault's last restore from a backup, so whether it was claimed before is not known; charge the person another way"
    )]
    TicketBeforeRestore,
    /// Good for something else.
    #[error("the ticket's purpose is {found}, this call takes {wanted}")]
    PurposeMismatch {
        /// The ticket's.
        found: &'static str,
        /// The call's.
        wanted: &'static str,
    },
    /// Made at another device.
    #[error("the withdrawal ticket was made at another device")]
    TicketOfAnotherDevice,
    /// Nothing to claim.
    #[error("the person has no payment reference")]
    NoPaymentReference,
    /// Not usable at gates now.
    #[error("the person's enrollment is not active")]
    EnrollmentNotActive,
    /// More people's terms are over than a day ends in ordinary life.
    #[error(
        "the terms of {due} of tenant \"{tenant}\"'s {examined} people are over, more than the {most} that are erased unattended; check the vault's clock and purpose_ends, see who it is with `volarctl retention run --dry-run`, then run it without"
    )]
    RetentionUnattended {
        /// Whose.
        tenant: TenantId,
        /// How many are to go.
        due: u64,
        /// Of how many.
        examined: u64,
        /// Most that go unattended.
        most: u64,
    },
    /// The store was made under another key.
    #[error(
        "wrong key file or token: the store was made with key {expected}, this is key {found}; set [keys] to the key file or token that `volar-vault init` made for this store"
    )]
    WrongKeyHolder {
        /// Key of the store.
        expected: KeyId,
        /// Key in the file or token.
        found: KeyId,
    },
    /// The key table holds keys, the store is empty.
    #[error("the key table {} holds keys but the store is empty; restore the store from the backup made together with it, or move the key table away to start anew", path.display())]
    StoreMissing {
        /// The key table.
        path: std::path::PathBuf,
    },
    /// The records are elsewhere now.
    #[error(
        "the store's records were moved to another store; set [store] to that one (after `volarctl store migrate`: engine = \"postgres\")"
    )]
    StoreMoved,
    /// The records are not all here yet.
    #[error(
        "`volar-vault migrate` or `restore` was interrupted while it copied into this store; run it again, or set [store] to the old one"
    )]
    StoreUnfinished,
    /// Configuration and store disagree.
    #[error(
        "gallery \"{gallery}\" holds templates of model \"{stored}\", its configuration says \"{configured}\"; make a new gallery for a new model"
    )]
    GalleryModelChanged {
        /// The gallery.
        gallery: GalleryId,
        /// Model in the store.
        stored: String,
        /// Model configured.
        configured: String,
    },
    /// A row that must be there is not.
    #[error(
        "the store lacks a record of kind {kind} that another one refers to; restore store and key table from one backup"
    )]
    RecordMissing {
        /// What is missing.
        kind: &'static str,
    },
    /// Several vaults, of which some write backups and some do not.
    #[error(
        "this vault has {} [backup] in its configuration and those that it shares its store with have {}; give all of them the same, or what one erases stays in the others' copy of the keys", if *here { "a" } else { "no" }, if *here { "none" } else { "one" }
    )]
    BackupsDiffer {
        /// Whether this one does.
        here: bool,
    },
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The vault is being closed; what is under way goes on when it is opened again.
    #[error("the vault is being closed; the work goes on when it is opened again")]
    Closing,
    /// Sealed until an operator opens it.
    #[error("an operator has sealed the vault; `volarctl vault unseal` opens it")]
    SealedByOperator,
    /// Records are to move, and there is no place for them.
    #[error("{0}")]
    NowhereToMove(&'static str),
    /// Calls are under way still.
    #[error("the vault refuses new calls, but some are under way still; its keys are forgotten when they end")]
    StillBusy,
    /// The system gives no thread.
    #[error("the system gives no thread to work in: {error}")]
    NoThread {
        /// What it says.
        error: std::io::Error,
    },
    /// The passphrase or PIN.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The token.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The key holder.
    #[error(transparent)]
    Holder(#[from] HolderError),
    /// The wrapped tenant keys.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The key table.
    #[error(transparent)]
    KeyTable(#[from] KeyTableError),
    /// Backups.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed record.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl VaultError {
    /// A request field that breaks `rule`.
    pub(crate) fn field(field: &'static str, rule: impl Into<String>) -> Self {
        Self::Field { field, rule: rule.into() }
    }
}
