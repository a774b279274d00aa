//! Nothing plain about a body or a payment lies in any file, before an erasure or after; and after it, nothing opens.

use std::path::Path;

use volar_core::second_factor::Kind;
use volar_core::secret::Key;
use volar_core::shard::Shard;
use volar_vault::enrollment::Enroll;
use volar_vault::erasure::Erase;

use crate::world::{World, kiosk, matcher, members, operator, payment};

/// A second factor, long enough to be nowhere by chance.
const CODE: &str = "80745129";

#[tokio::test]
async fn no_file_holds_anything_plain() {
    let world = World::new();
    let vault = world.open();
    let request = world.request(true);
    let enrollment = vault.enroll(&kiosk(), &world.call(0), &request).expect("enrolled");
    let digits = crate::factors::digits(CODE);
    vault.set_second_factor(&kiosk(), &world.call(1), enrollment, Kind::Code, &digits).expect("chosen");
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
    vault.settle().expect("durable");
    let key = vault.protection(&"acme".parse().expect("a slug"), &members()).expect("known").key;
    let plain = plain_parts(&request, &key);
    let sealed_probe = blob(&world);
    search(world.folder.path(), &plain);

    vault.report_verdict(&matcher(), &world.call(0), &members(), 1, Shard::WHOLE, None).expect("taken");
    let subject = world.feed(&vault)[0].subject;
    let keys = std::fs::read(world.path("keys")).expect("readable");
    let slot = keys[4096 + 20..4096 + 80].to_vec();
    vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased");
    drop(vault);
    search(world.folder.path(), &plain);
    search(world.folder.path(), &[("wrapped key", slot), ("sealed probe", sealed_probe)]);
}

/// Parts of everything plain in an enrollment and around it, long enough to be nowhere by chance.
pub(crate) fn plain_parts(request: &Enroll, key: &Key) -> Vec<(&'static str, Vec<u8>)> {
    let mut plain: Vec<(&'static str, Vec<u8>)> = vec![
        ("customer", payment().customer.clone().into_bytes()),
        ("payment method", payment().payment_method.clone().into_bytes()),
        ("label", payment().label.clone().into_bytes()),
        ("gallery key", key.expose()[..12].to_vec()),
        ("consent", b"touch-screen".to_vec()),
        ("second factor", CODE.as_bytes().to_vec()),
    ];
    for palm in &request.memberships[0].palms {
        let embeddings = palm.references.iter().map(|reference| &reference.embedding).chain([&palm.probe.embedding]);
        let codes = palm.references.iter().map(|reference| &reference.code).chain(&palm.probe.codes);
        for embedding in embeddings {
            plain.push(("embedding", embedding.expose()[..4].iter().flat_map(|v| v.to_le_bytes()).collect()));
            plain.push(("embedding's end", embedding.expose()[252..].iter().flat_map(|v| v.to_le_bytes()).collect()));
        }
        plain.extend(codes.map(|code| ("code", code.to_bytes()[100..116].to_vec())));
    }
    plain
}

/// The search itself finds what is there.
#[test]
#[should_panic(expected = "holds a plain needle")]
fn a_plain_value_would_be_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("deep")).expect("writable");
    std::fs::write(folder.path().join("deep/file"), b"hay needle hay").expect("writable");
    search(folder.path(), &[("needle", b"needle".to_vec())]);
}

fn blob(world: &World) -> Vec<u8> {
    let mut blobs = std::fs::read_dir(world.path("store/blobs")).expect("readable");
    std::fs::read(blobs.next().expect("a pending probe").expect("readable").path()).expect("readable")[40..72].to_vec()
}

pub(crate) fn search(folder: &Path, plain: &[(&str, Vec<u8>)]) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            search(&path, plain);
            continue;
        }
        let bytes = std::fs::read(&path).expect("readable");
        for (name, needle) in plain {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_slice());
            assert!(!found, "{} holds a plain {name}", path.display());
        }
    }
}
