//! Heads as files, for outsiders to keep: a log can be cut or rewritten unseen only where nobody keeps its heads.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::error::VaultError;
use crate::store::StoreError;
use crate::vault::Vault;

impl Vault {
    /// Writes every tenant's head to `<folder>/<tenant>/<leaves>.head`, unless that file is there; returns how many
    /// were new.
    pub fn publish_heads(&self, folder: &Path) -> Result<usize, VaultError> {
        let mut written = 0;
        for tenant in self.tenants.values() {
            let folder = folder.join(tenant.id.as_str());
            let head = self.newest_head(tenant)?;
            let path = folder.join(format!("{:012}.head", head.head().size));
            let failed = |error| StoreError::Io { path: path.clone(), error };
            if path.exists() {
                continue;
            }
            fs::create_dir_all(&folder).map_err(failed)?;
            // Under another name first: whoever copies the folder never sees half a head.
            let part = path.with_extension("part");
            let mut file = fs::File::create(&part).map_err(failed)?;
            file.write_all(head.text().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            fs::rename(&part, &path).map_err(failed)?;
            written += 1;
        }
        Ok(written)
    }
}
