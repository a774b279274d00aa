//! Erases one person and kills itself, with SIGKILL, at one moment of that: the crash test of erasures runs it for each.
//!
//! `erase FOLDER SUBJECT ID MOMENT`: erases by an operator's call with idempotency id ID. `erase FOLDER resume MOMENT`:
//! only opens the vault, which goes on with what was begun. A moment is the beginning or the end of one of the store's
//! writes, counted from 1: between any two of them lies one step, the destruction of the key among them. Prints the
//! receipt when it is acknowledged, or `open`; past the last moment nothing kills it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use volar_core::id::{IdempotencyId, SubjectId};
use volar_service::identity::Peer;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::erasure::Erase;
use volar_vault::keys::KeyFile;
use volar_vault::store::{Body, Row, Rows, SledStore, Store, StoreError, Table};
use volar_vault::vault::{Call, Parts, Vault};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let said = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [folder, "resume", moment] => {
            let moments = Moments::default();
            moments.die_at(moment.parse()?);
            open(Path::new(folder), &moments)?;
            "open".to_owned()
        }
        [folder, subject, id, moment] => {
            let moments = Moments::default();
            let vault = Arc::new(open(Path::new(folder), &moments)?);
            moments.die_at(moment.parse()?);
            let id = IdempotencyId::from_bytes(hex::decode(id)?.as_slice().try_into()?);
            let subject = SubjectId::from_bytes(hex::decode(subject)?.as_slice().try_into()?);
            let operator: Peer = "spiffe://volar/acme/north/operator/ops-1".parse()?;
            let call = Call { id, body_sha256: [0; 32] };
            hex::encode(vault.erase(&operator, call, Erase::Subject(subject)).await?.id)
        }
        _ => return Err("usage: erase FOLDER SUBJECT ID MOMENT | erase FOLDER resume MOMENT".into()),
    };
    Ok(writeln!(std::io::stdout(), "{said}")?)
}

fn open(folder: &Path, moments: &Moments) -> Result<Vault, Failure> {
    let config: Config = toml::from_str(DEFAULTS)?;
    let parts = Parts {
        store: Box::new(Deadly(opened(&folder.join("store"))?, moments.clone())),
        key_table: &folder.join("keys"),
        holder: Arc::new(KeyFile::open(&folder.join("vault.key"))?),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    };
    Ok(Vault::open(parts, config.settings()?)?)
}

/// The store, once whoever started this process has surely let go of it: a process that is being started elsewhere holds
/// its parent's files for a moment.
fn opened(folder: &Path) -> Result<SledStore, StoreError> {
    let mut tries = 100;
    loop {
        match SledStore::open(folder, 64 << 20, true) {
            Err(StoreError::InUse { .. }) if tries > 0 => std::thread::sleep(Duration::from_millis(20)),
            opened => return opened,
        }
        tries -= 1;
    }
}

/// Counts moments down to the deadly one; at 0 none is.
#[derive(Clone, Default)]
struct Moments(Arc<AtomicU64>);

impl Moments {
    fn die_at(&self, moment: u64) {
        self.0.store(moment, Ordering::SeqCst);
    }

    fn pass(&self) {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
            // The signal takes effect in any of the process's threads, which may be a moment later in this one.
            std::thread::park();
        }
    }

    fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        self.pass();
        let outcome = write();
        self.pass();
        outcome
    }
}

/// A store that kills its process.
struct Deadly(SledStore, Moments);

impl Rows for Deadly {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read(table, key)
    }
}

impl Store for Deadly {
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.0.scan(table, prefix, from, limit)
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<(), StoreError> {
        self.1.around(|| self.0.transact(body))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.1.around(|| self.0.barrier())
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.1.around(|| self.0.settle())
    }

    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.1.around(|| self.0.put_blob(name, bytes))
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.blob(name)
    }

    fn remove_blob(&self, name: &str) -> Result<(), StoreError> {
        self.1.around(|| self.0.remove_blob(name))
    }

    fn blobs(&self) -> Result<Vec<String>, StoreError> {
        self.0.blobs()
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
}
