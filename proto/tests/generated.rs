//! The committed generated code is what the `.proto` files say.

#[path = "../examples/generate.rs"]
#[allow(missing_docs)]
mod generate;

use std::path::Path;

#[test]
fn generated_code_is_up_to_date() {
    let fresh = tempfile::tempdir().expect("a temporary folder");
    generate::generate(fresh.path()).expect("the .proto files compile");
    for name in ["volar.v1.rs", "descriptors.bin"] {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated").join(name);
        let same = std::fs::read(fresh.path().join(name)).ok() == std::fs::read(committed).ok();
        assert!(same, "{name} is stale: run `cargo run -p volar-proto --example generate` and commit the result");
    }
}
