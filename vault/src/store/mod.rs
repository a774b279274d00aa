//! Where sealed records lie. One trait; every engine passes the one [`conformance`] suite.

pub mod conformance;
mod postgres;
mod sled;
mod watched;

use std::path::PathBuf;

use crate::error::VaultError;

pub use self::sled::SledStore;
pub use postgres::{PostgresConfig, PostgresConfigError, PostgresStore};
pub(crate) use watched::{Changed, META_KEY_CHANGES, Watch, changes_of_keys, watched};

/// A table of rows ordered by their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// The store itself: its id, the id of its key. Plain.
    Meta,
    /// Galleries, by tenant and gallery.
    Galleries,
    /// Ends of feeds, by tenant and gallery.
    Heads,
    /// Subjects, by tenant and subject.
    Subjects,
    /// Palms, by tenant, gallery, sequence and hand: in the order in which followers read them.
    Palms,
    /// Payment references, by tenant and subject.
    Payments,
    /// Where keys and palms of subjects lie, by tenant and subject.
    Placements,
    /// Subjects by tenant, gallery and state. Empty rows.
    States,
    /// Enrollments that must be finished, by time, tenant and subject. Empty rows.
    Deadlines,
    /// Subjects by tenant and enrollment.
    Enrollments,
    /// Erased subjects, by tenant and subject.
    Tombstones,
    /// Erasures under way, by tenant and subject. Empty rows.
    Erasing,
    /// Answered calls, by tenant, device, method and idempotency id.
    Idempotency,
    /// Claimed tickets, by tenant and ticket.
    Claims,
    /// Events, by tenant, gallery and sequence.
    Feed,
    /// Followers, by tenant, gallery and device.
    Followers,
    /// What is forgotten when: by time, table and that table's key. Empty rows.
    Expiries,
    /// Right edges of audit logs, by tenant.
    AuditHeads,
    /// What signs audit logs' heads, by tenant.
    AuditKeys,
    /// Leaves of audit logs, by tenant and index.
    AuditLeaves,
    /// Hashes of audit logs' full subtrees, by tenant, level and place.
    AuditNodes,
    /// Ends of subjects' trails through the audit log, by tenant and subject.
    Trails,
    /// Which leaves prove erasures, by tenant and subject.
    ErasureProofs,
    /// Second factors, by tenant and subject.
    SecondFactors,
    /// Failed second factors in a row, by tenant and subject, and by tenant, site, reader and lane.
    FactorTries,
    /// Second-factor challenges that were answered, by tenant and challenge.
    AnsweredChallenges,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 26] = [
        Self::Meta,
        Self::Galleries,
        Self::Heads,
        Self::Subjects,
        Self::Palms,
        Self::Payments,
        Self::Placements,
        Self::States,
        Self::Deadlines,
        Self::Enrollments,
        Self::Tombstones,
        Self::Erasing,
        Self::Idempotency,
        Self::Claims,
        Self::Feed,
        Self::Followers,
        Self::Expiries,
        Self::AuditHeads,
        Self::AuditKeys,
        Self::AuditLeaves,
        Self::AuditNodes,
        Self::Trails,
        Self::ErasureProofs,
        Self::SecondFactors,
        Self::FactorTries,
        Self::AnsweredChallenges,
    ];
}

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A durable, transactional store of rows, and of blobs too large to be rows.
///
/// Reads may see what is not durable yet; whoever answers from a read calls [`Store::settle`] first.
pub trait Store: Rows + Send + Sync + 'static {
    /// Up to `limit` rows whose keys start with `prefix` and are not below `from`, in order.
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Runs `body` alone; applies all of its writes at once if it returns true, none otherwise. May run it again. What
    /// it wrote, and everything that it read, is durable when this returns.
    fn transact(&self, body: &mut Body<'_>) -> Result<(), StoreError>;

    /// Returns once every body that began here before has ended, its writes kept or not. Of other processes that share the
    /// store it says nothing.
    fn barrier(&self) -> Result<(), StoreError>;

    /// Returns once everything that a read has seen so far is durable.
    fn settle(&self) -> Result<(), StoreError>;

    /// Keeps a blob, before the transaction that refers to it; durable when this returns.
    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// A blob, or `None` if it was removed.
    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Several blobs, in order.
    fn read_blobs(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        names.iter().map(|name| self.blob(name)).collect()
    }

    /// Removes a blob, after the transaction that stopped referring to it. Removing none is no error.
    fn remove_blob(&self, name: &str) -> Result<(), StoreError>;

    /// Names of every blob, those that nothing refers to included.
    fn blobs(&self) -> Result<Vec<String>, StoreError>;

    /// Bytes that the store takes up.
    fn size_bytes(&self) -> u64;

    /// All of it as it is now, durable, whatever is written from then on; `None` where the engine shows no such thing, and
    /// whoever copies it watches what is written.
    fn moment(&self) -> Result<Option<Box<dyn Moment + '_>>, StoreError> {
        Ok(None)
    }

    /// Whether other processes may have it open too, and write.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether compacting gives much space back.
    fn is_wasteful(&self) -> bool {
        false
    }

    /// Gives back the space of what was overwritten and removed, while others read and write; `None` if told to `stop`, or
    /// where the engine does so by itself.
    fn compact(&self, _stop: &dyn Fn() -> bool) -> Result<Option<Compacted>, StoreError> {
        Ok(None)
    }
}

