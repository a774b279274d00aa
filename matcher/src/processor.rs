//! What the processor must have, and how many threads the numeric libraries may start.

/// The processor lacks instructions that FAISS is compiled for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this processor lacks {missing}: the matcher needs AVX2, FMA and F16C (Intel since 2013, AMD since 2015). Run it \
     on another machine, or build it for this one: CXXFLAGS=\"-O3 -march=native\" cargo build --release -p volar-matcher, \
     after cargo clean -p faiss-sys"
)]
pub struct ProcessorError {
    missing: &'static str,
}

/// Checks for the instructions that `.cargo/config.toml` compiles FAISS for. Without them the first search would end
/// the process with no message.
pub fn check() -> Result<(), ProcessorError> {
    let has = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("F16C", is_x86_feature_detected!("f16c")),
        ("POPCNT", is_x86_feature_detected!("popcnt")),
    ];
    match has.into_iter().find(|(_, has)| !has) {
        Some((missing, _)) => Err(ProcessorError { missing }),
        None => Ok(()),
    }
}

/// Settings, read when the libraries are loaded, that keep OpenMP and OpenBLAS from starting threads of their own. Two
/// threads on a busy core turn a search of 0.7 ms into 8 (measured), and searches run in parallel anyway.
pub const ONE_THREAD: [(&str, &str); 2] = [("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")];
