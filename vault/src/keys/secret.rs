//! What opens a key holder: a passphrase or a PIN, typed at a terminal or read from a file that only its owner can open.
//! Never an argument and never an environment variable: those are visible to other processes and end up in histories.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest passphrase or PIN, in bytes.
const LENGTH_MAX: u64 = 1024;

/// A passphrase or a PIN. Zeroed on drop; prints as nothing.
pub struct Secret(Zeroizing<String>);

/// Why there is no passphrase or PIN.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not there or not readable.
    #[error("cannot read the passphrase or PIN in {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("{} has mode {mode:04o}, so others than its owner can read the passphrase or PIN in it; run `chmod 600 {}` and consider whether it is still secret", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Permission bits found.
        mode: u32,
    },
    /// Empty, too long, or not one line of text.
    #[error("a passphrase or PIN must be one line of 1 to {LENGTH_MAX} bytes of UTF-8 text")]
    Malformed,
    /// Two prompts got two answers.
    #[error("the two passphrases differ; nothing was made: try again")]
    Differ,
    /// There is nobody to ask.
    #[error("cannot ask for a passphrase or PIN here ({error}); run this at a terminal, or name a file of mode 0600")]
    NoTerminal {
        /// What the system says.
        error: std::io::Error,
    },
}

impl Secret {
    /// Takes text; an end of line is not part of it.
    pub fn new(text: Zeroizing<String>) -> Result<Self, SecretError> {
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.len() as u64 > LENGTH_MAX || line.contains(['\n', '\0']) {
            return Err(SecretError::Malformed);
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    /// Reads a file of mode 0600 or less, or an open descriptor (`/dev/fd/N`, `/dev/stdin`).
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let kind = metadata.file_type();
        // A pipe or a terminal is whoever's that opened it; its mode says nothing.
        let passing = kind.is_fifo() || kind.is_socket() || kind.is_char_device();
        let mode = metadata.mode() & 0o777;
        if !passing && mode & 0o077 != 0 {
            return Err(SecretError::Mode { path: path.to_owned(), mode });
        }
        // Never grown, so that no copy is left behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH_MAX as usize + 3));
        file.take(LENGTH_MAX + 2).read_to_end(&mut bytes).map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::Malformed)?;
        Self::new(Zeroizing::new(text.to_owned()))
    }

    /// Asks at the terminal, without showing what is typed.
    pub fn prompt(question: &str) -> Result<Self, SecretError> {
        let answer = rpassword::prompt_password(question).map_err(|error| SecretError::NoTerminal { error })?;
        Self::new(Zeroizing::new(answer))
    }

    /// Asks twice, for one that is to be set.
    pub fn prompt_twice(question: &str) -> Result<Self, SecretError> {
        let first = Self::prompt(question)?;
        let second = Self::prompt("the same again: ")?;
        // Both were typed here a moment ago by one person: how long the comparison takes tells nobody anything.
        if *first.0 == *second.0 { Ok(first) } else { Err(SecretError::Differ) }
    }

    /// The text, for a key derivation or a token's login and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_file_is_one_line_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pin");
        let put = |text: &str, mode| {
            std::fs::write(&path, text).expect("writable");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("own file");
        };
        for text in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            put(text, 0o600);
            let read = Secret::read(&path).expect("readable");
            assert_eq!(read.expose(), "correct horse");
            assert_eq!(format!("{read:?}"), "Secret(secret)");
        }
        put("correct horse", 0o640);
        assert!(matches!(Secret::read(&path), Err(SecretError::Mode { mode: 0o640, .. })));
        for text in ["", "\n", "two\nlines", "nul\0", &"x".repeat(1_026)] {
            put(text, 0o600);
            assert!(matches!(Secret::read(&path), Err(SecretError::Malformed)), "{text:?}");
        }
        std::fs::remove_file(&path).expect("there");
        assert!(matches!(Secret::read(&path), Err(SecretError::Unreadable { .. })));
    }
}
