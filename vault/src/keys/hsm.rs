//! A PKCS#11 token as key holder. Each tenant and version has an AES-256 key that was made in the token, is not
//! extractable, and wraps that tenant's keys with AES-GCM inside the token: one operation when the vault opens and one
//! when a version is made, because a module does about a thousand a second and a vault holds a million subject keys.
//!
//! A refused PIN is never tried again: tokens lock after a few. A session that the token has closed is opened again once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use serde::Deserialize;
use volar_core::id::TenantId;
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

use super::secret::Secret;
use super::{HolderError, KeyHolder, KeyId, KeyName};

const NONCE: usize = 12;
const TAG_BITS: u64 = 128;

/// `[keys.hsm]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HsmConfig {
    /// The PKCS#11 module, a shared library from the token's maker.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// File of the user's PIN, mode 0600. Without one the vault starts sealed.
    pub pin_file: Option<PathBuf>,
    /// What the vault's keys are called in the token: one vault's, where several share a token.
    #[serde(default = "default_label")]
    pub label: String,
}

fn default_label() -> String {
    "volar-vault".to_owned()
}

/// Why the token does not serve.
#[derive(Debug, thiserror::Error)]
pub enum HsmError {
    /// The library is not there or not one.
    #[error("cannot load the PKCS#11 module {}: {error}; set keys.hsm.module to the library that came with the token", path.display())]
    Module {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        error: String,
    },
    /// No token of that label.
    #[error(
        "the PKCS#11 module shows no token labelled \"{token}\" (it shows: {found}); plug it in, or set keys.hsm.token"
    )]
    TokenAbsent {
        /// Label wanted.
        token: String,
        /// Labels found.
        found: String,
    },
    /// The PIN is wrong or may not be used.
    #[error(
        "the token refuses the PIN ({reason}); it is not tried again, because tokens lock after a few wrong ones: put the right one into keys.hsm.pin_file and restart, or run `volarctl vault unseal`"
    )]
    PinRefused {
        /// The module's word.
        reason: String,
    },
    /// There is no PIN to log in with.
    #[error(
        "the token needs a PIN; set keys.hsm.pin_file, start the vault at a terminal, or run `volarctl vault unseal`"
    )]
    PinNeeded,
    /// The token holds no keys of this vault.
    #[error(
        "the token holds no key \"{label}\"; run `volar-vault init --config FILE` for a new vault, or plug in the token that its keys are in"
    )]
    KeyMissing {
        /// The key's label.
        label: String,
    },
    /// The token holds the key more than once.
    #[error(
        "the token holds {count} keys \"{label}\"; remove the copies that are not this vault's, or give it a keys.hsm.label of its own"
    )]
    KeyTwice {
        /// The key's label.
        label: String,
        /// How many.
        count: usize,
    },
    /// A key that could leave the token.
    #[error(
        "the key \"{label}\" could leave the token (it is extractable or not sensitive); it is not used: make the vault's keys with `volar-vault init`"
    )]
    Extractable {
        /// The key's label.
        label: String,
    },
    /// The module fails otherwise.
    #[error("the token fails at {action}: {error}")]
    Failed {
        /// What was asked of it.
        action: &'static str,
        /// The module's word.
        error: String,
    },
}

/// A token that the vault is logged in to.
pub struct Hsm {
    module: Pkcs11,
    slot: Slot,
    config: HsmConfig,
    id: KeyId,
    pin: AuthPin,
    state: Mutex<State>,
}

struct State {
    session: Option<Session>,
    /// Why the PIN was refused, once it was: it is not offered again.
    refused: Option<String>,
}

impl Hsm {
    /// Makes the keys of a new vault in the token: the one that names the vault, and a first one for each of `tenants`.
    /// Keys that are there already stay. Returns whether the vault's was made.
    pub fn create(
        config: &HsmConfig,
        pin: &Secret,
        tenants: &[TenantId],
        randomness: &dyn Randomness,
    ) -> Result<bool, HsmError> {
        let (module, slot) = find_token(config)?;
        let pin = AuthPin::new(pin.expose().to_owned());
        let session = log_in(&module, slot, &pin)?;
        let made = match find(&session, &config.label)? {
            Some(_) => false,
            None => {
                let id: [u8; KeyId::LENGTH] = randomness.bytes();
                generate(&session, &config.label, KeyId::from_bytes(id))?;
                true
            }
        };
        drop(session);
        let hsm = Self::over(config, module, slot, pin)?;
        for tenant in tenants {
            hsm.make_key(KeyName { tenant, version: 1 })?;
        }
        Ok(made)
    }

