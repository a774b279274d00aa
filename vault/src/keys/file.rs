//! The default key holder: a small text file that only the vault's user may read, its key plain or under a passphrase.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use volar_core::id::TenantId;
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

use super::passphrase::Protected;
use super::secret::Secret;
use super::{HolderError, KeyHolder, KeyId, KeyName};
use crate::format;

const PLAIN: &str = "volar-vault-key-1";
const PROTECTED: &str = "volar-vault-key-2";
/// The file is about 400 bytes; longer is another file.
const LENGTH_MAX: u64 = 4096;
const MODE: u32 = 0o600;
const NONCE: usize = 12;

/// A key read from a file.
#[derive(Debug)]
pub struct KeyFile {
    key: Key,
    id: KeyId,
    protected: bool,
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
    /// Under a passphrase, and none was given.
    #[error("the key file {} is under a passphrase; set keys.passphrase_file, start the vault at a terminal, or run `volarctl vault unseal`", path.display())]
    PassphraseNeeded {
        /// The file.
        path: PathBuf,
    },
    /// Not the passphrase that it was made with.
    #[error("the passphrase does not open the key file {}: it is another one, or the file was altered", path.display())]
    PassphraseWrong {
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
        Self::make(path, None, randomness)
    }

    /// The same, under a passphrase.
    pub fn create_protected(
        path: &Path,
        passphrase: &Secret,
        randomness: &dyn Randomness,
    ) -> Result<Self, KeyFileError> {
        Self::make(path, Some(passphrase), randomness)
    }

    fn make(path: &Path, passphrase: Option<&Secret>, randomness: &dyn Randomness) -> Result<Self, KeyFileError> {
        let bytes = Zeroizing::new(randomness.bytes::<{ Key::LENGTH }>());
        let key = Key::new(*bytes);
        let id = KeyId::of(&key);
        let text = Zeroizing::new(match passphrase {
            None => format!(
                "{PLAIN}\n# Opens everything that this vault has sealed. Keep a copy apart from the store's backups.\n\
                 id: {id}\nkey: {}\n",
                *Zeroizing::new(hex::encode(key.expose()))
            ),
            Some(passphrase) => {
                let protected = Protected::wrap(&key, id.as_bytes(), passphrase, randomness);
                format!(
                    "{PROTECTED}\n# With its passphrase, opens everything that this vault has sealed. Keep a copy of \
                     both apart from the store's backups.\n\
                     id: {id}\nargon2id: {}\nsalt: {}\nkey: {}\n",
                    protected.costs(),
                    protected.salt(),
                    protected.wrapped()
                )
            }
        });
        let unwritable = |error| KeyFileError::Unwritable { path: path.to_owned(), error };
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(KeyFileError::Exists { path: path.to_owned() });
            }
            opened => opened.map_err(unwritable)?,
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)?;
        sync_folder_of(path).map_err(unwritable)?;
        Ok(Self { key, id, protected: passphrase.is_some() })
    }

    /// Reads the key in `path`, which must be under no passphrase.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        Self::open_with(path, None)
    }

    /// Reads the key in `path`, with the passphrase if it is under one.
    pub fn open_with(path: &Path, passphrase: Option<&Secret>) -> Result<Self, KeyFileError> {
        match read(path)? {
            (Content::Plain(key), id) => Ok(Self { key, id, protected: false }),
            (Content::Protected(protected), id) => {
                let needed = || KeyFileError::PassphraseNeeded { path: path.to_owned() };
                let key = protected.unwrap(id.as_bytes(), passphrase.ok_or_else(needed)?);
                // The id is one-way, so it tells a right passphrase apart from none of the wrong ones before the work.
                let key = key.filter(|key| KeyId::of(key) == id);
                let key = key.ok_or_else(|| KeyFileError::PassphraseWrong { path: path.to_owned() })?;
                Ok(Self { key, id, protected: true })
            }
        }
    }

    /// Whether the file in `path` is sound and needs a passphrase.
    pub fn is_protected(path: &Path) -> Result<bool, KeyFileError> {
        Ok(matches!(read(path)?.0, Content::Protected(_)))
    }
}

enum Content {
    Plain(Key),
    Protected(Protected),
}

