//! A vault whose keys are in a PKCS#11 token: SoftHSM, from Debian's package `softhsm2`.
//!
//! The module reads its environment once in a process, so each test runs its inner half in a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use volar_core::ticket::Purpose;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::keys::{Hsm, HsmConfig, HsmError, KeyHolder, KeyName, Secret};
use volar_vault::store::SledStore;
use volar_vault::vault::{Parts, Vault};
use zeroize::Zeroizing;

use crate::world::{World, checkout, members, operator, payment, slug};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "482915";

/// Runs the ignored test `inner` of this file over a new token "volar", and one beside it.
fn over_a_token(inner: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (tokens, settings) = (folder.path().join("tokens"), folder.path().join("softhsm2.conf"));
    std::fs::create_dir(&tokens).expect("writable");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&settings, text).expect("writable");
    for label in ["other", "volar"] {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--so-pin", "990099", "--pin", PIN])
            .env("SOFTHSM2_CONF", &settings)
            .output()
            .expect("softhsm2-util is there: Debian's package softhsm2");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let ran = Command::new(std::env::current_exe().expect("a test is a file"))
        .args(["--ignored", "--exact", &format!("hsm::{inner}"), "--nocapture"])
        .env("SOFTHSM2_CONF", &settings)
        .output()
        .expect("a test runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

fn config() -> HsmConfig {
    HsmConfig { module: MODULE.into(), token: "volar".to_owned(), pin_file: None, label: "volar-vault".to_owned() }
}

fn pin(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.to_owned())).expect("a line")
}

fn open(world: &World, holder: Hsm) -> Result<Arc<Vault>, VaultError> {
    let parts = Parts {
        store: Box::new(SledStore::open(&world.path("store"), 64 << 20, true)?),
        key_table: &world.path("keys"),
        holder: Arc::new(holder),
        clock: world.clock.clone(),
        randomness: world.randomness.clone(),
    };
    Vault::open(parts, world.settings.clone()).map(Arc::new)
}

fn tenants() -> [volar_core::id::TenantId; 2] {
    [slug("acme"), slug("bolt")]
}

#[test]
fn the_flows_run_over_a_token() {
    over_a_token("flows");
}

#[tokio::test]
#[ignore = "run by the test above, with a token of its own"]
async fn flows() {
    let world = World::new();
    assert!(Hsm::create(&config(), &pin(PIN), &tenants(), &*world.randomness).expect("made"));
    assert!(!Hsm::create(&config(), &pin(PIN), &tenants(), &*world.randomness).expect("kept"));
    let vault = open(&world, Hsm::open(&config(), &pin(PIN)).expect("logged in")).expect("opens");
    let (stays, goes) = (world.member(&vault), world.member(&vault));
    let claim = |vault: &Vault, subject| {
        let ticket = world.sealed(vault, subject, Purpose::Admission);
        vault.claim(&checkout(), &world.call(0), &ticket)
    };
    let first = claim(&vault, stays).expect("claimed");
    assert!(first.payment == payment());
    vault.erase(&operator(), world.call(0), Erase::Subject(goes)).await.expect("erased");
    drop(vault);
    let vault = open(&world, Hsm::open(&config(), &pin(PIN)).expect("logged in again")).expect("opens again");
    assert_eq!(claim(&vault, stays).expect("claimed").pseudonym, first.pseudonym);
    assert!(matches!(claim(&vault, goes), Err(VaultError::SubjectErased)));
    assert_eq!(vault.status(&operator()).expect("readable")[0].gallery, members());

    // A rotation makes a key in the token, and destroys the old one there.
    vault.begin_rotation(&slug("acme"), 1).expect("begun");
    vault.finish_rotation(&slug("acme")).expect("finished");
    assert_eq!(claim(&vault, stays).expect("claimed").pseudonym, first.pseudonym);
    drop(vault);
    let vault = open(&world, Hsm::open(&config(), &pin(PIN)).expect("logged in again")).expect("opens again");
    assert_eq!(claim(&vault, stays).expect("claimed").pseudonym, first.pseudonym);
    drop(vault);
    let holder = Hsm::open(&config(), &pin(PIN)).expect("logged in again");
    let acme = slug("acme");
    let gone = holder.unwrap(KeyName { tenant: &acme, version: 1 }, b"", &[0; 64]).map(drop).expect_err("destroyed");
    assert!(gone.to_string().contains("holds no key"), "{gone}");
    drop(holder);

    // Another vault's keys in the same token do not open this store, and neither does the file that never held its keys.
    let other = HsmConfig { label: "another-vault".to_owned(), ..config() };
    Hsm::create(&other, &pin(PIN), &tenants(), &*world.randomness).expect("made");
    let refused = open(&world, Hsm::open(&other, &pin(PIN)).expect("logged in")).map(drop).expect_err("not its keys");
    assert!(matches!(refused, VaultError::WrongKeyHolder { .. }), "{refused}");
    let refused = world.try_open().map(drop).expect_err("not its keys");
    assert!(matches!(refused, VaultError::WrongKeyHolder { .. }), "{refused}");
}

#[test]
fn keys_cannot_leave_the_token() {
    over_a_token("extraction");
}

