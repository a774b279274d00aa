//! Who was erased, kept with the backups: a restore erases them again, whatever copy of the keys it is given. One line
//! each, `<tenant> <subject> <checksum>`: ids that name nobody any more. Vaults that share a store write it in turns.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ring::digest;
use volar_core::id::{SubjectId, TenantId};

use super::BackupError;
use crate::turns::Turns;

/// Erased people.
pub(crate) type Erased = BTreeSet<(TenantId, SubjectId)>;

/// The journal of a vault that writes backups.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// Not written yet: the folder was away.
    behind: Mutex<Erased>,
}

impl Journal {
    /// Opens the one at `path` and adds whoever of `erased` it lacks. A line that is cut off, or altered, goes: whom it
    /// named is among `erased`.
    pub(crate) fn open(path: PathBuf, erased: &Erased) -> Result<Self, BackupError> {
        let io = |error| BackupError::Io { path: path.clone(), error };
        let turns = Turns::of(&path).map_err(io)?;
        let _turn = turns.take().map_err(io)?;
        let (known, whole) = match read(&path) {
            Ok(known) => (known, true),
            Err((known, _)) => (known, false),
        };
        let journal = Self { path, behind: Mutex::default() };
        if !whole {
            let lines: String = known.union(erased).map(line).collect();
            super::folder::replace(&journal.path, lines.as_bytes())?;
        } else if erased.difference(&known).next().is_some() {
            let lacking: Erased = erased.difference(&known).cloned().collect();
            journal.append(&lacking).map_err(|error| journal.io(error))?;
        }
        Ok(journal)
    }

    /// Notes an erasure. If it cannot be written now, [`Journal::catch_up`] will.
    pub(crate) fn note(&self, tenant: &TenantId, subject: SubjectId) {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).insert((tenant.clone(), subject));
        if let Err(error) = self.catch_up() {
            tracing::error!(%error, "an erasure could not be noted with the backups; it is tried again");
        }
    }

    /// Writes what could not be written before.
    pub(crate) fn catch_up(&self) -> Result<(), BackupError> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if !behind.is_empty() {
            let written = Turns::of(&self.path).and_then(|turns| {
                let _turn = turns.take()?;
                self.append(&behind)
            });
            written.map_err(|error| self.io(error))?;
            behind.clear();
        }
        Ok(())
    }

    fn append(&self, erased: &Erased) -> std::io::Result<()> {
        let lines: String = erased.iter().map(line).collect();
        let mut file = File::options().read(true).append(true).create(true).open(&self.path)?;
        // A line that was cut off, by a vault that was killed, must not take this one along.
        let whole = file.seek(SeekFrom::End(0))? == 0 || {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            last == *b"\n"
        };
        let lines = if whole { lines } else { format!("\n{lines}") };
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        crate::keys::sync_folder_of(&self.path)
    }

    fn io(&self, error: std::io::Error) -> BackupError {
        BackupError::Io { path: self.path.clone(), error }
    }
}

/// Everybody in the journal at `path`, nobody if there is none; or whoever can be read of it, and why not all.
pub(crate) fn read(path: &Path) -> Result<Erased, (Erased, BackupError)> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Erased::new()),
        Err(error) => return Err((Erased::new(), BackupError::Io { path: path.to_owned(), error })),
        Ok(text) => text,
    };
    let (mut erased, mut bad) = (Erased::new(), None);
    for (number, text) in text.split_inclusive('\n').enumerate() {
        match parse(text) {
            Some(entry) => drop(erased.insert(entry)),
            None => bad = Some(number + 1),
        }
    }
    match bad {
        None => Ok(erased),
        Some(number) => {
            let reason = format!("line {number} is altered or cut off");
            Err((erased, BackupError::Damaged { path: path.to_owned(), reason }))
        }
    }
}

fn line((tenant, subject): &(TenantId, SubjectId)) -> String {
    let text = format!("{tenant} {}", hex::encode(subject.as_bytes()));
    format!("{text} {}\n", sum(&text))
}

fn parse(line: &str) -> Option<(TenantId, SubjectId)> {
    let (text, found) = line.strip_suffix('\n')?.rsplit_once(' ')?;
    let (tenant, subject) = text.split_once(' ')?;
    let subject = hex::decode(subject).ok()?.try_into().ok()?;
    (sum(text) == found).then_some((tenant.parse().ok()?, SubjectId::from_bytes(subject)))
}

fn sum(text: &str) -> String {
    hex::encode(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8) -> (TenantId, SubjectId) {
        ("acme".parse().expect("a slug"), SubjectId::from_bytes([number; 16]))
    }

    #[test]
    fn entries_are_kept_and_damage_is_noticed_and_mended_from_the_store() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("erasures");
        let journal = Journal::open(path.clone(), &[entry(1)].into()).expect("writable");
        journal.note(&entry(2).0, entry(2).1);
        let both: Erased = [entry(1), entry(2)].into();
        assert_eq!(read(&path).expect("whole"), both);
        let whole = std::fs::read(&path).expect("readable");
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(&path, &altered).expect("writable");
            assert!(read(&path).is_err(), "byte {at}");
        }
        for length in 1..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("writable");
            assert!(length == whole.len() / 2 || read(&path).is_err(), "{length} bytes");
            Journal::open(path.clone(), &both).expect("writable");
            assert_eq!(read(&path).expect("mended"), both);
        }
    }

    #[test]
    fn several_write_it_and_a_line_cut_off_takes_no_other_along() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("erasures");
        let journals = [1, 2, 3].map(|_| Journal::open(path.clone(), &Erased::new()).expect("writable"));
        std::thread::scope(|scope| {
            for (number, journal) in journals.iter().enumerate() {
                scope.spawn(move || {
                    for subject in 0..20 {
                        let (tenant, subject) = entry(subject * 3 + number as u8);
                        journal.note(&tenant, subject);
                    }
                });
            }
        });
        assert_eq!(read(&path).expect("whole").len(), 60);
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes.truncate(bytes.len() - 5);
        std::fs::write(&path, bytes).expect("writable");
        journals[0].note(&entry(60).0, entry(60).1);
        let (left, error) = read(&path).expect_err("a line is cut off");
        assert!(left.len() == 60 && left.contains(&entry(60)), "{} left, {error}", left.len());
    }

    #[test]
    fn what_cannot_be_written_now_is_written_later() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let away = folder.path().join("away");
        let journal = Journal { path: away.join("erasures"), behind: Mutex::default() };
        journal.note(&entry(1).0, entry(1).1);
        assert!(journal.catch_up().is_err());
        std::fs::create_dir(&away).expect("writable");
        journal.catch_up().expect("written");
        assert_eq!(read(&journal.path).expect("whole"), [entry(1)].into());
    }
}
