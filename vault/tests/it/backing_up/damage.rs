//! A damaged backup is refused, and the file named.

use std::path::{Path, PathBuf};

use volar_vault::error::VaultError;

use super::{With, config, lose, open, restore_newest, restore_with};
use crate::world::World;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_altered_byte_is_noticed_and_its_file_named() {
    let world = World::new();
    let vault = open(&world);
    world.member(&vault);
    world.enroll(&vault);
    let made = vault.back_up().expect("backed up");
    assert!(vault.verify_backup(None).expect("whole").rows == made.rows);
    let folder = config(&world).folder;
    // The journal comes last; locks are empty.
    let rest =
        |path: &std::path::PathBuf| path.ends_with("erasures") || path.extension().is_some_and(|end| end == "turn");
    let all: Vec<_> = files(&folder).into_iter().filter(|path| !rest(path)).collect();
    assert!(all.len() > 15, "{}", all.len());
    let refused = |path: &Path, what: &str| {
        let refused = vault.verify_backup(None).expect_err("must be refused").to_string();
        assert!(refused.contains(&path.display().to_string()), "{what}: {refused}");
    };
    for path in &all {
        let whole = std::fs::read(path).expect("readable");
        let step = (whole.len() / 50).max(1);
        for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(path, &altered).expect("writable");
            refused(path, &format!("byte {at} of {}", whole.len()));
        }
        std::fs::write(path, &whole[..whole.len() - 1]).expect("writable");
        refused(path, "cut");
        std::fs::write(path, &whole).expect("writable");
    }
    let piece = all.iter().find(|path| path.starts_with(folder.join("pieces"))).expect("a piece");
    let whole = std::fs::read(piece).expect("readable");
    std::fs::remove_file(piece).expect("there");
    refused(piece, "missing");
    drop(vault);

    // Nothing opens that is not wholly back; mended, it is begun anew.
    lose(&world);
    let refused = restore_with(&world, &With::newest(&world)).expect_err("must be refused").to_string();
    assert!(refused.contains(&piece.display().to_string()) && refused.contains("--at"), "{refused}");
    assert!(matches!(world.try_open().map(drop), Err(VaultError::StoreUnfinished)));
    std::fs::write(piece, whole).expect("writable");
    let journal = folder.join("erasures");
    std::fs::write(&journal, "acme 00 00\n").expect("writable");
    let refused = restore_with(&world, &With::newest(&world)).expect_err("must be refused").to_string();
    assert!(refused.contains(&journal.display().to_string()), "{refused}");
    std::fs::remove_file(&journal).expect("there");
    assert_eq!(restore_newest(&world).subjects, 2);
    open(&world);
}