#[test]
#[ignore = "run by the test above, with a token of its own"]
fn extraction() {
    let world = World::new();
    Hsm::create(&config(), &pin(PIN), &tenants(), &*world.randomness).expect("made");
    let holder = Hsm::open(&config(), &pin(PIN)).expect("logged in");
    let acme = slug("acme");
    let name = KeyName { tenant: &acme, version: 1 };
    let wrapped = holder.wrap(name, b"place", b"plain", &*world.randomness).expect("wrapped");
    assert_eq!(**holder.unwrap(name, b"place", &wrapped).expect("unwrapped"), *b"plain");
    for bit in [0, 100, wrapped.len() * 8 - 1] {
        let mut flipped = wrapped.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(holder.unwrap(name, b"place", &flipped).is_err(), "bit {bit}");
    }
    assert!(holder.unwrap(name, b"elsewhere", &wrapped).is_err());
    let bolt = slug("bolt");
    assert!(holder.unwrap(KeyName { tenant: &bolt, ..name }, b"place", &wrapped).is_err());
    drop(holder);

    with_session(|session| {
        let keys = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).expect("listed");
        assert_eq!(keys.len(), 3, "the vault's and two tenants'");
        for key in keys {
            let kinds = [
                AttributeType::Sensitive,
                AttributeType::Extractable,
                AttributeType::AlwaysSensitive,
                AttributeType::NeverExtractable,
                AttributeType::Local,
                AttributeType::ValueLen,
            ];
            let attributes = session.get_attributes(key, &kinds).expect("readable");
            let expected = [
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::AlwaysSensitive(true),
                Attribute::NeverExtractable(true),
                Attribute::Local(true),
                Attribute::ValueLen(32.into()),
            ];
            assert_eq!(attributes, expected);
            let value = session.get_attributes(key, &[AttributeType::Value]).unwrap_or_default();
            assert!(value.is_empty(), "the token gives a key's value");
            let wrapping = [
                Attribute::Token(false),
                Attribute::Wrap(true),
                Attribute::ValueLen(32.into()),
                Attribute::Extractable(true),
                Attribute::Sensitive(false),
            ];
            let own = session.generate_key(&Mechanism::AesKeyGen, &wrapping).expect("a key of the session");
            assert!(session.wrap_key(&Mechanism::AesKeyWrap, own, own).is_ok(), "wrapping itself works here");
            let refused = session.wrap_key(&Mechanism::AesKeyWrap, own, key);
            assert!(refused.is_err(), "the token wraps a key out");
            let loosened = session.update_attributes(key, &[Attribute::Extractable(true)]);
            assert!(loosened.is_err(), "the token lets a key become extractable");
        }
    });
}

#[test]
fn what_is_wrong_with_a_token_is_named() {
    over_a_token("faults");
}

#[test]
#[ignore = "run by the test above, with a token of its own"]
fn faults() {
    let world = World::new();
    let open = |config: &HsmConfig, secret: &str| Hsm::open(config, &pin(secret)).map(drop).expect_err("refused");
    let module = HsmConfig { module: "/no/such/module.so".into(), ..config() };
    assert!(matches!(open(&module, PIN), HsmError::Module { .. }));
    let token = HsmConfig { token: "unplugged".to_owned(), ..config() };
    let error = open(&token, PIN);
    assert!(matches!(error, HsmError::TokenAbsent { .. }) && error.to_string().contains("\"volar\""), "{error}");
    assert!(matches!(open(&config(), PIN), HsmError::KeyMissing { .. }), "before init");
    assert!(matches!(open(&config(), "000000"), HsmError::PinRefused { .. }));
    Hsm::create(&config(), &pin(PIN), &tenants(), &*world.randomness).expect("made");

    // A session that the token closes is opened again; a key that is gone is named.
    let holder = Hsm::open(&config(), &pin(PIN)).expect("logged in");
    let acme = slug("acme");
    let name = KeyName { tenant: &acme, version: 1 };
    let wrapped = holder.wrap(name, b"", b"plain", &*world.randomness).expect("wrapped");
    with_session(|session| session.logout().expect("everybody is logged out"));
    assert_eq!(**holder.unwrap(name, b"", &wrapped).expect("logged in again"), *b"plain");
    holder.destroy(name).expect("destroyed");
    holder.destroy(name).expect("destroyed already");
    let error = holder.unwrap(name, b"", &wrapped).map(drop).expect_err("gone");
    assert!(error.to_string().contains("volar-vault/acme/1"), "{error}");

    // A key that could leave the token is not used.
    with_session(|session| {
        let template = [
            Attribute::Token(true),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(32.into()),
            Attribute::Label(b"volar-vault/acme/1".to_vec()),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &template).expect("made");
    });
    let error = holder.unwrap(name, b"", &wrapped).map(drop).expect_err("not used");
    assert!(error.to_string().contains("could leave the token"), "{error}");
}

/// A session of the same process, logged in like everybody in it.
fn with_session(act: impl FnOnce(&cryptoki::session::Session)) {
    // The module is started already, by the vault's own holder; ending this context ends nothing else's.
    let module = Pkcs11::new(Path::new(MODULE)).expect("loadable");
    // "Already initialized" is as good.
    let _ = module.initialize(CInitializeArgs::OsThreads);
    let slots = module.get_slots_with_initialized_token().expect("listed");
    let is_volar =
        |slot: &cryptoki::slot::Slot| module.get_token_info(*slot).is_ok_and(|token| token.label() == "volar");
    let slot = slots.into_iter().find(is_volar).expect("the token");
    let session = module.open_rw_session(slot).expect("a session");
    // Whoever is logged in already is logged in here too.
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.to_owned())));
    act(&session);
    std::mem::forget((session, module));
}
