//! Gauges for Prometheus: numbers of a gallery, nothing of a person.

use crate::error::VaultError;
use crate::feed::head;
use crate::vault::Vault;

impl Vault {
    /// Sets every gauge to what is so now.
    pub fn measure(&self) -> Result<(), VaultError> {
        metrics::gauge!("volar_vault_store_bytes").set(self.store_bytes() as f64);
        let now = self.clock.now();
        for tenant in self.tenants.values() {
            for gallery in tenant.galleries.values() {
                let head = head(tenant, self.rows(), &gallery.id)?;
                let labels = [("tenant", tenant.id.to_string()), ("gallery", gallery.id.to_string())];
                for (state, count) in
                    [("pending", head.pending), ("active", head.active), ("in-review", head.in_review)]
                {
                    let labels = [&labels[..], &[("state", state.to_owned())]].concat();
                    metrics::gauge!("volar_vault_subjects", &labels).set(count as f64);
                }
                for follower in self.followers.of(&tenant.id, &gallery.id, now) {
                    let labels = [&labels[..], &[("follower", follower.device.to_string())]].concat();
                    let lag = head.last_sequence.saturating_sub(follower.acknowledged);
                    metrics::gauge!("volar_vault_feed_lag_events", &labels).set(lag as f64);
                    let connected = u8::from(follower.connected);
                    metrics::gauge!("volar_vault_feed_connected", &labels).set(f64::from(connected));
                }
            }
        }
        Ok(())
    }
}
