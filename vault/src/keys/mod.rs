//! Long-term keys: who holds them, and where each subject's own key lies.
//!
//! ```text
//! key holder (key file) --HKDF--> one key for each tenant and purpose
//!                                     | wraps
//!                                     v
//! key table: one slot a subject, overwritten to erase
//! ```

mod file;
mod layout;
mod table;
mod tenant;

use std::fmt;

use volar_core::secret::Key;

pub use file::{KeyFile, KeyFileError};
pub(crate) use layout::{WRAPPED, WrappedKey};
pub(crate) use table::Contents;
pub use table::{KeyTable, KeyTableError, Slot};
pub use tenant::TenantKeys;

/// Tells one long-term key from another without telling anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; KeyId::LENGTH]);

impl KeyId {
    /// Length in bytes.
    pub const LENGTH: usize = 8;

    /// The id of `key`: one-way, through HKDF.
    pub fn of(key: &Key) -> Self {
        let derived = key.derive("volar.v1 key id", &[]);
        Self(derived.expose()[..Self::LENGTH].try_into().expect("a key is longer than its id"))
    }

    /// From stored bytes.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// Holds the vault's long-term key and derives from it. The key itself never leaves, so that a hardware module can
/// stand behind this trait.
pub trait KeyHolder: Send + Sync + 'static {
    /// Which key this is.
    fn id(&self) -> KeyId;

    /// The key's version, bound into every record sealed under it.
    fn version(&self) -> u32;

    /// HKDF-SHA-256 of the key for `purpose` and `context`, as [`Key::derive`].
    fn derive(&self, purpose: &str, context: &[&[u8]]) -> Key;
}
