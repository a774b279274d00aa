//! Writes `seeds/` anew: `cargo run --release -p volar-fuzz --example seeds`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in &volar_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in volar_fuzz::seeds::of(target.name) {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
