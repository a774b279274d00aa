//! A second copy of a file of slots, on another disk, that follows it: what is overwritten in one is overwritten in the
//! other before anybody is told. A backup of keys can be nothing else: a copy that does not follow would bring back
//! whoever was erased since.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::file::sync_folder_of;
use super::sharing::{is_held, lock_together};
use super::table::Company;

/// Bytes compared at once.
const BLOCK: usize = 1 << 20;

/// The file that follows.
#[derive(Debug)]
pub(super) struct Mirror {
    file: File,
    path: PathBuf,
}

/// Why a file cannot follow.
#[derive(Debug)]
pub(super) enum MirrorError {
    /// The system refuses.
    Io(PathBuf, std::io::Error),
    /// It has followed another one.
    Other(PathBuf),
    /// Others have the original open, and copy it to some other file.
    Apart(PathBuf),
}

impl Mirror {
    /// Makes the file at `path` the same as `original`, whose first `header` bytes never change, in place: what it had
    /// more is overwritten. Of an original that is shared there is one copy; whoever attaches it writes neither meanwhile.
    pub(super) fn attach(path: &Path, original: &File, header: usize, company: Company) -> Result<Self, MirrorError> {
        let io = |error| MirrorError::Io(path.to_owned(), error);
        let made = company != Company::Others;
        let options = File::options().read(true).write(true).create(made).truncate(false).mode(0o600).clone();
        let file = match options.open(path) {
            Err(error) if !made && error.kind() == std::io::ErrorKind::NotFound => {
                return Err(MirrorError::Apart(path.to_owned()));
            }
            opened => opened.map_err(io)?,
        };
        if company == Company::Others && !is_held(&file).map_err(io)? {
            return Err(MirrorError::Apart(path.to_owned()));
        }
        let mirror = Self { file, path: path.to_owned() };
        let length = original.metadata().map_err(io)?.len();
        let old = mirror.file.metadata().map_err(io)?.len();
        if old >= header as u64 {
            let ours = read(original, 0, header).map_err(io)?;
            let found = read(&mirror.file, 0, header).map_err(io)?;
            // Zeros are of a copy that was cut off in its making; another store's header has ids in their place.
            if !found.iter().zip(&ours).all(|(found, ours)| found == ours || *found == 0) {
                return Err(MirrorError::Other(path.to_owned()));
            }
        }
        mirror.make_equal(original, length, old).map_err(io)?;
        if company != Company::None {
            lock_together(&mirror.file).map_err(io)?;
        }
        Ok(mirror)
    }

    fn make_equal(&self, original: &File, length: u64, old: u64) -> std::io::Result<()> {
        self.file.set_len(length.max(old))?;
        let mut at = 0;
        while at < length.max(old) {
            let block = BLOCK.min((length.max(old) - at) as usize);
            // Beyond the original's end, zeros.
            let mut wanted = read(original, at, block.min(length.saturating_sub(at) as usize))?;
            wanted.resize(block, 0);
            if read(&self.file, at, block)? != wanted {
                self.file.write_all_at(&wanted, at)?;
            }
            at += block as u64;
        }
        self.file.sync_all()?;
        self.file.set_len(length)?;
        self.file.sync_all()?;
        sync_folder_of(&self.path)
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    pub(super) fn grow(&self, length: u64) -> std::io::Result<()> {
        self.file.set_len(length)
    }

    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn read(file: &File, at: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_had_more_is_overwritten_and_another_stores_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (original, copy) = (folder.path().join("keys"), folder.path().join("copy"));
        let bytes = |byte: u8, length: usize| [b"head".as_slice(), &vec![byte; length]].concat();
        for (had, has) in
            [(None, bytes(1, 900)), (Some(bytes(2, 900)), bytes(1, 500)), (Some(bytes(2, 100)), bytes(3, 2_000_000))]
        {
            let _ = std::fs::remove_file(&copy);
            if let Some(had) = had {
                std::fs::write(&copy, had).expect("writable");
            }
            std::fs::write(&original, &has).expect("writable");
            let file = File::options().read(true).write(true).open(&original).expect("there");
            let mirror = Mirror::attach(&copy, &file, 4, Company::None).expect("attached");
            assert!(std::fs::read(&copy).expect("readable") == has);
            mirror.write(&[9], 7).and_then(|()| mirror.sync()).expect("writable");
            assert_eq!(std::fs::read(&copy).expect("readable")[7], 9);
        }
        // Cut off in its making, by a full disk say.
        std::fs::write(&copy, b"he\0\0\0\0\0\0").expect("writable");
        let file = File::open(&original).expect("there");
        Mirror::attach(&copy, &file, 4, Company::None).expect("made to the end");
        std::fs::write(&copy, b"tailtail").expect("writable");
        let file = File::open(&original).expect("there");
        assert!(matches!(Mirror::attach(&copy, &file, 4, Company::None), Err(MirrorError::Other(_))));
        assert_eq!(std::fs::read(&copy).expect("readable"), b"tailtail");
    }
}
