//! Who was searched for at a gate or kiosk, as matchers tell it afterwards: a leaf of the audit log for each answer.

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, LaneId, SiteId, SubjectId};
use volar_core::ticket::Purpose;
use volar_service::identity::{Peer, Role};

use crate::audit::{About, Actor, DONE, REFUSED};
use crate::error::VaultError;
use crate::format::v1::Answer;
use crate::rows::Method;
use crate::store::Transaction;
use crate::vault::{Call, Tenant, Vault};

/// One answer that a reader got.
pub struct Scan {
    /// When.
    pub decided_at: Timestamp,
    /// The reader's site.
    pub site: SiteId,
    /// The reader.
    pub device: DeviceId,
    /// Its lane.
    pub lane: LaneId,
    /// What it was for.
    pub purpose: Purpose,
    /// What was decided, and why, in words of a leaf: `no-match: below-threshold`.
    pub decision: String,
    /// Who was admitted, if anybody.
    pub admitted: Option<SubjectId>,
}

impl Vault {
    /// Appends a leaf for each of `scans`, and one that says how many were `lost` if any were. The same call again appends
    /// nothing.
    pub fn report_scans(&self, peer: &Peer, call: &Call, scans: &[Scan], lost: u64) -> Result<(), VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let appended = self.store.write(|transaction| {
            if self.answered(tenant, transaction, &peer.device, Method::ReportScans, call)?.is_some() {
                return Ok(0);
            }
            if lost > 0 {
                let said = format!("{lost} scans were not told in time");
                let outcome = ("lost", said.as_str());
                self.note_outcome(tenant, transaction, &peer.into(), Action::Scan, About::Nobody, outcome)?;
            }
            for scan in scans {
                self.note_scan(tenant, transaction, peer, scan)?;
            }
            self.remember(tenant, transaction, &peer.device, Method::ReportScans, call, Answer::Noted)?;
            Ok(scans.len() as u64)
        })?;
        metrics::counter!("volar_vault_scans_total", "tenant" => tenant.id.to_string()).increment(appended);
        Ok(())
    }

    fn note_scan(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        peer: &Peer,
        scan: &Scan,
    ) -> Result<(), VaultError> {
        let role = match scan.purpose {
            Purpose::Admission => Role::Gate,
            Purpose::Withdrawal => Role::Kiosk,
        };
        let reader = Actor::reader(role, &scan.site, &scan.device);
        let key = match scan.admitted.map(|subject| self.living(tenant, transaction, subject)) {
            Some(Ok((_, key))) => Some(key),
            // Erased since: there is nobody to commit to.
            None | Some(Err(VaultError::SubjectErased | VaultError::SubjectUnknown)) => None,
            Some(Err(error)) => return Err(error),
        };
        let about = key.as_ref().map_or(About::Nobody, |key| About::Living { key, seen: true });
        let outcome = if scan.admitted.is_some() { DONE } else { REFUSED };
        let (lane, at, by) = (&scan.lane, scan.decided_at.unix_milliseconds(), &peer.device);
        let detail = format!("{lane} at {at}, {}, by {by}", scan.decision);
        self.note_outcome(tenant, transaction, &reader, Action::Scan, about, (outcome, &detail)).map(drop)
    }
}