/// A store as it was at one moment.
pub trait Moment {
    /// Up to `limit` rows whose keys are not below `from`, in order.
    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Names of every blob.
    fn blobs(&self) -> Result<Vec<String>, StoreError>;

    /// A blob, or `None` if it was not there.
    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
}

/// What [`Store::compact`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes that the store took up.
    pub before: u64,
    /// Bytes that it takes up now.
    pub after: u64,
}

/// What [`Store::transact`] runs.
pub type Body<'a> = dyn FnMut(&dyn Transaction) -> Result<bool, StoreError> + 'a;

/// Reads one row at a time, inside a transaction or not.
pub trait Rows {
    /// The value under `key`.
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values under several keys, in order: one way to an engine that is far. They may be of different moments.
    fn read_many(&self, places: &[(Table, Vec<u8>)]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        places.iter().map(|(table, key)| self.read(*table, key)).collect()
    }
}

/// Reads and writes inside a transaction; reads see its own writes.
pub trait Transaction: Rows {
    /// Puts a row.
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a row. Removing none is no error.
    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError>;
}

impl dyn Store {
    /// Runs `body` in a transaction: its writes are durable if it succeeds, and undone if it fails.
    pub fn write<T>(&self, mut body: impl FnMut(&dyn Transaction) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let mut outcome = None;
        self.transact(&mut |transaction| {
            let ended = body(transaction);
            let keep = ended.is_ok();
            outcome = Some(ended);
            Ok(keep)
        })?;
        outcome.expect("a transaction that succeeds has run its body")
    }

    /// Every row whose key starts with `prefix`, in order, a few at a time.
    pub fn for_each(
        &self,
        table: Table,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut from = prefix.to_vec();
        loop {
            let rows = self.scan(table, prefix, &from, crate::parameters::SCAN_ROWS)?;
            for (key, value) in &rows {
                visit(key, value)?;
            }
            match rows.last() {
                // The least key above the last one.
                Some((key, _)) => from = [key.as_slice(), &[0]].concat(),
                None => return Ok(()),
            }
        }
    }
}

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("store {}: {error}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Another store goes on in its place.
    #[error("the records have just moved to another store; ask again in a moment")]
    Moved,
    /// Another vault has given the tenant keys a new version, which this one has not taken up yet.
    #[error("the keys are just being changed by another vault; ask again in a moment")]
    Outdated,
    /// Another process has it open.
    #[error("the store {} is in use by another process; vaults share a store only if each says so (store.postgres.shared)", path.display())]
    InUse {
        /// Its folder.
        path: PathBuf,
    },
    /// Its files are not as they were written.
    #[error("the store {} is damaged ({reason}); stop the vault and restore store and key table from one backup", path.display())]
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// What was noticed.
        reason: String,
    },
    /// It has forgotten what it had acknowledged.
    #[error("the store {} holds {found} transactions but had acknowledged {acknowledged}: its files were cut or replaced by older ones; restore store and key table from one backup", path.display())]
    LostWrites {
        /// Its folder.
        path: PathBuf,
        /// Transactions found.
        found: u64,
        /// Transactions acknowledged.
        acknowledged: u64,
    },
    /// Made by a newer vault.
    #[error("the store {} has format {found}; this vault knows {known}: run a newer one", path.display())]
    Format {
        /// Its folder.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known.
        known: u32,
    },
    /// `[store.postgres]` cannot be used.
    #[error(transparent)]
    Postgres(PostgresConfigError),
    /// The database server is away.
    #[error(
        "the {place} does not answer ({reason}); nothing was written: see that the server runs and takes connections"
    )]
    Unavailable {
        /// The database.
        place: String,
        /// What the last try met.
        reason: String,
    },
    /// The database server went away in mid-commit.
    #[error("the {place} went away before it said whether it committed; a repeat of the call will tell")]
    OutcomeUnknown {
        /// The database.
        place: String,
    },
    /// The database server refuses.
    #[error("the {place} refuses: {reason}")]
    Refused {
        /// The database.
        place: String,
        /// What it says.
        reason: String,
    },
    /// Another vault has opened the database since.
    #[error("another vault has taken the {place} over; this one writes nothing more: stop one of them")]
    TakenOver {
        /// The database.
        place: String,
    },
    /// The disk refused to synchronize.
    #[error("the disk under the store {} failed to synchronize; nothing more is acknowledged: check the disk and restart", path.display())]
    SyncFailed {
        /// Its folder.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether a transaction that ended so may be durable all the same, now or after the next start: the engine had it
    /// when the disk or the server failed. Otherwise nothing of it was written.
    pub fn may_have_written(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. } | Self::SyncFailed { .. } | Self::Io { .. } | Self::Damaged { .. })
    }
}
