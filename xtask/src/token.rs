//! A PKCS#11 token in software, SoftHSM, for demonstrations and tests: it keeps a vault's keys where a hardware token
//! would.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Where Debian's package and SoftHSM's own installation put the module.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// Label of the token.
pub const LABEL: &str = "volar-demo";

/// A token in a folder.
#[derive(Clone, Debug)]
pub struct Token {
    folder: PathBuf,
    module: PathBuf,
}

impl Token {
    /// Makes the token in `folder`, with a random PIN; one that is there already is kept, because a store's keys are in
    /// it.
    pub fn prepare(folder: &Path) -> anyhow::Result<Self> {
        let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
        let module = module.context("SoftHSM is not installed: install Debian's package softhsm2, or build it")?;
        let token = Self { folder: folder.to_owned(), module };
        if token.pin().exists() {
            return Ok(token);
        }
        let tokens = folder.join("tokens");
        fs::create_dir_all(&tokens).with_context(|| format!("cannot make {}", tokens.display()))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(token.settings(), text).with_context(|| format!("cannot write {}", token.settings().display()))?;
        let (pin, officer) = (random_digits()?, random_digits()?);
        // The PIN stands in an argument for the moment of making a token for a demonstration; the vault's never does.
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--pin", &pin, "--so-pin", &officer])
            .env("SOFTHSM2_CONF", token.settings())
            .output()
            .context("cannot run softhsm2-util")?;
        if !made.status.success() {
            bail!("softhsm2-util cannot make a token: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        // Last, so that half a token is made anew.
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(token.pin())?;
        std::io::Write::write_all(&mut file, pin.as_bytes())?;
        Ok(token)
    }

    /// What a process that uses the token has in its environment.
    pub fn environment(&self) -> (&'static str, OsString) {
        ("SOFTHSM2_CONF", self.settings().into())
    }

    /// `[keys.hsm]` of a vault's configuration, as TOML.
    pub fn configuration(&self) -> String {
        let quoted = crate::configuration::quoted;
        let (module, pin) = (quoted(&self.module), quoted(&self.pin()));
        format!("[keys.hsm]\nmodule = {module}\ntoken = \"{LABEL}\"\npin_file = {pin}\n")
    }

    /// Folder of the token's own files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn settings(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    fn pin(&self) -> PathBuf {
        self.folder.join("pin")
    }
}

/// Twelve digits.
fn random_digits() -> anyhow::Result<String> {
    let mut bytes = [0; 12];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(b'0' + byte % 10)).collect())
}