    /// Logs in to the token that holds this vault's keys. The PIN is tried once.
    pub fn open(config: &HsmConfig, pin: &Secret) -> Result<Self, HsmError> {
        let (module, slot) = find_token(config)?;
        Self::over(config, module, slot, AuthPin::new(pin.expose().to_owned()))
    }

    fn over(config: &HsmConfig, module: Pkcs11, slot: Slot, pin: AuthPin) -> Result<Self, HsmError> {
        let session = log_in(&module, slot, &pin)?;
        let missing = || HsmError::KeyMissing { label: config.label.clone() };
        let key = find(&session, &config.label)?.ok_or_else(missing)?;
        let attributes = session.get_attributes(key, &[AttributeType::Id]).map_err(failed("reading a key's id"))?;
        let id = match attributes.as_slice() {
            [Attribute::Id(id)] => id.as_slice().try_into().map(KeyId::from_bytes).map_err(|_| missing())?,
            _ => return Err(missing()),
        };
        Ok(Self {
            module,
            slot,
            config: config.clone(),
            id,
            pin,
            state: Mutex::new(State { session: Some(session), refused: None }),
        })
    }

    fn make_key(&self, name: KeyName<'_>) -> Result<(), HsmError> {
        let label = self.label(name);
        self.with_session(|session| match find(session, &label)? {
            Some(_) => Ok(()),
            None => generate(session, &label, self.id),
        })
    }

    fn key(&self, session: &Session, name: KeyName<'_>) -> Result<ObjectHandle, HsmError> {
        let label = self.label(name);
        find(session, &label)?.ok_or(HsmError::KeyMissing { label })
    }

    fn label(&self, name: KeyName<'_>) -> String {
        format!("{}/{}/{}", self.config.label, name.tenant, name.version)
    }

