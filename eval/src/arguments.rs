//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use volar_core::template::REFERENCES_PER_PALM_MAX;

use crate::calibrate::SAFETY_MARGIN;
use crate::compare::{Protocol, ScoreKind};

/// References of a palm unless said otherwise: as many as a kiosk keeps.
const REFERENCES: u64 = 3;
const REFERENCES_MAX: u64 = REFERENCES_PER_PALM_MAX as u64;

/// Measures palm recognition on your own data, and learns the score model that the matcher decides with.
///
/// A manifest is a CSV file with the columns path,subject,position,session,kind and, if you like,
/// spectrum,group,species. Position is left, right or unknown; kind is frame (what a sensor sees) or roi (the palm
/// square, already cut). Paths start at the manifest's folder.
#[derive(Parser)]
#[command(name = "volar-eval", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// One-to-one comparisons: equal error rate, true match rates, trade-off curve, quality.
    Verify(VerifyArguments),
    /// Searches of a gallery: false negatives at a rate of false positives, rank one.
    Identify(IdentifyArguments),
    /// Learns a score model, from made-up palms unless a manifest is given.
    Calibrate(CalibrateArguments),
}

/// What is evaluated.
#[derive(Args)]
pub struct DataArguments {
    /// The manifest.
    #[arg(long)]
    pub manifest: PathBuf,
    /// Folder for report.json, report.html and the plots; made if it is missing.
    #[arg(long)]
    pub out: PathBuf,
    /// Score model to use in place of the one that comes with this version.
    #[arg(long)]
    pub score_model: Option<PathBuf>,
    /// The frames are mirror images.
    #[arg(long)]
    pub mirrored: bool,
}

/// Arguments of `verify`.
#[derive(Args)]
pub struct VerifyArguments {
    /// What is evaluated.
    #[command(flatten)]
    pub data: DataArguments,
    /// Which pairs are compared.
    #[arg(long, value_enum, default_value = "all-pairs")]
    pub protocol: Protocol,
    /// What is measured.
    #[arg(long, value_enum, default_value = "fused")]
    pub score: ScoreKind,
}

/// What fills a gallery up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Background {
    /// Nothing: the data must be enough.
    None,
    /// Made-up palms.
    Synthetic,
}

/// Arguments of `identify`.
#[derive(Args)]
pub struct IdentifyArguments {
    /// What is evaluated.
    #[command(flatten)]
    pub data: DataArguments,
    /// Palms enrolled.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub gallery_size: u64,
    /// What fills the gallery where the manifest has fewer palms.
    #[arg(long, value_enum, default_value = "none")]
    pub background: Background,
    /// References kept of each palm, chosen among its enrolled captures as a kiosk chooses: to cover all of them.
    #[arg(long, default_value_t = REFERENCES, value_parser = clap::value_parser!(u64).range(1..=REFERENCES_MAX))]
    pub references: u64,
}

/// Arguments of `calibrate`.
#[derive(Args)]
pub struct CalibrateArguments {
    /// File to write.
    #[arg(long)]
    pub out: PathBuf,
    /// Learn from these data instead of made-up palms.
    #[arg(long)]
    pub manifest: Option<PathBuf>,
    /// Made-up palms.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(20..=100_000))]
    pub palms: u64,
    /// Captures of each made-up palm.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=100))]
    pub captures: u64,
    /// Safety margin: strangers are taken to spread so many times as widely as measured.
    #[arg(long, default_value_t = SAFETY_MARGIN, value_parser = margin)]
    pub margin: f64,
}

fn margin(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(margin) if (1.0..=10.0).contains(&margin) => Ok(margin),
        _ => Err("a margin is a number from 1 to 10".to_owned()),
    }
}
