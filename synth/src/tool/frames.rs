//! Labelled sets.

use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use volar_core::template::Position;
use volar_synth::{GreyImage, Palm, Presentation, Scene, Simulator};

use super::arguments::{Kind, SetArguments};
use super::picture::{ToolError, progress, write_png};
use super::truth_table;

/// A moment at which a hand hovers.
pub(crate) const HOVERING_MS: u64 = 1_000;
const CROP_SIDE: usize = 152;
const FRAME_SIZE: (usize, usize) = (640, 480);

/// Writes the set that `arguments` ask for.
pub(crate) fn write_set(arguments: &SetArguments) -> Result<(), ToolError> {
    let out = &arguments.out;
    fs::create_dir_all(out).map_err(|source| ToolError::Write { path: out.clone(), source })?;
    let bar = progress(2 * arguments.people * arguments.samples, "pictures");
    match arguments.kind {
        Kind::Frames => write_frames(arguments, &bar)?,
        Kind::Crops => write_crops(arguments, &bar)?,
    }
    bar.finish();
    Ok(())
}

/// Presentation of a hand that `sample` stands for.
pub(crate) fn hand_scene(person: u64, position: Position, sample: u64, arguments: &SetArguments) -> Scene {
    Scene::Hand { person, position, sample, condition: arguments.condition }
}

fn write_frames(arguments: &SetArguments, bar: &ProgressBar) -> Result<(), ToolError> {
    let (width, height) = arguments.size.unwrap_or(FRAME_SIZE);
    let mut simulator = Simulator::new(width, height, arguments.seed)?.with_fingers_towards(arguments.fingers_towards);
    let mut table = truth_table::heading();
    for (person, position) in hands(arguments) {
        for sample in 0..arguments.samples {
            let scene = hand_scene(person, position, sample, arguments);
            let file = file_name(person, position, sample);
            write_picture(&arguments.out, &file, &simulator.render(&scene, HOVERING_MS))?;
            for truth in simulator.truth(&scene, HOVERING_MS) {
                table += &truth_table::line(&file, person, sample, arguments.condition.name(), &truth);
            }
            bar.inc(1);
        }
    }
    let path = arguments.out.join("truth.csv");
    fs::write(&path, table).map_err(|source| ToolError::Write { path, source })
}

fn write_crops(arguments: &SetArguments, bar: &ProgressBar) -> Result<(), ToolError> {
    let side = match arguments.size {
        None => CROP_SIDE,
        Some((width, height)) if width == height => width,
        Some((width, height)) => return Err(ToolError::CropShape { width, height }),
    };
    for (person, position) in hands(arguments) {
        let palm = Palm::of(person, position);
        for sample in 0..arguments.samples {
            let presentation = Presentation::of_scene(person, position, sample, arguments.condition);
            let file = file_name(person, position, sample);
            write_picture(&arguments.out, &file, &palm.crop(&presentation, side)?)?;
            bar.inc(1);
        }
    }
    Ok(())
}

fn hands(arguments: &SetArguments) -> impl Iterator<Item = (u64, Position)> {
    let first = arguments.seed.wrapping_mul(1_000_003);
    let people = (0..arguments.people).map(move |i| first.wrapping_add(i));
    people.flat_map(|person| [(person, Position::Left), (person, Position::Right)])
}

fn file_name(person: u64, position: Position, sample: u64) -> String {
    let side = match position {
        Position::Left => 'l',
        Position::Right => 'r',
    };
    format!("{person}_{side}_{sample:04}.png")
}

fn write_picture(folder: &Path, file: &str, image: &GreyImage) -> Result<(), ToolError> {
    write_png(&folder.join(file), image)
}
