//! A target under libFuzzer: `cargo xtask fuzz` builds and runs it.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls in by names that the macro exports")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use volar_fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(
    init: {
        // The fuzzer's own arguments are libFuzzer's.
        #[allow(clippy::disallowed_methods)]
        let name = std::env::var("VOLAR_FUZZ_TARGET").unwrap_or_default();
        let target = volar_fuzz::named(&name).expect("VOLAR_FUZZ_TARGET names a target");
        TARGET.set(target).ok().expect("begun once");
    },
    |bytes: &[u8]| (TARGET.get().expect("begun").run)(bytes)
);
