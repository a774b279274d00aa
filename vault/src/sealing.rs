//! Sealing that lasts: an operator's word is noted in the store, so that neither a restart nor a standby opens the vault
//! before an operator does. Both words are in the audit log.

use volar_core::audit::Action;
use volar_service::identity::Peer;

use crate::error::VaultError;
use crate::store::{Store, Table};
use crate::vault::{META_SEALED, Vault};

/// Whether an operator has sealed the vault whose records `store` holds.
pub(crate) fn is_sealed(store: &dyn Store) -> Result<bool, VaultError> {
    Ok(store.read(Table::Meta, META_SEALED)?.is_some())
}

impl Vault {
    /// Notes that an operator seals the vault, or opens it again.
    pub(crate) fn note_seal(&self, peer: &Peer, sealed: bool) -> Result<(), VaultError> {
        let what = if sealed { "the vault was sealed" } else { "the vault was unsealed" };
        self.store.write(|transaction| {
            if sealed {
                transaction.put(Table::Meta, META_SEALED, &[])?;
            } else {
                transaction.remove(Table::Meta, META_SEALED)?;
            }
            self.note_everywhere(transaction, peer, Action::Key, what)
        })
    }
}
