//! A disk that is full, fails, refuses to synchronize or tears a write, at any call of the store and the key table: a
//! refused call says why, what was acknowledged is there after the next start, and nobody is half of anything.
//!
//! The faults lie below the store, between the vault's process and the system (`disk.c`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use volar_core::clock::Clock;
use volar_core::id::EnrollmentId;
use volar_core::shard::Shard;
use volar_service::system::SystemClock;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::vault::{Call, Vault};

use crate::backing_up;
use crate::kill::example;
use crate::world::{World, checkout, kiosk, matcher, members, operator};

/// How many people come in one run.
const PEOPLE: &str = "6";
/// Runs of each fault, spread evenly over the calls of one run.
const MOMENTS: u64 = 16;

#[test]
fn a_full_disk_loses_nothing() {
    over_a_run("full", u64::MAX);
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_nothing() {
    over_a_run("full", 9);
}

#[test]
fn a_disk_that_fails_loses_nothing() {
    over_a_run("io", u64::MAX);
}

#[test]
fn one_failed_write_loses_nothing() {
    over_a_run("io", 1);
}

/// After a failed synchronization the next may succeed though what was to be written is not.
#[test]
fn one_failed_synchronization_loses_nothing() {
    over_a_run("sync", 1);
}

#[test]
fn a_torn_write_loses_nothing() {
    over_a_run("torn", 1);
}

/// The file that follows the key table lies on a disk of its own.
#[test]
fn a_copy_of_the_keys_that_cannot_be_written_stops_what_would_not_reach_it() {
    let calls = calls_of_a_run("copy-of-keys");
    for (how, length) in [("full", u64::MAX), ("io", u64::MAX), ("io", 1), ("sync", 1)] {
        over(calls, "copy-of-keys", how, length);
    }
}

fn over_a_run(how: &str, length: u64) {
    static CALLS: OnceLock<u64> = OnceLock::new();
    over(*CALLS.get_or_init(|| calls_of_a_run("")), "", how, length);
}

/// Faults from some of the `calls` on that a run makes of files whose names begin with `under`, in the world's folder.
fn over(calls: u64, under: &str, how: &str, length: u64) {
    let (mut refused, mut reads) = (0, 0);
    for moment in 0..MOMENTS {
        let from = 1 + calls * moment / MOMENTS;
        let world = World::new();
        let child = visits(&world, under, Some((how, from, length)));
        let said = String::from_utf8(child.stdout).expect("text");
        let errors = String::from_utf8_lossy(&child.stderr);
        assert!(!errors.contains("panicked at") || errors.contains("/sled-"), "{how} from {from}: {errors}");
        refused += said.lines().filter(|line| line.starts_with("refused")).count();
        reads += said.lines().filter(|line| *line == "reads").count();
        clear(&said, how, from);
        sound(&world, &said, &format!("{how} from {from}: {said}{errors}"));
    }
    assert!(how == "torn" || refused > 0, "no fault reached anybody");
    println!("{how}: {calls} calls, {MOMENTS} runs, {refused} calls refused, {reads} answered reads after it");
}

/// What the vault says is about its disk, and tells what to look at.
fn clear(said: &str, how: &str, from: u64) {
    for line in said.lines().filter_map(|line| line.strip_prefix("refused ")) {
        let words = ["No space left", "Input/output error", "failed to synchronize", "is damaged"];
        assert!(words.iter().any(|word| line.contains(word)), "{how} from {from}: {line}");
    }
}

/// Everything that was acknowledged is there, what was not is there wholly or not at all, and calls can be repeated.
fn sound(world: &World, said: &str, context: &str) {
    world.clock.set(SystemClock.now());
    let vault = world.open();
    let lines = |word: &'static str| {
        said.lines().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' ')).collect::<Vec<_>>()
    };
    let enrollment =
        |words: &str| -> EnrollmentId { words.rsplit(' ').next().and_then(|id| id.parse().ok()).expect("an id") };
    let gone: Vec<_> = lines("erased").into_iter().map(enrollment).collect();
    let leaving: Vec<_> = lines("erase").into_iter().map(enrollment).collect();
    for enrolled in lines("enrolled").into_iter().map(enrollment) {
        let standing = vault.standing(&kiosk(), enrolled).unwrap_or_else(|error| panic!("{context}: lost: {error}"));
        let erased = standing.state.is_none();
        assert!(erased || !gone.contains(&enrolled), "{context}: came back");
        assert!(!erased || leaving.contains(&enrolled), "{context}: lost");
    }
    for member in lines("member").into_iter().map(enrollment).filter(|member| !leaving.contains(member)) {
        let standing = vault.standing(&kiosk(), member).expect("known");
        assert!(standing.payment_bound, "{context}: a payment is lost");
    }
    for ticket in lines("claimed") {
        let again = vault.claim(&checkout(), &world.call(0), &hex::decode(ticket).expect("hexadecimal"));
        let refused = matches!(again, Err(VaultError::TicketAlreadyClaimed | VaultError::SubjectErased));
        assert!(refused, "{context}: claimed twice");
    }
    whole(world, &vault, context);
    repeated(world, &vault, said, context);
    whole(world, &vault, context);
    drop(vault);
    drop(backing_up::open(world));
    let copy = std::fs::read(world.path("copy-of-keys")).expect("readable");
    assert!(copy == std::fs::read(world.path("keys")).expect("readable"), "{context}: the copy does not follow");
}

