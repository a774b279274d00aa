//! Configuration from a TOML file. Parsed here, once; everything past this point is typed.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Reads a configuration and resolves its relative paths against the folder it lies in.
///
/// Errors say the file, the line and what is wrong with it.
pub fn load<T: DeserializeOwned + Resolve>(path: &Path) -> Result<T, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mut config: T = toml::from_str(&text)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), reason: error.to_string() })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    config.resolve(folder);
    Ok(config)
}

/// Configurations that hold paths.
pub trait Resolve {
    /// Makes every relative path relative to `folder`.
    fn resolve(&mut self, folder: &Path);
}

/// Makes one path relative to `folder` unless it is absolute.
pub fn resolve(path: &mut PathBuf, folder: &Path) {
    *path = folder.join(&*path);
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not there or not readable.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not TOML, or not what this process takes.
    #[error("{} is not a valid configuration:\n{reason}\n`--print-default-config` prints every setting with its default", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line and fault.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        file: PathBuf,
    }

    impl Resolve for Sample {
        fn resolve(&mut self, folder: &Path) {
            resolve(&mut self.file, folder);
        }
    }

    #[test]
    fn paths_lie_beside_the_file_and_faults_name_the_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.toml");
        std::fs::write(&path, "file = \"key\"\n").expect("writable");
        let sample: Sample = load(&path).expect("valid");
        assert_eq!(sample.file, folder.path().join("key"));
        std::fs::write(&path, "file = \"key\"\nfiel = 1\n").expect("writable");
        let error = load::<Sample>(&path).expect_err("an unknown field").to_string();
        assert!(error.contains("line 2") && error.contains("fiel"), "{error}");
    }
}
