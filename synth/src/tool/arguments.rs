//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use volar_synth::Condition;
use volar_synth::parameters::{CROP_SIDE_MAX, CROP_SIDE_MIN};

/// Makes labelled pictures of palms that belong to nobody.
#[derive(Parser)]
#[command(name = "volar-synth", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to make.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// A labelled set: PNG files `<person>_<l|r>_<sample>.png` and, for frames, `truth.csv`.
    Set(SetArguments),
    /// One PNG with many of them, to look at.
    ContactSheet(SheetArguments),
    /// Palm squares at training size on standard output: 4 bytes of label, little-endian, then the pixels, and again.
    Stream(StreamArguments),
    /// Whole hands on nothing with their landmarks, on standard output: records of one length.
    Hands(HandsArguments),
}

/// Whole frames, or only the palm square.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// What the sensor sees.
    Frames,
    /// The region of interest.
    Crops,
}

/// Arguments of `set`.
#[derive(Args)]
pub(crate) struct SetArguments {
    /// People; each has a left and a right hand.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) people: u64,
    /// Presentations of each hand.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) samples: u64,
    /// Folder to write to; made if it is missing.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Whole frames or crops.
    #[arg(long, value_enum, default_value = "frames")]
    pub(crate) kind: Kind,
    /// First person's number and the sensor's seed: another seed, other people.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Frames: WIDTHxHEIGHT. Crops: SIDE. Default 640x480, or 152.
    #[arg(long, value_parser = size)]
    pub(crate) size: Option<(usize, usize)>,
    /// How hands are held.
    #[arg(long, default_value = "good", value_parser = condition)]
    pub(crate) condition: Condition,
    /// Where fingers point, in degrees clockwise from up.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    pub(crate) fingers_towards: f32,
}

/// Arguments of `stream`.
#[derive(Args)]
pub(crate) struct StreamArguments {
    /// Different palms, each some 250 kB of memory.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) palms: u64,
    /// Records to write.
    #[arg(long, default_value_t = u64::MAX >> 16)]
    pub(crate) crops: u64,
    /// First record, to go on where another stream stopped; rounded down to a multiple of 64.
    #[arg(long, default_value_t = 0)]
    pub(crate) first: u64,
    /// Pixels along a side.
    #[arg(long, default_value_t = 96, value_parser = side)]
    pub(crate) side: usize,
    /// First palm's number, and what the order is drawn from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads that render.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

/// Arguments of `hands`.
#[derive(Args)]
pub(crate) struct HandsArguments {
    /// Records to write.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) hands: u64,
    /// Presentations of one palm before the next is made.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) poses: u64,
    /// Millimetres to a texel.
    #[arg(long, default_value_t = 1.25, value_parser = texel)]
    pub(crate) texel: f32,
    /// First palm's number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads that render.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

/// Arguments of `contact-sheet`.
#[derive(Args)]
pub(crate) struct SheetArguments {
    /// PNG file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Frames of different people, crops of several people (a row each), or every condition and scene.
    #[arg(long, value_enum, default_value = "people")]
    pub(crate) show: Show,
    /// First person's number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What a contact sheet shows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// Frames of six people, left and right.
    People,
    /// Crops: a palm a row, a presentation a column.
    Crops,
    /// Crops as recognition sees them, without shading.
    NormalizedCrops,
    /// Palm squares at training size: a palm a row, a session every other column.
    Textures,
    /// The same without shading.
    NormalizedTextures,
    /// Whole hands as a training process gets them.
    Hands,
    /// Each condition and scene.
    Conditions,
    /// A hand's visit through time.
    Visit,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let number = |part: &str| part.parse::<usize>().map_err(|_| format!("`{part}` is no number of pixels"));
    match text.split_once('x') {
        Some((width, height)) => Ok((number(width)?, number(height)?)),
        None => number(text).map(|side| (side, side)),
    }
}

fn side(text: &str) -> Result<usize, String> {
    let sides = CROP_SIDE_MIN..=CROP_SIDE_MAX;
    let found = text.parse().ok().filter(|side| sides.contains(side));
    found.ok_or_else(|| format!("`{text}` is no side of {CROP_SIDE_MIN} to {CROP_SIDE_MAX} pixels"))
}

fn texel(text: &str) -> Result<f32, String> {
    let found = text.parse().ok().filter(|texel| (0.3..=4.0).contains(texel));
    found.ok_or_else(|| format!("`{text}` is no texel of 0.3 to 4 millimetres"))
}

fn condition(text: &str) -> Result<Condition, String> {
    Condition::ALL.into_iter().find(|condition| condition.name() == text).ok_or_else(|| {
        let names = Condition::ALL.map(Condition::name).join(", ");
        format!("there is no condition `{text}`; choose one of {names}")
    })
}
