//! The default key holder: a small text file that only the vault's user may read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

use super::{KeyHolder, KeyId};

const FORMAT: &str = "volar-vault-key-1";
/// The file is about 300 bytes; longer is another file.
const LENGTH_MAX: u64 = 4096;
const MODE: u32 = 0o600;
const VERSION: u32 = 1;

/// A key read from a file.
#[derive(Debug)]
pub struct KeyFile {
    key: Key,
    id: KeyId,
}

/// Why a key file cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not there or not readable.
    #[error("cannot read the key file {}: {error}; `volar-vault init --config FILE` makes one for a new vault", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("the key file {} has mode {mode:04o}, so others than its owner can open it; run `chmod 600 {}` and consider whether the key is still secret", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Permission bits found.
        mode: u32,
    },
    /// Not a key file of a known format.
    #[error("{} is not a vault key file: {reason}; restore it from its backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A key file lies there already.
    #[error("{} exists already; it is never overwritten, because everything sealed under a lost key is lost", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Cannot be written.
    #[error("cannot write the key file {}: {error}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl KeyFile {
    /// Makes a new key and writes it to `path` with mode 0600, durably. Never overwrites.
    pub fn create(path: &Path, randomness: &dyn Randomness) -> Result<Self, KeyFileError> {
        let bytes = Zeroizing::new(randomness.bytes::<{ Key::LENGTH }>());
        let key = Key::new(*bytes);
        let id = KeyId::of(&key);
        let text = Zeroizing::new(format!(
            "{FORMAT}\n# Opens everything that this vault has sealed. Keep a copy apart from the store's backups.\n\
             id: {id}\nkey: {}\n",
            *Zeroizing::new(hex::encode(key.expose()))
        ));
        let unwritable = |error| KeyFileError::Unwritable { path: path.to_owned(), error };
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(KeyFileError::Exists { path: path.to_owned() });
            }
            opened => opened.map_err(unwritable)?,
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)?;
        sync_folder_of(path).map_err(unwritable)?;
        Ok(Self { key, id })
    }

    /// Reads the key in `path`.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let unreadable = |error| KeyFileError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Mode { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH_MAX as usize));
        file.take(LENGTH_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
        parse(&bytes).map_err(|reason| KeyFileError::Malformed { path: path.to_owned(), reason })
    }
}

fn parse(bytes: &[u8]) -> Result<KeyFile, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    if lines.next() != Some(FORMAT) {
        return Err("its first line is not \"volar-vault-key-1\"");
    }
    let id = lines.next().and_then(|line| line.strip_prefix("id: ")).ok_or("its line \"id: \" is missing")?;
    let digits = lines.next().and_then(|line| line.strip_prefix("key: ")).ok_or("its line \"key: \" is missing")?;
    let mut key = Zeroizing::new([0; Key::LENGTH]);
    hex::decode_to_slice(digits, &mut *key).map_err(|_| "its key is not 64 hexadecimal digits")?;
    let key = Key::new(*key);
    let found = KeyId::of(&key);
    if found.to_string() != id {
        return Err("its key and its id do not belong together: a digit was changed");
    }
    Ok(KeyFile { key, id: found })
}

impl KeyHolder for KeyFile {
    fn id(&self) -> KeyId {
        self.id
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn derive(&self, purpose: &str, context: &[&[u8]]) -> Key {
        self.key.derive(purpose, context)
    }
}

/// A new file's name is durable once its folder is.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use volar_core::randomness::SeededRandomness;

    #[test]
    fn a_key_file_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("vault.key");
        let made = KeyFile::create(&path, &SeededRandomness::new(1)).expect("writable");
        let read = KeyFile::open(&path).expect("readable");
        assert_eq!(made.id(), read.id());
        assert_eq!(made.derive("x", &[]).expose(), read.derive("x", &[]).expose());
        let again = KeyFile::create(&path, &SeededRandomness::new(2));
        assert!(matches!(again, Err(KeyFileError::Exists { .. })));
        assert_eq!(KeyFile::open(&path).expect("unchanged").id(), made.id());
    }

    #[test]
    fn a_key_file_that_others_can_open_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("vault.key");
        KeyFile::create(&path, &SeededRandomness::new(1)).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("own file");
        let error = KeyFile::open(&path).expect_err("must be refused");
        assert!(matches!(error, KeyFileError::Mode { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn damaged_key_files_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("vault.key");
        KeyFile::create(&path, &SeededRandomness::new(1)).expect("writable");
        let good = std::fs::read_to_string(&path).expect("readable");
        let digit = good.rfind("key: ").expect("has a key") + 8;
        let other = if good.as_bytes()[digit] == b'0' { "1" } else { "0" };
        let mut flipped = good.clone();
        flipped.replace_range(digit..=digit, other);
        let cut = &good[..good.len() - 10];
        for (name, bad) in [("flipped", flipped.as_str()), ("cut", cut), ("empty", ""), ("other", "hello\n")] {
            std::fs::write(&path, bad).expect("writable");
            let error = KeyFile::open(&path).expect_err(name);
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{name}: {error}");
        }
        std::fs::remove_file(&path).expect("there");
        assert!(matches!(KeyFile::open(&path), Err(KeyFileError::Unreadable { .. })));
    }
}
