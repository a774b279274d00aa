//! Retention: whoever the law of their site says must go is erased, as by any other erasure, and the audit log says
//! under which rule. Somebody's last interaction is their enrollment, their last claim, or their last entry with a second
//! factor.

mod rules;

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::SubjectId;
use volar_service::identity::Peer;

use crate::audit::{About, Actor};
use crate::erasure::Why;
use crate::error::VaultError;
use crate::format::v3;
use crate::parameters::{UNATTENDED_ERASURES_MIN, UNATTENDED_SHARE};
use crate::rows;
use crate::store::{Rows, Table};
use crate::vault::{Tenant, Vault};

pub use rules::{After, DEFAULT, Ended, Jurisdiction, RULES, Rule, RulesError, Schedules, SiteSchedule, find, read};
pub(crate) use rules::{beginning, day};

/// Somebody whose term is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Who.
    pub subject: SubjectId,
    /// Their last interaction.
    pub last_seen: Timestamp,
    /// Under which rule, and since when.
    pub ended: Ended,
}

/// What one run found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Who was erased, or would be.
    pub removals: Vec<Removal>,
    /// Subjects looked at.
    pub examined: u64,
}

impl Vault {
    /// Erases everybody of the peer's tenant whose term is over; on a dry run, only tells who.
    pub fn run_retention(&self, peer: &Peer, dry_run: bool) -> Result<Run, VaultError> {
        self.retain(self.tenant(&peer.tenant)?, &peer.into(), dry_run)
    }

    /// Erases everybody whose term is over; returns how many. Refuses to erase more at once than a day ends in ordinary
    /// life: a clock years ahead or a mistyped day would end everybody's term, and nothing brings them back.
    pub fn run_retention_for_all(&self) -> Result<usize, VaultError> {
        let mut removed = 0;
        for tenant in self.tenants.values() {
            let Run { removals, examined } = self.retain(tenant, &Actor::vault(), true)?;
            let (due, most) = (removals.len() as u64, UNATTENDED_ERASURES_MIN.max(examined / UNATTENDED_SHARE));
            if due > most {
                return Err(VaultError::RetentionUnattended { tenant: tenant.id.clone(), due, examined, most });
            }
            removed += self.retain(tenant, &Actor::vault(), false)?.removals.len();
        }
        Ok(removed)
    }

    /// The day that it is, in UTC.
    pub fn today(&self) -> jiff::civil::Date {
        day(self.clock.now())
    }

    /// The schedules of a tenant: the sites that each holds for, none for every other site.
    pub fn retention_schedules(&self, peer: &Peer) -> Result<Vec<(Vec<String>, SiteSchedule)>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let Some((others, sites)) = self.settings.retention.tenants.get(&tenant.id) else {
            return Ok(vec![(Vec::new(), self.settings.retention.fallback.clone())]);
        };
        let named = sites.iter().map(|(site, schedule)| (vec![site.to_string()], schedule.clone()));
        Ok(named.chain([(Vec::new(), others.clone())]).collect())
    }

    fn retain(&self, tenant: &Tenant, actor: &Actor, dry_run: bool) -> Result<Run, VaultError> {
        let mut run = Run::default();
        self.store.for_each(Table::Placements, &rows::tenant(&tenant.id), |key, _| {
            let (_, subject) = rows::split_subject(key).ok_or(VaultError::RecordMissing { kind: "subject" })?;
            run.examined += 1;
            run.removals.extend(self.term_over(tenant, self.rows(), subject)?);
            Ok(())
        })?;
        if dry_run {
            return Ok(run);
        }
        let found = std::mem::take(&mut run.removals);
        for removal in found {
            let why = Why::by(actor, format!("retention {} {}", removal.ended.jurisdiction, removal.ended.rule));
            let erased = self.store.write(|transaction| {
                // Whoever came by since the list was made stays.
                let still = self.term_over(tenant, transaction, removal.subject)?.is_some();
                if still {
                    self.mark_erased(tenant, transaction, removal.subject, &why)?;
                }
                Ok(still)
            })?;
            if erased {
                self.finish_erasure(tenant, removal.subject)?;
                run.removals.push(removal);
            }
        }
        let what = format!("schedule applied: {} examined, {} erased", run.examined, run.removals.len());
        self.store.write(|transaction| {
            self.note(tenant, transaction, actor, Action::Retention, About::Nobody, &what).map(drop)
        })?;
        metrics::counter!("volar_vault_retention_total", "tenant" => tenant.id.to_string())
            .increment(run.removals.len() as u64);
        Ok(run)
    }

    /// The rule that ended for a subject, if one has.
    fn term_over(&self, tenant: &Tenant, rows: &dyn Rows, subject: SubjectId) -> Result<Option<Removal>, VaultError> {
        let (record, key) = match self.living(tenant, rows, subject) {
            Err(VaultError::SubjectErased | VaultError::SubjectUnknown) => return Ok(None),
            living => living?,
        };
        let v3::Subject { site, enrolled_at, .. } = record;
        let last_seen = self.last_seen(tenant, rows, &key)?.unwrap_or(enrolled_at);
        let ended = self.settings.retention.of(&tenant.id, &site).first(day(last_seen));
        let over = ended.filter(|ended| day(self.clock.now()) >= ended.due);
        Ok(over.map(|ended| Removal { subject, last_seen, ended }))
    }
}
