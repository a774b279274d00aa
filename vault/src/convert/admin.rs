//! What operators are told.

use volar_core::id::SubjectId;
use volar_proto::v1 as wire;

use super::{enrolled_palm, factor_kind, hashes, position, state};
use crate::admin::{GalleryStatus, Page};
use crate::audit::{LeafProof, LogHead};
use crate::backup::{BackupInfo, BackupStatus, JobStatus};
use crate::export::{Exported, ExportedMembership};
use crate::format::{v1, v3};
use crate::retention::{Jurisdiction, Removal, Rule, Run, SiteSchedule, beginning};
use crate::rotation::{KeysStatus, Use, VersionStatus};

pub(crate) fn audit_head(log: &LogHead) -> wire::GetAuditHeadResponse {
    wire::GetAuditHeadResponse {
        head: log.head.text().to_owned(),
        public_key: log.key.to_string(),
        consistency: hashes(&log.consistency),
    }
}

pub(crate) fn audit_leaf(proof: LeafProof) -> wire::ProveAuditLeafResponse {
    let (inclusion, head) = (hashes(&proof.inclusion), proof.head.text().to_owned());
    wire::ProveAuditLeafResponse { leaf: proof.leaf, inclusion, head }
}

pub(crate) fn retention_run(run: Run) -> wire::RunRetentionResponse {
    let removal = |removal: Removal| wire::RetentionRemoval {
        subject_id: removal.subject.to_string(),
        jurisdiction: removal.ended.jurisdiction,
        rule: removal.ended.rule,
        last_seen_unix_ms: removal.last_seen.unix_milliseconds(),
        due_unix_ms: beginning(removal.ended.due).unix_milliseconds(),
    };
    wire::RunRetentionResponse { removals: run.removals.into_iter().map(removal).collect(), examined: run.examined }
}

pub(crate) fn retention_schedule((sites, schedule): (Vec<String>, SiteSchedule)) -> wire::RetentionSchedule {
    let Jurisdiction { id, title, rules } = schedule.jurisdiction;
    let rule = |Rule { name, text, source, .. }| wire::RetentionRule { name, text, source };
    wire::RetentionSchedule { sites, jurisdiction: id, title, rules: rules.into_iter().map(rule).collect() }
}

pub(crate) fn exported(export: Exported, with_templates: bool) -> wire::ExportSubjectResponse {
    let palm = |palm: &v1::Palm| {
        let bytes = |reference: &v1::Reference| size_of_val(reference.embedding.as_slice()) + reference.code.len();
        wire::ExportedPalm {
            position: position(palm.position).into(),
            qualities: palm.references.iter().map(|reference| reference.quality.into()).collect(),
            reference_bytes: palm.references.first().map(bytes).and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
            references: if with_templates { enrolled_palm(palm, None).references } else { Vec::new() },
        }
    };
    let membership = |membership: &ExportedMembership| wire::ExportedMembership {
        gallery: membership.gallery.to_string(),
        generation: membership.generation,
        model: membership.model.to_string(),
        palms: membership.palms.iter().map(palm).collect(),
    };
    let leaf = |(leaf, salt): (String, [u8; 32])| wire::ExportedLeaf { leaf, salt: salt.to_vec() };
    let consent = export.subject.consent.clone();
    let (payment_provider, payment_label) = match &export.payment {
        Some(payment) => (payment.provider.clone(), payment.label.clone()),
        None => Default::default(),
    };
    wire::ExportSubjectResponse {
        site: export.subject.site.to_string(),
        consent: Some(wire::Consent {
            policy_version: consent.policy_version,
            language: consent.language,
            text_sha256: consent.text_sha256.to_vec(),
            given_at_unix_ms: consent.given_at.unix_milliseconds(),
            method: consent.method,
        }),
        payment_provider,
        payment_label,
        last_seen_unix_ms: export.last_seen.unix_milliseconds(),
        leaves: export.leaves.into_iter().map(leaf).collect(),
        memberships: export.memberships.iter().map(membership).collect(),
        second_factor: export.second_factor.map(factor_kind).unwrap_or_default().into(),
        subject: Some(subject_summary(export.id, export.subject)),
    }
}

