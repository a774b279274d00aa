//! What protected templates give away: plain and protected ones of made-up palms, written for `attack.py`, which tries to
//! get from the one to the other. `cargo xtask bench inversion` runs both.

// A benchmark is an edge: it talks on standard output.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use volar_core::protection::{GalleryProtection, Renewal};
use volar_core::secret::Key;
use volar_core::template::{
    CODE_CELLS, CODE_SHIFT, CODE_SIDE, EMBEDDING_DIMENSIONS, FIELD_SIDE, ORIENTATIONS, Position, ProtectedCode,
    Quality, Template,
};
use volar_palm::embedding::{Embedder, shipped};
use volar_palm::orientation::orientation_fields;
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use volar_synth::{Palm, Presentation};

/// People who train and calibrate nothing: those in the stolen gallery, and those whom the attacker has pictures of.
const VICTIMS: u64 = 9_100_000;
const KNOWN: u64 = 9_200_000;
/// Bits of each orientation in a protected code.
const PLANES: [u8; ORIENTATIONS as usize] = [0b000, 0b001, 0b011, 0b111, 0b110, 0b100];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benchmarks without --bench; they are for `cargo bench` alone.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let palms: u64 = value("--palms").map_or(4_000, |word| word.parse().expect("a number"));
    let folder = PathBuf::from(value("--folder").expect("--folder names one for the templates"));
    // One gallery's key, and the one that it is protected anew under.
    let keys = [Key::new([41; 32]), Key::new([42; 32])];
    println!("making templates of {palms} palms in the gallery and {palms} that the attacker has");
    let victims = templates(VICTIMS, palms);
    let write = |name: &str, write: &dyn Fn(&mut dyn Write) -> std::io::Result<()>| {
        let mut file = BufWriter::new(File::create(folder.join(name)).expect("the folder is writable"));
        write(&mut file).and_then(|()| file.flush()).expect("the disk has room");
    };
    write("victims.plain", &|file| victims.iter().try_for_each(|template| plain(file, template)));
    write("known.plain", &|file| templates(KNOWN, palms).iter().try_for_each(|template| plain(file, template)));
    let protection = GalleryProtection::new(&keys[0]);
    let renewal = Renewal::between(&keys[0], &keys[1]);
    let references: Vec<_> = victims.iter().map(|template| protection.reference(template)).collect();
    write("victims.protected", &|file| {
        references.iter().try_for_each(|one| protected(file, one.embedding.expose(), &one.code))
    });
    write("victims.renewed", &|file| {
        references
            .iter()
            .try_for_each(|one| protected(file, renewal.embedding(&one.embedding).expose(), &renewal.code(&one.code)))
    });
    ExitCode::SUCCESS
}

/// A capture of each of so many palms, on every core.
fn templates(first: u64, palms: u64) -> Vec<Template> {
    let embedder = shipped();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = palms.div_ceil(threads);
    std::thread::scope(|scope| {
        let embedder = &*embedder;
        let part = |thread: u64| {
            (thread * share..palms.min((thread + 1) * share)).map(|at| template(embedder, first + at)).collect()
        };
        let threads: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || -> Vec<Template> { part(thread) })).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("rendering does not panic")).collect()
    })
}

fn template(embedder: &dyn Embedder, person: u64) -> Template {
    let presentation = Presentation::sample(2 * person).aligned();
    let pixels = Palm::of(person, Position::Right).crop(&presentation, ROI_SIDE).expect("a usual side").pixels;
    let region = RegionOfInterest::new(pixels).expect("as many pixels as asked for");
    Template {
        position: Position::Right,
        quality: Quality::new(90).expect("in range"),
        embedding: embedder.embed(&region).expect("a palm shows lines").embedding,
        orientations: orientation_fields(&region).expect("a palm shows lines"),
    }
}

/// 256 floats, then 1,024 cells, row by row.
fn plain(to: &mut dyn Write, template: &Template) -> std::io::Result<()> {
    floats(to, template.embedding.expose())?;
    let field = template.orientations[0].expose();
    let cell = |at: usize| field[(at / CODE_SIDE + CODE_SHIFT) * FIELD_SIDE + at % CODE_SIDE + CODE_SHIFT];
    to.write_all(&(0..CODE_CELLS).map(cell).collect::<Vec<u8>>())
}

fn protected(to: &mut dyn Write, embedding: &[f32; EMBEDDING_DIMENSIONS], code: &ProtectedCode) -> std::io::Result<()> {
    floats(to, embedding)?;
    let (bits, plane) = (code.expose(), CODE_CELLS / 64);
    let cell = |at: usize| {
        let bit = |number: usize| (bits[number * plane + at / 64] >> (at % 64) & 1) as u8;
        let three = bit(0) | bit(1) << 1 | bit(2) << 2;
        PLANES.iter().position(|&bits| bits == three).expect("an orientation") as u8
    };
    to.write_all(&(0..CODE_CELLS).map(cell).collect::<Vec<u8>>())
}

fn floats(to: &mut dyn Write, values: &[f32]) -> std::io::Result<()> {
    values.iter().try_for_each(|value| to.write_all(&value.to_le_bytes()))
}
