//! A database server whose disk is full: calls are refused, and what was acknowledged is there when there is room again.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use volar_core::shard::Shard;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::store::{PostgresConfig, StoreError};

use super::server::Server;
use crate::disk::library;
use crate::world::{Postgres, WorldOver, kiosk, matcher, members};

/// Calls while the disk is full.
const TRIES: usize = 4;
const ROUNDS: usize = 3;
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_servers_full_disk_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // For the server's user too.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("own folder");
    let (faulty, full) = (folder.path().join("disk.so"), folder.path().join("full"));
    std::fs::copy(library(), &faulty).expect("readable");
    let environment = vec![
        ("LD_PRELOAD", faulty.into()),
        ("DISK_UNDER", std::env::temp_dir().join("volar-pg-").into()),
        ("DISK_HOW", "full".into()),
        ("DISK_FROM", "1".into()),
        ("DISK_WHILE", full.clone().into()),
    ];
    let server = Server::start_with(&[], environment);
    let config = PostgresConfig { patience_seconds: 1, ..PostgresConfig::at(server.database()) };
    let world = WorldOver::over(Postgres(config));
    let vault = world.open();
    let mut enrolled = Vec::new();
    for _ in 0..ROUNDS {
        enrolled.push(vault.enroll(&kiosk(), &world.call(0), &world.request(true)).expect("there is room"));
        std::fs::write(&full, "").expect("writable");
        let calls: Vec<_> = (0..TRIES).map(|_| world.call(0)).collect();
        for call in &calls {
            let refused = vault.enroll(&kiosk(), call, &world.request(true)).expect_err("there is no room");
            let store = matches!(
                &refused,
                VaultError::Store(
                    StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. } | StoreError::Refused { .. }
                )
            );
            assert!(store, "{refused}");
        }
        std::fs::remove_file(&full).expect("there");
        for call in &calls {
            let again = || vault.enroll(&kiosk(), call, &world.request(true));
            let until = Instant::now() + SOON;
            let first = loop {
                match again() {
                    Ok(enrollment) => break enrollment,
                    Err(error) => assert!(Instant::now() < until, "there is room again: {error}"),
                }
                // Without room for its log a server ends, sooner or later, for an operator to start it again.
                if !server.is_running() {
                    server.run();
                }
            };
            assert_eq!(again().expect("answered"), first, "enrolled twice");
            enrolled.push(first);
        }
    }
    drop(vault);

    let vault = world.open();
    for enrollment in &enrolled {
        assert!(vault.standing(&kiosk(), *enrollment).expect("known").state.is_some(), "lost");
    }
    let (items, last) = vault.events(&matcher(), &members(), Shard::WHOLE, 1, usize::MAX).expect("readable");
    assert_eq!((items.len(), last), (enrolled.len(), enrolled.len() as u64), "each of them once, and no one else");
    assert!(items.iter().all(|item| matches!(&item.news, News::Enrolled { palms, .. } if palms.len() == 2)));
}