pub(crate) fn gallery_status(status: GalleryStatus) -> wire::GalleryStatus {
    let followers = status.followers.into_iter().filter(|follower| follower.connected);
    wire::GalleryStatus {
        gallery: status.gallery.to_string(),
        generation: status.generation,
        model: status.model.to_string(),
        subjects_pending: status.head.pending,
        subjects_active: status.head.active,
        subjects_in_review: status.head.in_review,
        last_sequence: status.head.last_sequence,
        sites: status.sites.iter().map(ToString::to_string).collect(),
        renewal: status.renewal.map(|(other_generation, progress)| wire::GalleryRenewal {
            other_generation,
            done: progress.done,
            total: progress.total,
            stopped: progress.stopped.unwrap_or_default(),
        }),
        followers: followers
            .map(|follower| wire::FollowerStatus {
                device: follower.device.to_string(),
                acknowledged_sequence: follower.acknowledged,
            })
            .collect(),
    }
}

pub(crate) fn page(page: Page) -> wire::ListSubjectsResponse {
    let subjects = page.subjects.into_iter().map(|(id, subject)| subject_summary(id, subject)).collect();
    wire::ListSubjectsResponse { subjects, next_page_token: page.next }
}

fn subject_summary(id: SubjectId, subject: v3::Subject) -> wire::Subject {
    let suspicion = subject.suspicion();
    wire::Subject {
        subject_id: id.to_string(),
        galleries: subject.memberships.iter().map(|membership| membership.gallery.to_string()).collect(),
        state: state(Some(subject.state)).into(),
        payment_bound: subject.payment_bound,
        consent_policy_version: subject.consent.policy_version,
        consent_language: subject.consent.language,
        enrolled_at_unix_ms: subject.enrolled_at.unix_milliseconds(),
        positions: subject.positions.into_iter().map(|hand| position(hand).into()).collect(),
        enrolled_by_device: subject.device.to_string(),
        suspected_duplicate_of: suspicion.map(|suspicion| suspicion.of.to_string()).unwrap_or_default(),
        suspected_score: suspicion.and_then(|suspicion| suspicion.score),
    }
}

pub(crate) fn keys(keys: KeysStatus) -> wire::GetKeysResponse {
    let used = |used: Use| wire::KeyUse { records: used.records, subject_keys: used.subject_keys };
    let version = |status: VersionStatus| wire::KeyVersion {
        version: status.version,
        made_at_unix_ms: status.made_at.unix_milliseconds(),
        r#use: status.used.map(used),
    };
    wire::GetKeysResponse {
        holder: keys.holder,
        versions: keys.versions.into_iter().map(version).collect(),
        rotation: keys.rotation.map(|rotation| wire::KeyRotation {
            done: rotation.done,
            total: rotation.total,
            stopped: rotation.stopped.unwrap_or_default(),
        }),
    }
}

pub(crate) fn backups(status: BackupStatus) -> wire::ListBackupsResponse {
    let backup = |backup: BackupInfo| wire::Backup {
        id: backup.id,
        taken_at_unix_ms: backup.taken_at.unix_milliseconds(),
        rows: backup.rows,
        subjects: backup.subjects,
        bytes: backup.bytes,
        new_bytes: backup.new_bytes,
    };
    let backups = status.backups.into_iter().map(backup).collect();
    wire::ListBackupsResponse { backups, job: status.job.map(backup_job) }
}

pub(crate) fn backup_job(job: JobStatus) -> wire::BackupJob {
    let (ended, failed) = (job.ended.is_some(), matches!(job.ended, Some(Err(_))));
    let outcome = job.ended.map(|ended| ended.unwrap_or_else(|reason| reason)).unwrap_or_default();
    wire::BackupJob { what: job.what.to_owned(), done: job.done, total: job.total, ended, outcome, failed }
}
