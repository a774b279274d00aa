//! What may be wrong with a key table, and what to do about it.

use std::path::PathBuf;

use super::layout::FORMAT;

/// Why the key table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyTableError {
    /// The system refuses.
    #[error("key table {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Another process has it open.
    #[error("the key table {} is in use by another process; vaults share one only if each says so (store.postgres.shared)", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not there though the store has subjects.
    #[error("the key table {} is missing; without it nobody's record opens: restore it from the backup made together with the store", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Ends in the middle of header or slot, or before a slot that the store refers to.
    #[error("the key table {} is cut off at {length} bytes; restore it from the backup made together with the store", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// Header unknown or altered.
    #[error("{} is not a key table of format {FORMAT}, or its header is damaged; restore it from its backup", path.display())]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// A copy that no other vault of those that share the table follows to.
    #[error("{} is not the file that the other vaults copy keys to; name the one file that all of them reach (backup.keys)", path.display())]
    Apart {
        /// The file.
        path: PathBuf,
    },
    /// Made for another store.
    #[error("the key table {} belongs to another store; put the store and the key table of one backup side by side", path.display())]
    OtherStore {
        /// The file.
        path: PathBuf,
    },
    /// Bits of a slot in use were changed.
    #[error("slot {slot} of the key table {} is damaged (wrong checksum): one person's records cannot be opened; restore the key table from its backup, or run `volar-vault erase-damaged --config FILE` to erase those persons for good", path.display())]
    SlotDamaged {
        /// The file.
        path: PathBuf,
        /// The slot.
        slot: u32,
    },
    /// The slot does not hold the key that the store says it does.
    #[error("slot {slot} of the key table {} holds another person's key or none: key table and store are not of one moment; restore both from one backup", path.display())]
    SlotOfAnother {
        /// The file.
        path: PathBuf,
        /// The slot.
        slot: u32,
    },
    /// An earlier synchronization failed.
    #[error("the disk under the key table {} failed to synchronize; nothing more is acknowledged: check the disk and restart", path.display())]
    SyncFailed {
        /// The file.
        path: PathBuf,
    },
    /// All slot numbers are taken.
    #[error("the key table {} is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
}
