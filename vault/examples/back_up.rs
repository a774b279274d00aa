//! Enrols made-up persons and makes one backup after another, printing a line for each of both. The crash test kills it
//! in mid-work.
//!
//! `cargo run --release -p volar-vault --example back_up -- FOLDER`

use std::io::Write;
use std::path::Path;

use volar_core::clock::Clock;
use volar_core::id::IdempotencyId;
use volar_service::identity::Peer;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_vault::backup::BackupConfig;
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::server;
use volar_vault::vault::Call;

#[path = "../tests/it/people.rs"]
mod people;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: back_up FOLDER")?;
    let folder = Path::new(&folder);
    let mut config: Config = toml::from_str(DEFAULTS)?;
    config.keys.file = Some(folder.join("vault.key"));
    config.store.folder = folder.join("store");
    config.store.key_table = folder.join("keys");
    config.backup = Some(BackupConfig {
        folder: folder.join("backups"),
        keys: folder.join("copy-of-keys"),
        every_hours: 0,
        keep: 14,
    });
    server::init(&config, false)?;
    let vault = server::open(&config, config.settings()?)?;
    let peer: Peer = "spiffe://volar/acme/north/kiosk/kiosk-1".parse()?;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let call = Call { id: IdempotencyId::random(&SystemRandomness), body_sha256: [0; 32] };
                    let enrollment = vault
                        .enroll(&peer, &call, &people::enrollment(&SystemRandomness, SystemClock.now(), 3, 3))
                        .expect("a sound vault enrols");
                    say(&format!("enrolled {enrollment}\n"));
                }
            });
        }
        loop {
            let made = vault.back_up().expect("a sound vault is backed up");
            say(&format!("backup {}\n", made.id));
        }
    })
}

/// One write a line: a killed process leaves whole lines.
fn say(line: &str) {
    std::io::stdout().write_all(line.as_bytes()).expect("somebody listens");
}
