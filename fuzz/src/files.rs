//! Files that people and processes hand over.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use jiff::civil::date;
use tempfile::NamedTempFile;
use volar_core::score::{ScoreModel, TargetFpir};
use volar_service::config::Resolve;
use volar_vault::retention::{self, SiteSchedule};

use crate::split;

fn file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("writable");
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).expect("ours");
    file
}

pub(crate) fn key_file(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    volar_vault::fuzzing::file(which, file(bytes).path());
}

pub(crate) fn settings(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match which % 4 {
        0 => read::<volar_vault::config::Config>(text, |config| {
            // Another file than this one, and maybe a device.
            config.retention.rules = None;
            drop(config.settings());
        }),
        1 => read::<volar_matcher::config::Config>(text, |config| drop(config.check())),
        2 => read::<volar_gate::config::Config>(text, |config| drop(config.check())),
        _ => read::<volar_kiosk::config::Config>(text, |config| drop(config.check())),
    }
}

fn read<C: serde::de::DeserializeOwned + Resolve>(text: &str, check: impl FnOnce(&mut C)) {
    if let Ok(mut config) = toml::from_str::<C>(text) {
        config.resolve(&PathBuf::from("/etc/volar"));
        check(&mut config);
    }
}

/// Everybody's term ends, whenever they were seen last.
pub(crate) fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(jurisdictions) = retention::read(text) else { return };
    for jurisdiction in jurisdictions {
        assert_eq!(retention::find([jurisdiction.clone()].as_slice(), &jurisdiction.id), Some(&jurisdiction));
        let schedule = SiteSchedule { jurisdiction, purpose_ends: Some(date(2030, 2, 28)) };
        for last_seen in [date(1970, 1, 1), date(2028, 2, 29), date(2900, 12, 31)] {
            let ended = schedule.first(last_seen).expect("nobody is kept for ever");
            assert!(ended.due >= last_seen.min(date(2030, 2, 28)), "{ended:?}");
        }
        let _ = schedule.first(date(9999, 12, 31));
    }
}

pub(crate) fn score_model(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(model) = ScoreModel::from_toml(text) else { return };
    assert_eq!(ScoreModel::from_toml(&model.to_toml()).as_ref(), Ok(&model), "what was written is read");
    let fused = |cosine, distance| model.fused(cosine, distance).value();
    assert!(fused(0.9, 0.1) >= fused(0.1, 0.5), "more agreement means no lower score");
    assert!(fused(f32::NAN, 0.1).is_finite() && fused(1.0, f32::INFINITY).is_finite());
    let target = TargetFpir::new(1e-3).expect("a rate");
    let small = model.threshold(target, 1_000).value();
    let large = model.threshold(target, 1_000_000).value();
    assert!(small.is_finite() && large >= small, "a larger gallery has no lower threshold: {small}, {large}");
}

pub(crate) fn manifest(bytes: &[u8]) {
    let file = file(bytes);
    if let Ok(manifest) = volar_eval::manifest::read(file.path()) {
        assert!(!manifest.rows.is_empty());
        assert!(manifest.rows.iter().all(|row| !row.subject.is_empty() && row.line >= 1));
    }
}
