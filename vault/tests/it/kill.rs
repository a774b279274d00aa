//! `kill -9` in mid-work, again and again on one store: nothing acknowledged is lost, nobody is half enrolled.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use volar_core::id::EnrollmentId;
use volar_core::randomness::Randomness;
use volar_core::shard::Shard;
use volar_service::system::SystemRandomness;
use volar_vault::feed::News;
use volar_vault::format::v1::State;

use crate::world::{World, WorldOver, kiosk, matcher, members, operator};

const KILLS: usize = 10;
/// Kills that one store goes through: everything in it is looked at after each.
const KILLS_OF_A_STORE: usize = 50;

#[test]
fn no_acknowledged_enrollment_is_lost_and_nobody_is_half_enrolled() {
    in_turns(kills(KILLS), no_acknowledged_enrollment_is_lost_in);
}

/// How many times to kill: `cargo xtask soak kills` asks for more than the tests do.
pub(crate) fn kills(otherwise: usize) -> usize {
    // A test is an edge.
    #[allow(clippy::disallowed_methods)]
    let asked = std::env::var("VOLAR_KILLS");
    asked.map_or(otherwise, |text| text.parse().expect("VOLAR_KILLS is a number"))
}

/// Spreads kills over as many stores as they take, and says how it goes.
pub(crate) fn in_turns(kills: usize, turn: impl Fn(usize)) {
    let (mut left, started) = (kills, std::time::Instant::now());
    while left > 0 {
        let now = left.min(KILLS_OF_A_STORE);
        turn(now);
        left -= now;
        let seconds = started.elapsed().as_secs_f64();
        println!("{} of {kills} kills, {:.2} s each", kills - left, seconds / (kills - left) as f64);
    }
}

fn no_acknowledged_enrollment_is_lost_in(kills: usize) {
    let world = World::new();
    let mut acknowledged: BTreeSet<EnrollmentId> = BTreeSet::new();
    for kill in 0..kills {
        acknowledged.extend(enroll_until_killed(&world));
        let vault = world.open();
        for enrollment in &acknowledged {
            let standing = vault.standing(&kiosk(), *enrollment).expect("acknowledged, so known");
            assert_eq!(standing.state, Some(State::Pending));
        }
        let head = vault.status(&operator()).expect("readable")[0].head;
        assert!(head.pending >= acknowledged.len() as u64);
        assert_eq!(head.pending, head.last_sequence);
        let items =
            vault.events(&matcher(), &members(), Shard::WHOLE, 1, usize::MAX).expect("every event is readable").0;
        for (item, sequence) in items.iter().zip(1..) {
            assert_eq!(item.sequence, sequence);
            match &item.news {
                News::Enrolled { palms, probes: Some(probes), .. } => {
                    assert_eq!((palms.len(), probes.probes.len()), (2, 2))
                }
                other => panic!("half enrolled after kill {kill}: {other:?}"),
            }
        }
        assert_eq!(items.len() as u64, head.pending);
        let keys = std::fs::read(world.path("keys")).expect("readable");
        let used = keys[4096..].chunks(128).filter(|slot| slot.iter().any(|&byte| byte != 0)).count();
        assert_eq!(used as u64, head.pending, "keys without a person");
        let blobs = std::fs::read_dir(world.path("store/blobs")).expect("readable").count();
        assert_eq!(blobs as u64, head.pending, "probes without a person");
    }
    assert!(acknowledged.len() > kills, "the load enrolled nobody");
}

fn enroll_until_killed(world: &World) -> Vec<EnrollmentId> {
    acknowledged_until_killed(world, &["4", "60", "3"])
}

/// Runs the load in the world's folder, kills it at a random moment, and returns what it had acknowledged.
pub(crate) fn acknowledged_until_killed<E>(world: &WorldOver<E>, arguments: &[&str]) -> Vec<EnrollmentId> {
    let lines = lines_until_killed(world, "load", arguments);
    lines.iter().filter_map(|line| line.parse().ok()).collect()
}

/// Runs an example in the world's folder, kills it at a random moment, and returns the lines that it had printed.
pub(crate) fn lines_until_killed<E>(world: &WorldOver<E>, name: &str, arguments: &[&str]) -> Vec<String> {
    let mut child = Command::new(example(name))
        .arg(world.folder.path())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("cargo builds the example before the tests");
    let mut lines = child.stdout.take().expect("piped");
    // Once the first is acknowledged, the kill falls into the work.
    let mut first = [0; 1];
    lines.read_exact(&mut first).expect("an acknowledgement");
    let randomness: &dyn Randomness = &SystemRandomness;
    let [random]: [u8; 1] = randomness.bytes();
    let rest = std::thread::spawn(move || {
        let mut text = String::from(char::from(first[0]));
        // The pipe ends when the child does.
        lines.read_to_string(&mut text).expect("text");
        text
    });
    std::thread::sleep(Duration::from_millis(u64::from(random)));
    child.kill().expect("running");
    child.wait().expect("killed");
    let text = rest.join().expect("no panic");
    text.lines().map(str::to_owned).collect()
}

/// The vault's example `name`, which cargo builds beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    test.ancestors().nth(2).expect("target/release/deps/it").join("examples").join(name)
}