    /// Runs `act`; if the token has closed the session since, logs in again and runs it once more.
    fn with_session<T>(&self, act: impl Fn(&Session) -> Result<T, HsmError>) -> Result<T, HsmError> {
        let mut state = self.lock();
        if let Some(session) = state.session.as_ref().filter(|session| is_logged_in(session)) {
            match act(session) {
                Err(HsmError::Failed { action, error }) if !is_logged_in(session) => {
                    tracing::warn!(action, error, "the token has closed the session; logging in again");
                }
                acted => return acted,
            }
        }
        state.session = None;
        if let Some(reason) = state.refused.clone() {
            return Err(HsmError::PinRefused { reason });
        }
        let session = match log_in(&self.module, self.slot, &self.pin) {
            Err(HsmError::PinRefused { reason }) => {
                state.refused = Some(reason.clone());
                return Err(HsmError::PinRefused { reason });
            }
            session => session?,
        };
        let acted = act(&session);
        state.session = Some(session);
        acted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hsm {
    fn drop(&mut self) {
        if let Some(session) = self.lock().session.take() {
            // Sealing means that nobody is logged in; a token that is gone has nobody logged in.
            let _ = session.logout();
        }
    }
}

impl KeyHolder for Hsm {
    fn id(&self) -> KeyId {
        self.id
    }

    fn place(&self) -> String {
        format!("PKCS#11 token \"{}\", keys not extractable", self.config.token)
    }

    fn make(&self, name: KeyName<'_>) -> Result<(), HolderError> {
        Ok(self.make_key(name)?)
    }

    fn wrap(
        &self,
        name: KeyName<'_>,
        bound: &[u8],
        plain: &[u8],
        randomness: &dyn Randomness,
    ) -> Result<Vec<u8>, HolderError> {
        Ok(self.with_session(|session| {
            let key = self.key(session, name)?;
            let mut nonce: [u8; NONCE] = randomness.bytes();
            let text = session.encrypt(&Mechanism::AesGcm(gcm(&mut nonce, bound)?), key, plain);
            let text = text.map_err(failed("wrapping a tenant's keys"))?;
            // Some modules take no nonce and put their own in its place: what stands there now is the one used.
            Ok([nonce.as_slice(), &text].concat())
        })?)
    }

    fn unwrap(&self, name: KeyName<'_>, bound: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, HolderError> {
        let opened = self.with_session(|session| {
            let key = self.key(session, name)?;
            let Some((nonce, text)) = wrapped.split_first_chunk::<NONCE>() else { return Ok(None) };
            let mut nonce = *nonce;
            let mechanism = Mechanism::AesGcm(gcm(&mut nonce, bound)?);
            match session.decrypt(&mechanism, key, text) {
                Ok(plain) => Ok(Some(Zeroizing::new(plain))),
                // What a token answers to a tag that does not fit differs from maker to maker; whether it still serves
                // tells an altered text from a token that fails.
                Err(_) if is_logged_in(session) => Ok(None),
                Err(error) => Err(failed("unwrapping a tenant's keys")(error)),
            }
        })?;
        opened.ok_or_else(|| HolderError::forged(name))
    }

    fn destroy(&self, name: KeyName<'_>) -> Result<(), HolderError> {
        let label = self.label(name);
        Ok(self.with_session(|session| match find(session, &label)? {
            Some(key) => session.destroy_object(key).map_err(failed("destroying a key")),
            None => Ok(()),
        })?)
    }

    fn early(&self, _: &TenantId) -> Option<Key> {
        None
    }
}

/// The module of `config`, and the slot of its token.
fn find_token(config: &HsmConfig) -> Result<(Pkcs11, Slot), HsmError> {
    let module = load(&config.module)?;
    let slots = module.get_slots_with_initialized_token().map_err(failed("listing tokens"))?;
    let mut found = Vec::new();
    for slot in slots {
        let token = module.get_token_info(slot).map_err(failed("reading a token's label"))?;
        if token.label() == config.token {
            return Ok((module, slot));
        }
        found.push(format!("\"{}\"", token.label()));
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(HsmError::TokenAbsent { token: config.token.clone(), found })
}

/// A module is started once in a process and stays: ending it would end everybody's sessions.
fn load(path: &Path) -> Result<Pkcs11, HsmError> {
    static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let fails = |error: Error| HsmError::Module { path: path.to_owned(), error: error.to_string() };
    let module = Pkcs11::new(path).map_err(fails)?;
    module.initialize(CInitializeArgs::OsThreads).map_err(fails)?;
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn log_in(module: &Pkcs11, slot: Slot, pin: &AuthPin) -> Result<Session, HsmError> {
    let session = module.open_rw_session(slot).map_err(failed("opening a session"))?;
    match session.login(UserType::User, Some(pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(Error::Pkcs11(
            reason @ (RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::UserPinNotInitialized),
            _,
        )) => Err(HsmError::PinRefused { reason: format!("{reason:?}") }),
        Err(error) => Err(failed("logging in")(error)),
    }
}

/// Whether the session serves: the token may have closed it, or logged everybody out.
fn is_logged_in(session: &Session) -> bool {
    session.get_session_info().is_ok_and(|info| info.session_state() == SessionState::RwUser)
}

/// The secret key of that label, which must be one that cannot leave the token.
fn find(session: &Session, label: &str) -> Result<Option<ObjectHandle>, HsmError> {
    let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Label(label.as_bytes().to_vec())];
    let found = session.find_objects(&template).map_err(failed("looking for a key"))?;
    let key = match found.as_slice() {
        [] => return Ok(None),
        [key] => *key,
        several => return Err(HsmError::KeyTwice { label: label.to_owned(), count: several.len() }),
    };
    let kinds = [AttributeType::Sensitive, AttributeType::Extractable];
    let attributes = session.get_attributes(key, &kinds).map_err(failed("reading a key's attributes"))?;
    let stays = attributes.contains(&Attribute::Sensitive(true)) && attributes.contains(&Attribute::Extractable(false));
    if stays { Ok(Some(key)) } else { Err(HsmError::Extractable { label: label.to_owned() }) }
}

fn generate(session: &Session, label: &str, id: KeyId) -> Result<(), HsmError> {
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::ValueLen((Key::LENGTH as u64).into()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.as_bytes().to_vec()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).map_err(failed("making a key"))?;
    // A token may not do as told; what it made is looked at.
    find(session, label).map(drop)
}

fn gcm<'a>(nonce: &'a mut [u8; NONCE], bound: &'a [u8]) -> Result<GcmParams<'a>, HsmError> {
    GcmParams::new(nonce, bound, TAG_BITS.into()).map_err(failed("taking a nonce"))
}

fn failed(action: &'static str) -> impl Fn(Error) -> HsmError {
    move |error| HsmError::Failed { action, error: error.to_string() }
}
