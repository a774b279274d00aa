//! Files that are not what they were: the vault says which and does not serve half of what it acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use volar_tests::client::enroll;
use volar_tests::palms::Person;
use volar_tests::system::System;

const PEOPLE: u64 = 12;
/// `EX_UNAVAILABLE`: something that the process needs is not available.
const EXIT_UNAVAILABLE: i32 = 69;

/// A vault with people in it, stopped.
async fn stopped() -> System {
    let mut system = System::vault();
    let clients = system.clients();
    let palms = clients.palms().await;
    for seed in 1..=PEOPLE {
        clients.enrollment().enroll(enroll(&palms, &Person::new(seed), false)).await.expect("a good enrolment");
    }
    system.deployment.vault_process().expect("it runs").stop();
    system
}

/// Starts the vault, which must refuse; what it says.
fn refusal(system: &mut System) -> String {
    let error = system.deployment.start_vault().expect_err("the vault must not start");
    let text = format!("{error:#}");
    assert!(text.contains(&format!("exit status: {EXIT_UNAVAILABLE}")), "{text}");
    text
}

async fn serves_everyone(system: &mut System) {
    system.deployment.start_vault().expect("the vault starts again");
    assert_eq!(system.clients().subjects().await.len(), usize::try_from(PEOPLE).expect("small"));
}

#[tokio::test]
async fn another_key_file_is_named_and_the_right_one_opens_everything() {
    let mut system = stopped().await;
    let key = system.folder().join("keys/vault.key");
    let kept = fs::read(&key).expect("the key file");
    let other = System::prepared(Vec::new());
    fs::copy(other.folder().join("keys/vault.key"), &key).expect("writable");
    let said = refusal(&mut system);
    assert!(said.contains("wrong key file"), "{said}");
    fs::write(&key, "not a key").expect("writable");
    let said = refusal(&mut system);
    assert!(said.contains("vault.key"), "{said}");
    // Moved, not removed: a key file that others could read would be refused for that.
    let aside = key.with_extension("aside");
    fs::rename(&key, &aside).expect("movable");
    // Without any it is sealed, says so, and opens when the key file is back.
    system.deployment.start_vault().expect("the vault starts sealed");
    let operator = system.deployment.operator();
    let sealed = operator.run(&["vault", "status"]).expect("answered");
    assert!(sealed["sealed"] == true && sealed["reason"].to_string().contains("vault.key"), "{sealed}");
    assert_eq!(operator.try_run(&["subject", "list"]).expect("answered").reason(), "SEALED");
    fs::rename(&aside, &key).expect("movable");
    fs::write(&key, kept).expect("writable");
    assert_eq!(operator.run(&["vault", "unseal"]).expect("opened")["sealed"], false);
    system.deployment.vault_process().expect("running").stop();
    serves_everyone(&mut system).await;
}

/// The store's files as they were.
struct Kept(Vec<(PathBuf, Vec<u8>)>);

impl Kept {
    fn of(system: &System) -> Self {
        let mut files = Vec::new();
        collect(&system.folder().join("store"), &mut files);
        // The longest last: sled's log.
        files.sort_by_key(|(_, content)| content.len());
        Self(files)
    }

    /// The longest file and how much of it is written: data does not reach to the end of sled's segments.
    fn log(&self) -> (&Path, &[u8], usize) {
        let (path, content) = self.0.last().expect("the store has files");
        let used = content.iter().rposition(|&byte| byte != 0).expect("the log holds something") + 1;
        (path, content, used)
    }

    /// Puts every file back: what a start wrote must not outlive the try.
    fn restore(&self, system: &System) {
        fs::remove_dir_all(system.folder().join("store")).expect("removable");
        for (path, content) in &self.0 {
            fs::create_dir_all(path.parent().expect("files lie in folders")).expect("writable");
            fs::write(path, content).expect("writable");
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let content = fs::read(&path).expect("readable");
            files.push((path, content));
        }
    }
}

/// Whatever is done to the store's file, the vault either says so and does not start, or serves everyone.
async fn never_serves_less(system: &mut System, what: &str) {
    match system.deployment.start_vault() {
        Ok(()) => {
            let clients = system.clients();
            let found = clients.subjects().await.len();
            assert_eq!(found, usize::try_from(PEOPLE).expect("small"), "{what}: started with people missing");
            system.deployment.vault_process().expect("it runs").stop();
        }
        Err(error) => {
            let text = format!("{error:#}");
            assert!(text.contains(&format!("exit status: {EXIT_UNAVAILABLE}")), "{what}: {text}");
        }
    }
}

#[tokio::test]
async fn a_cut_store_file_is_noticed() {
    let mut system = stopped().await;
    let kept = Kept::of(&system);
    let (path, whole, used) = kept.log();
    for share in [0.25, 0.5, 0.9] {
        let at = (used as f64 * share) as usize;
        fs::write(path, &whole[..at]).expect("writable");
        never_serves_less(&mut system, &format!("cut at {at} of {used}")).await;
        kept.restore(&system);
    }
    serves_everyone(&mut system).await;
}

#[tokio::test]
async fn flipped_bits_in_the_store_are_noticed() {
    let mut system = stopped().await;
    let kept = Kept::of(&system);
    let (path, whole, used) = kept.log();
    for step in 0..12 {
        let at = used * (2 * step + 1) / 24;
        let mut flipped = whole.to_vec();
        flipped[at] ^= 0x10;
        fs::write(path, &flipped).expect("writable");
        never_serves_less(&mut system, &format!("a bit flipped at {at} of {used}")).await;
        kept.restore(&system);
    }
    serves_everyone(&mut system).await;
}

#[tokio::test]
async fn a_damaged_key_table_is_named() {
    let mut system = stopped().await;
    let path = system.folder().join("keys/subjects.table");
    let whole = fs::read(&path).expect("the key table");
    let at = whole.iter().rposition(|&byte| byte != 0).expect("the table holds keys");
    let mut flipped = whole.clone();
    flipped[at] ^= 1;
    fs::write(&path, &flipped).expect("writable");
    let said = refusal(&mut system);
    assert!(said.contains("subjects.table"), "{said}");
    fs::write(&path, &whole).expect("writable");
    serves_everyone(&mut system).await;
}

#[test]
fn a_second_vault_on_the_same_store_is_refused() {
    let mut system = System::vault();
    let mut second = System::prepared(vec![("vault", String::new())]);
    // The same folder, another process.
    for inner in ["store", "keys"] {
        let _ = fs::remove_dir_all(second.folder().join(inner));
        std::os::unix::fs::symlink(system.folder().join(inner), second.folder().join(inner)).expect("a link");
    }
    let error = second.deployment.start_vault().expect_err("the store is in use");
    assert!(format!("{error:#}").contains("exit status: 69"), "{error:#}");
    assert!(system.deployment.vault_process().expect("it runs").is_running());
}
