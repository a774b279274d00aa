//! Enrols made-up persons from many threads at once and prints each acknowledged enrollment on a line of its own, and
//! the rate at the end. The store is compacted over and over meanwhile. The crash test kills it in mid-work.
//!
//! `cargo run --release -p volar-vault --example load -- FOLDER WRITERS SECONDS CODES [URL [shared]]`: CODES is
//! how many orientation codes each of the two probes has, 245 from a kiosk; URL is a PostgreSQL database to use instead of
//! sled, `shared` with other vaults.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use volar_core::clock::Clock;
use volar_core::id::IdempotencyId;
use volar_service::identity::Peer;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_vault::config::{Config, DEFAULTS, Engine};
use volar_vault::enrollment::Enroll;
use volar_vault::server;
use volar_vault::store::PostgresConfig;
use volar_vault::vault::{Call, Vault};

#[path = "../tests/it/people.rs"]
mod people;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, writers, seconds, codes, database @ ..] = arguments.as_slice() else {
        return Err("usage: load FOLDER WRITERS SECONDS CODES [URL [shared]]".into());
    };
    let (writers, seconds, codes): (u64, u64, usize) = (writers.parse()?, seconds.parse()?, codes.parse()?);
    let mut config: Config = toml::from_str(DEFAULTS)?;
    let folder = Path::new(folder);
    config.keys.file = Some(folder.join("vault.key"));
    config.store.folder = folder.join("store");
    config.store.key_table = folder.join("keys");
    if let Some(url) = database.first() {
        config.store.engine = Engine::Postgres;
        let shared = database.get(1).is_some_and(|word| word == "shared");
        config.store.postgres = Some(PostgresConfig { shared, ..PostgresConfig::at(url) });
    }
    server::init(&config, false)?;
    let vault = server::open(&config, config.settings()?)?;
    let peer: Peer = "spiffe://volar/acme/north/kiosk/kiosk-1".parse()?;
    let (total, started) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while started.elapsed() < Duration::from_secs(seconds) {
                vault.compact().expect("a sound vault compacts");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for _ in 0..writers {
            scope.spawn(|| {
                let request = people::enrollment(&SystemRandomness, SystemClock.now(), 3, codes);
                while started.elapsed() < Duration::from_secs(seconds) {
                    enroll(&vault, &peer, &request);
                    total.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (total, elapsed) = (total.load(Ordering::Relaxed), started.elapsed().as_secs_f64());
    let megabytes = vault.store_bytes() as f64 / 1e6;
    writeln!(
        std::io::stderr(),
        "{writers} writers: {total} acknowledged in {elapsed:.1} s, {:.0}/s; rows take {megabytes:.1} MB",
        total as f64 / elapsed
    )?;
    Ok(())
}

fn enroll(vault: &Vault, peer: &Peer, request: &Enroll) {
    let call = Call { id: IdempotencyId::random(&SystemRandomness), body_sha256: [0; 32] };
    let enrollment = vault.enroll(peer, &call, request).expect("a sound vault enrols");
    // One write a line: a killed process leaves whole lines.
    std::io::stdout().write_all(format!("{enrollment}\n").as_bytes()).expect("somebody listens");
}
