//! Writes keys and certificates: whole or not at all, and keys for their owner alone.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::CertificateError;

/// Makes a folder, and the folders above it.
pub(super) fn make_folder(folder: &Path) -> Result<(), CertificateError> {
    fs::create_dir_all(folder).map_err(|error| CertificateError::Unwritable { path: folder.to_owned(), error })
}

/// Writes a certificate and its key side by side. Neither is there if it fails; none that was there is touched
/// unless `replace`.
pub(super) fn write_pair(
    certificate: (&Path, &str),
    key: (&Path, &str),
    replace: bool,
) -> Result<(), CertificateError> {
    if !replace {
        for path in [certificate.0, key.0] {
            if path.exists() {
                return Err(CertificateError::Exists { path: path.to_owned() });
            }
        }
    }
    let fresh_key = write_fresh(key.0, key.1, 0o600)?;
    let fresh_certificate = write_fresh(certificate.0, certificate.1, 0o644).inspect_err(|_| {
        let _ = fs::remove_file(&fresh_key);
    })?;
    put(&fresh_key, key.0)?;
    put(&fresh_certificate, certificate.0)
}

/// Reads a text file.
pub(super) fn read(path: &Path) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(|error| CertificateError::Unreadable { path: path.to_owned(), error })
}

fn write_fresh(path: &Path, text: &str, mode: u32) -> Result<PathBuf, CertificateError> {
    let mut name = path.file_name().expect("a file in a folder has a name").to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let unwritable = |error| CertificateError::Unwritable { path: fresh.clone(), error };
    // Made with its mode: at no moment can another user open a key.
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CertificateError::Exists { path: fresh.clone() },
        _ => unwritable(error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)?;
    Ok(fresh)
}

fn put(fresh: &Path, path: &Path) -> Result<(), CertificateError> {
    fs::rename(fresh, path).map_err(|error| CertificateError::Unwritable { path: path.to_owned(), error })
}
