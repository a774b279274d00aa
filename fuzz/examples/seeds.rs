//! Writes every target's seeds to `FOLDER/<target>/`: `cargo run --release -p volar-fuzz --example seeds -- FOLDER`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let top = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?);
    for target in &volar_fuzz::TARGETS {
        let folder = top.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in volar_fuzz::seeds::of(target.name) {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
