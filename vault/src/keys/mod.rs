//! Long-term keys: who holds them, and where each subject's own key lies.
//!
//! ```text
//! key holder (key file, or PKCS#11 token)
//!     | wraps
//!     v
//! tenant keys: one slot a tenant and version, overwritten when the version is left   --HKDF--> one key a purpose
//!                                                                                       | wraps
//!                                                                                       v
//! key table: one slot a subject, overwritten to erase
//! ```

mod file;
mod hsm;
mod layout;
mod mirror;
mod passphrase;
mod ring;
mod secret;
mod sharing;
mod table;
mod table_error;
mod tenant;

use std::fmt;

use volar_core::id::TenantId;
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

pub(crate) use file::sync_folder_of;
pub use file::{KeyFile, KeyFileError};
pub use hsm::{Hsm, HsmConfig, HsmError};
pub(crate) use layout::{WRAPPED, WrappedKey};
pub(crate) use ring::Entry;
pub use ring::{Ring, RingError};
pub use secret::{Secret, SecretError};
pub(crate) use table::Company;
pub(crate) use table::Contents;
pub use table::{KeyTable, Slot};
pub use table_error::KeyTableError;
pub(crate) use tenant::Keyring;
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

/// Which of a holder's keys is meant: the one that wraps a tenant's keys of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// Of which version, from 1.
    pub version: u32,
}

/// Holds what every tenant's keys are wrapped under. What it wraps with never leaves it, so that a hardware module can
/// stand behind this trait.
pub trait KeyHolder: Send + Sync + 'static {
    /// Which holder this is; a store opens with the one that it was made with.
    fn id(&self) -> KeyId;

    /// Where its keys are, for people.
    fn place(&self) -> String;

    /// Makes the key `name`, where the holder keeps one for each. One that is there already stays.
    fn make(&self, name: KeyName<'_>) -> Result<(), HolderError>;

    /// Wraps `plain` under the key `name`, bound to `bound`.
    fn wrap(
        &self,
        name: KeyName<'_>,
        bound: &[u8],
        plain: &[u8],
        randomness: &dyn Randomness,
    ) -> Result<Vec<u8>, HolderError>;

    /// What [`KeyHolder::wrap`] wrapped.
    fn unwrap(&self, name: KeyName<'_>, bound: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, HolderError>;

    /// Destroys the key `name`, where the holder keeps one for each: copies of what it wrapped, backups included, open
    /// no more. One that is gone already is no error.
    fn destroy(&self, name: KeyName<'_>) -> Result<(), HolderError>;

    /// A tenant's key as stores had it before keys had versions: derived. `None` where no such store can be.
    fn early(&self, tenant: &TenantId) -> Option<Key>;
}

/// Why a holder does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// Bytes that it did not wrap, or for something else.
    #[error(
        "the wrapped key of tenant \"{tenant}\", version {version}, does not open: it was altered, or wrapped by another key holder; restore key table and tenant keys from one backup"
    )]
    Forged {
        /// Whose key.
        tenant: TenantId,
        /// Of which version.
        version: u32,
    },
    /// The hardware module.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl HolderError {
    pub(crate) fn forged(name: KeyName<'_>) -> Self {
        Self::Forged { tenant: name.tenant.clone(), version: name.version }
    }
}
