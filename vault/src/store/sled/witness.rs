//! Remembers, outside the engine, how many transactions were acknowledged. An engine that meets a damaged end of its
//! log may take it for a write cut short by a crash and drop it; the witness tells the difference.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ring::digest;

/// Two places, written in turn, so that a torn write leaves the other. Apart by a sector.
const PLACES: [u64; 2] = [0, 512];
const LENGTH: usize = 16;

/// The open file, and which place is written next.
#[derive(Debug)]
pub(super) struct Witness(File, AtomicUsize);

impl Witness {
    /// Opens or makes the witness at `path`; returns the count that it holds, 0 if it is new.
    ///
    /// `None` when neither place is whole though something was written.
    pub(super) fn open(path: &Path) -> std::io::Result<Option<(Self, u64)>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if file.metadata()?.len() < LENGTH as u64 {
            // New, or its very first count was torn: nothing was acknowledged yet.
            return Ok(Some((Self(file, AtomicUsize::new(0)), 0)));
        }
        let counts = PLACES.iter().enumerate().filter_map(|(number, &place)| {
            let mut bytes = [0; LENGTH];
            file.read_exact_at(&mut bytes, place).ok()?;
            let count = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
            (bytes == encoded(count)).then_some((count, number))
        });
        // The greatest count stays until the other place holds a greater one.
        Ok(counts.max().map(|(count, number)| (Self(file, AtomicUsize::new(1 - number)), count)))
    }

    /// Notes that `count` transactions are durable. One caller at a time. Not synchronized: a power cut may leave a smaller count, which
    /// raises no false alarm.
    pub(super) fn note(&self, count: u64) -> std::io::Result<()> {
        // In turn, whatever the counts: group commit skips some, and those of one parity would share a place.
        let place = self.1.load(Ordering::SeqCst);
        self.0.write_all_at(&encoded(count), PLACES[place])?;
        self.1.store(1 - place, Ordering::SeqCst);
        Ok(())
    }
}

fn encoded(count: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&count.to_le_bytes());
    let hash = digest::digest(&digest::SHA256, &bytes[..8]);
    bytes[8..].copy_from_slice(&hash.as_ref()[..8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_survives_a_torn_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("witness");
        let (witness, count) = Witness::open(&path).expect("writable").expect("new");
        assert_eq!(count, 0);
        witness.0.write_all_at(&encoded(6)[..8], PLACES[0]).expect("writable");
        let (witness, count) = Witness::open(&path).expect("readable").expect("its first count was torn");
        assert_eq!(count, 0);
        witness.note(4).expect("writable");
        let (witness, _) = Witness::open(&path).expect("readable").expect("whole");
        witness.note(6).expect("writable");
        witness.0.write_all_at(&[0xFF; 9], PLACES[1]).expect("writable");
        let (witness, count) = Witness::open(&path).expect("readable").expect("half");
        assert_eq!(count, 4, "two counts of one parity shared a place");
        witness.note(6).expect("writable");
        witness.note(7).expect("writable");
        assert_eq!(Witness::open(&path).expect("readable").expect("whole").1, 7);
        witness.0.write_all_at(&[0xFF; 9], PLACES[0]).expect("writable");
        assert_eq!(Witness::open(&path).expect("readable").expect("half").1, 6);
        witness.0.write_all_at(&[0xFF; 9], PLACES[1]).expect("writable");
        assert!(Witness::open(&path).expect("readable").is_none());
    }
}