/// Who was refused asks again with the same id: one enrollment comes of it, whether it was stored before or not.
fn repeated(world: &World, vault: &Vault, said: &str, context: &str) {
    let answered: BTreeMap<&str, &str> =
        said.lines().filter_map(|line| line.strip_prefix("enrolled ")?.split_once(' ')).collect();
    for id in said.lines().filter_map(|line| line.strip_prefix("enroll ")) {
        let call = Call { id: id.parse().expect("an id"), body_sha256: [0; 32] };
        let enroll = || vault.enroll(&kiosk(), &call, &world.request(true));
        let first = enroll().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(enroll().expect("a repeat is answered"), first);
        let before = answered.get(id).map(|before| before.parse().expect("an id"));
        assert!(before.is_none_or(|before: EnrollmentId| before == first), "{context}: enrolled twice");
    }
}

/// The feed is gapless, and there are as many keys and probes as people.
fn whole(world: &World, vault: &Vault, context: &str) {
    let head = vault.status(&operator()).expect("readable")[0].head;
    let (items, _) =
        vault.events(&matcher(), &members(), Shard::WHOLE, 1, usize::MAX).expect("every event is readable");
    assert_eq!(items.len() as u64, head.last_sequence, "{context}");
    for (item, sequence) in items.iter().zip(1..) {
        assert_eq!(item.sequence, sequence, "{context}");
        if let News::Enrolled { palms, .. } = &item.news {
            assert_eq!(palms.len(), 2, "{context}: half enrolled");
        }
    }
    let keys = std::fs::read(world.path("keys")).expect("readable");
    let used = keys[4096..].chunks(128).filter(|slot| slot.iter().any(|&byte| byte != 0)).count();
    assert_eq!(used as u64, head.pending + head.active, "{context}: keys without a person");
    let blobs = std::fs::read_dir(world.path("store/blobs")).expect("readable").count();
    assert_eq!(blobs as u64, head.pending, "{context}: probes without a person");
}

/// Calls that a run without faults makes of the disk, of files whose names begin with `under`.
fn calls_of_a_run(under: &str) -> u64 {
    let world = World::new();
    let child = visits(&world, under, None);
    let said = String::from_utf8(child.stdout).expect("text");
    assert!(child.status.success() && !said.contains("refused"), "{said}{}", String::from_utf8_lossy(&child.stderr));
    sound(&world, &said, "without a fault");
    let count = std::fs::read_to_string(world.path("count")).expect("counted");
    let count: u64 = count.trim().parse().expect("a number");
    assert!(count >= MOMENTS, "only {count} calls of the disk: the faults do not lie below the vault");
    count
}

fn visits(world: &World, under: &str, fault: Option<(&str, u64, u64)>) -> Output {
    let folder = world.folder.path();
    // Whoever waits for a disk that failed is told so: no run goes on for ever.
    let mut command = Command::new("timeout");
    let faulty = format!("LD_PRELOAD={}", library().display());
    command.args(["120", "env", &faulty]).arg(example("visits")).arg(folder).arg(PEOPLE);
    command.env("DISK_UNDER", folder.join(under)).env("DISK_COUNT", folder.join("count"));
    if let Some((how, from, length)) = fault {
        let length = length.min(1_000_000_000);
        command.env("DISK_HOW", how).env("DISK_FROM", from.to_string()).env("DISK_LENGTH", length.to_string());
    }
    let output = command.output().expect("coreutils are there");
    assert_ne!(
        output.status.code(),
        Some(124),
        "{fault:?}: waits for ever: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

/// The faulty disk, compiled once a run of the tests.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/disk.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .expect("a C compiler is installed, as Rust's linker needs one");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        library
    })
}
