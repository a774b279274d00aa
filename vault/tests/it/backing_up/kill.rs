//! `kill -9` in the middle of backups under load: older ones stay whole, and the newest that was told of returns.

use volar_vault::backup::restore::RestoreError;

use super::{With, lose, open, restore_with};
use crate::kill::lines_until_killed;
use crate::world::World;

const KILLS: usize = 8;

#[test]
fn backups_are_whole_whenever_the_vault_is_killed() {
    let world = World::new();
    let mut told = 0;
    for _ in 0..KILLS {
        let lines = lines_until_killed(&world, "back_up", &[]);
        told += lines.iter().filter(|line| line.starts_with("backup ")).count();
        let vault = open(&world);
        let there = vault.backup_status().expect("readable").backups;
        for backup in &there {
            assert_eq!(vault.verify_backup(Some(&backup.id)).expect("whole").rows, backup.rows);
        }
        for line in lines.iter().filter_map(|line| line.strip_prefix("backup ")) {
            assert!(there.iter().any(|backup| backup.id == line) || there.len() == 14, "{line} is not there");
        }
        drop(vault);
    }
    assert!(told > 0, "no backup was ended before a kill");
    lose(&world);
    let restored = restore_with(&world, &With::newest(&world));
    assert!(!matches!(restored, Err(RestoreError::Keyless { .. })), "{restored:?}");
    let restored = restored.expect("restored");
    assert!(restored.subjects > 0);
    world.enroll(&world.open());
}
