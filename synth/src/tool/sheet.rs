//! Contact sheets.

use volar_core::template::Position;
use volar_synth::{Condition, GreyImage, HandLayer, Palm, Presentation, Scene, Simulator, Texture};

use super::arguments::{SheetArguments, Show};
use super::frames::HOVERING_MS;
use super::picture::{ToolError, write_png};

const FRAME: (usize, usize) = (640, 480);
const CROP_SIDE: usize = 152;
const TEXTURE_SIDE: usize = 128;

/// Writes the sheet that `arguments` ask for.
pub(crate) fn write_sheet(arguments: &SheetArguments) -> Result<(), ToolError> {
    let seed = arguments.seed;
    let sheet = match arguments.show {
        Show::People => people(seed)?,
        Show::Crops => crops(seed, |crop| crop)?,
        Show::NormalizedCrops => crops(seed, |crop| normalized(&crop))?,
        Show::Textures => textures(seed, |crop| crop)?,
        Show::NormalizedTextures => textures(seed, |crop| normalized(&crop))?,
        Show::Hands => hands(seed),
        Show::Conditions => conditions(seed)?,
        Show::Visit => visit(seed)?,
    };
    write_png(&arguments.out, &sheet)
}

fn people(seed: u64) -> Result<GreyImage, ToolError> {
    let mut simulator = Simulator::new(FRAME.0, FRAME.1, seed)?;
    let hands = (0..6).map(|i| (seed + i / 2, if i % 2 == 0 { Position::Left } else { Position::Right }));
    let scenes =
        hands.map(|(person, position)| Scene::Hand { person, position, sample: 0, condition: Condition::Good });
    Ok(tiled(&scenes.map(|scene| simulator.render(&scene, HOVERING_MS)).collect::<Vec<_>>(), 2))
}

fn conditions(seed: u64) -> Result<GreyImage, ToolError> {
    let mut simulator = Simulator::new(FRAME.0, FRAME.1, seed)?;
    let position = Position::Right;
    let mut scenes: Vec<Scene> = Condition::ALL
        .into_iter()
        .map(|condition| Scene::Hand { person: seed, position, sample: 0, condition })
        .collect();
    scenes.extend([Scene::Empty, Scene::TwoHands { person: seed }, Scene::Face { seed }]);
    Ok(tiled(&scenes.iter().map(|scene| simulator.render(scene, HOVERING_MS)).collect::<Vec<_>>(), 4))
}

fn visit(seed: u64) -> Result<GreyImage, ToolError> {
    let mut simulator = Simulator::new(FRAME.0, FRAME.1, seed)?;
    let scene = Scene::Hand { person: seed, position: Position::Left, sample: 0, condition: Condition::Good };
    let frames: Vec<_> = (0..12).map(|i| simulator.render(&scene, i * 80)).collect();
    Ok(tiled(&frames, 4))
}

fn crops(seed: u64, shown: impl Fn(GreyImage) -> GreyImage) -> Result<GreyImage, ToolError> {
    let mut images = Vec::new();
    for i in 0..6 {
        let position = if i % 2 == 0 { Position::Left } else { Position::Right };
        let palm = Palm::of(seed + i / 2, position);
        for sample in 0..8 {
            let presentation = Presentation::of_scene(palm.person(), position, sample, Condition::Good);
            images.push(shown(palm.crop(&presentation, CROP_SIDE)?));
        }
    }
    Ok(tiled(&images, 8))
}

/// Hands over grey, landmarks marked.
fn hands(seed: u64) -> GreyImage {
    let sheet = (0..16).map(|i| {
        let palm = Palm::varied(seed + i / 2, Position::Right, 2.0);
        let HandLayer { width, height, light, coverage, landmarks } =
            HandLayer::new(&palm, &Presentation::any(seed * 1_000 + i), 1.25);
        let over = |(light, covered): (&u8, &u8)| light.saturating_add(120 - (u16::from(*covered) * 120 / 255) as u8);
        let mut pixels: Vec<u8> = light.iter().zip(&coverage).map(over).collect();
        for mark in landmarks.valleys.iter().chain(&landmarks.finger_tips).chain([&landmarks.palm_centre]) {
            let (x, y) = (mark.x.round() as usize, mark.y.round() as usize);
            if (1..width - 1).contains(&x) && (1..height - 1).contains(&y) {
                [y * width + x - 1, y * width + x, y * width + x + 1].iter().for_each(|&at| pixels[at] = 255);
            }
        }
        GreyImage { width, height, pixels }
    });
    tiled(&sheet.collect::<Vec<_>>(), 8)
}

fn textures(seed: u64, shown: impl Fn(GreyImage) -> GreyImage) -> Result<GreyImage, ToolError> {
    let mut images = Vec::new();
    for person in seed..seed + 8 {
        let texture = Texture::of(person);
        for sample in 0..10 {
            images.push(shown(texture.crop(&texture.sample(sample / 2, sample), TEXTURE_SIDE)?));
        }
    }
    Ok(tiled(&images, 10))
}

/// Pictures of one size, `columns` to a row, with a line between them.
fn tiled(images: &[GreyImage], columns: usize) -> GreyImage {
    const GAP: usize = 4;
    let (cell_width, cell_height) = (images[0].width + GAP, images[0].height + GAP);
    let (width, height) = (columns * cell_width, images.len().div_ceil(columns) * cell_height);
    let mut pixels = vec![255; width * height];
    for (i, image) in images.iter().enumerate() {
        let (left, top) = ((i % columns) * cell_width, (i / columns) * cell_height);
        for (row, from) in image.pixels.chunks_exact(image.width).enumerate() {
            let at = (top + row) * width + left;
            pixels[at..at + image.width].copy_from_slice(from);
        }
    }
    GreyImage { width, height, pixels }
}

/// Local mean taken away and local contrast made even, as recognition does before it looks for lines.
fn normalized(image: &GreyImage) -> GreyImage {
    let reach = image.width / 12;
    let window = |row: usize, column: usize| {
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(image.height);
        let columns = column.saturating_sub(reach)..(column + reach + 1).min(image.width);
        let values = rows.flat_map(move |r| columns.clone().map(move |c| f32::from(image.pixels[r * image.width + c])));
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for value in values {
            (sum, squares, count) = (sum + value, squares + value * value, count + 1.0);
        }
        let mean = sum / count;
        (mean, (squares / count - mean * mean).max(0.25).sqrt())
    };
    let pixels = (0..image.pixels.len()).map(|at| {
        let (mean, deviation) = window(at / image.width, at % image.width);
        (128.0 + 42.0 * (f32::from(image.pixels[at]) - mean) / deviation) as u8
    });
    GreyImage { width: image.width, height: image.height, pixels: pixels.collect() }
}