fn read(path: &Path) -> Result<(Content, KeyId), KeyFileError> {
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

fn parse(bytes: &[u8]) -> Result<(Content, KeyId), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let format = lines.next();
    let mut word = |name: &str, missing| lines.next().and_then(|line| line.strip_prefix(name)).ok_or(missing);
    let mut id = || -> Result<KeyId, &'static str> {
        let mut id = [0; KeyId::LENGTH];
        let digits = word("id: ", "its line \"id: \" is missing")?;
        hex::decode_to_slice(digits, &mut id).map_err(|_| "its id is not 16 hexadecimal digits")?;
        Ok(KeyId::from_bytes(id))
    };
    match format {
        Some(PLAIN) => {
            let id = id()?;
            let digits = word("key: ", "its line \"key: \" is missing")?;
            let mut key = Zeroizing::new([0; Key::LENGTH]);
            hex::decode_to_slice(digits, &mut *key).map_err(|_| "its key is not 64 hexadecimal digits")?;
            let key = Key::new(*key);
            if KeyId::of(&key) != id {
                return Err("its key and its id do not belong together: a digit was changed");
            }
            Ok((Content::Plain(key), id))
        }
        Some(PROTECTED) => {
            let id = id()?;
            let costs = word("argon2id: ", "its line \"argon2id: \" is missing")?;
            let salt = word("salt: ", "its line \"salt: \" is missing")?;
            let wrapped = word("key: ", "its line \"key: \" is missing")?;
            Ok((Content::Protected(Protected::parse(costs, salt, wrapped)?), id))
        }
        _ => Err("its first line is neither \"volar-vault-key-1\" nor \"volar-vault-key-2\""),
    }
}

impl KeyHolder for KeyFile {
    fn id(&self) -> KeyId {
        self.id
    }

    fn place(&self) -> String {
        if self.protected { "key file under a passphrase" } else { "key file" }.to_owned()
    }

    fn make(&self, _: KeyName<'_>) -> Result<(), HolderError> {
        Ok(())
    }

    fn wrap(
        &self,
        name: KeyName<'_>,
        bound: &[u8],
        plain: &[u8],
        randomness: &dyn Randomness,
    ) -> Result<Vec<u8>, HolderError> {
        let nonce: [u8; NONCE] = randomness.bytes();
        Ok([nonce.as_slice(), &format::encrypt(&self.wrapping(name), nonce, bound, plain)].concat())
    }

    fn unwrap(&self, name: KeyName<'_>, bound: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, HolderError> {
        let opened = wrapped.split_at_checked(NONCE).and_then(|(nonce, text)| {
            format::decrypt(&self.wrapping(name), nonce.try_into().expect("split at twelve bytes"), bound, text)
        });
        opened.ok_or_else(|| HolderError::forged(name))
    }

    fn destroy(&self, _: KeyName<'_>) -> Result<(), HolderError> {
        Ok(())
    }

    fn early(&self, tenant: &TenantId) -> Option<Key> {
        Some(self.key.derive("volar.v1 tenant", &[tenant.as_str().as_bytes()]))
    }
}

impl KeyFile {
    fn wrapping(&self, name: KeyName<'_>) -> Key {
        let version = name.version.to_be_bytes();
        self.key.derive("volar.v1 tenant key wrapping", &[name.tenant.as_str().as_bytes(), &version])
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
        let tenant = "acme".parse().expect("a slug");
        let name = KeyName { tenant: &tenant, version: 3 };
        let wrapped = made.wrap(name, b"place", b"plain", &SeededRandomness::new(3)).expect("wrapped");
        assert_eq!(**read.unwrap(name, b"place", &wrapped).expect("the same key"), *b"plain");
        let other = KeyName { version: 2, ..name };
        for (name, bound) in [(other, b"place".as_slice()), (name, b"elsewhere")] {
            assert!(matches!(read.unwrap(name, bound, &wrapped), Err(HolderError::Forged { .. })));
        }
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

    #[test]
    fn a_passphrase_opens_its_key_file_and_no_other_does() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("vault.key");
        let secret = |text: &str| Secret::new(Zeroizing::new(text.to_owned())).expect("a line");
        let made = KeyFile::create_protected(&path, &secret("correct horse"), &SeededRandomness::new(1));
        let made = made.expect("writable");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(!text.contains(&hex::encode(made.key.expose())), "the key stands plain in the file");
        assert!(text.contains("argon2id: m=65536,t=3,p=4"), "{text}");
        assert!(KeyFile::is_protected(&path).expect("sound"));
        let read = KeyFile::open_with(&path, Some(&secret("correct horse"))).expect("opens");
        assert_eq!((read.key.expose(), read.id), (made.key.expose(), made.id));
        assert!(matches!(KeyFile::open(&path), Err(KeyFileError::PassphraseNeeded { .. })));
        let wrong = KeyFile::open_with(&path, Some(&secret("correct horses")));
        assert!(matches!(wrong, Err(KeyFileError::PassphraseWrong { .. })));
        for (from, to) in [("m=65536", "m=64"), ("m=65536", "m=4294967295"), ("t=3", "t=0"), ("p=4", "x=4")] {
            std::fs::write(&path, text.replace(from, to)).expect("writable");
            let error = KeyFile::open_with(&path, Some(&secret("correct horse"))).expect_err(to);
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{to}: {error}");
        }
        // Costs are bound to the key: cheaper ones than it was made with do not open it.
        std::fs::write(&path, text.replace("t=3", "t=2")).expect("writable");
        let altered = KeyFile::open_with(&path, Some(&secret("correct horse")));
        assert!(matches!(altered, Err(KeyFileError::PassphraseWrong { .. })));
    }
}
