//! Reads a folder of real frames: whose palm each file shows, and which sample it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Samples of a palm that enrol; the rest walk in.
pub const ENROLLED: usize = 3;

/// A folder's palms, and the files in it that are none.
#[derive(Debug, Default)]
pub struct Frames {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// In the order of persons and hands.
    pub palms: BTreeMap<PalmName, Vec<String>>,
    /// Files left out, with the reason.
    pub skipped: Vec<(String, &'static str)>,
}

/// One palm: a person's left or right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PalmName {
    /// The name's first part.
    pub person: String,
    /// `left` or `right`.
    pub hand: &'static str,
}

/// Reads `folder`; fails if it holds no palm.
pub fn read(folder: &Path) -> anyhow::Result<Frames> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut frames = Frames { folder: folder.canonicalize().with_context(cannot)?, ..Frames::default() };
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name();
        let shown = name.to_string_lossy().into_owned();
        if !entry.path().is_file() {
            frames.skipped.push((shown, "not a file"));
            continue;
        }
        match name.to_str().ok_or("name is not UTF-8").and_then(palm_of) {
            Ok(palm) => frames.palms.entry(palm).or_default().push(shown),
            Err(reason) => frames.skipped.push((shown, reason)),
        }
    }
    for files in frames.palms.values_mut() {
        files.sort_by(|a, b| by_sample(a, b));
    }
    frames.skipped.sort();
    if frames.palms.is_empty() {
        bail!(
            "{} holds no frame named <person>_<l|r>_…_<sample>.<jpg|jpeg|png|bmp>, such as 001_l_940_02.jpg",
            folder.display()
        );
    }
    Ok(frames)
}

fn palm_of(file: &str) -> Result<PalmName, &'static str> {
    let (stem, extension) = file.rsplit_once('.').ok_or("no extension")?;
    if !["jpg", "jpeg", "png", "bmp"].contains(&extension.to_ascii_lowercase().as_str()) {
        return Err("not a .jpg, .jpeg, .png or .bmp");
    }
    let parts: Vec<&str> = stem.split('_').collect();
    let [person, hand, .., _sample] = parts[..] else {
        return Err("name has no <person>_<l|r>_…_<sample>");
    };
    if person.is_empty() {
        return Err("name has no person");
    }
    let hand = match hand.to_ascii_lowercase().as_str() {
        "l" => "left",
        "r" => "right",
        _ => return Err("second part of the name is neither l nor r"),
    };
    Ok(PalmName { person: person.to_ascii_lowercase(), hand })
}

/// Natural order of the last part: 2 before 10; whole names where that says nothing.
fn by_sample(a: &str, b: &str) -> Ordering {
    let sample = |name: &str| {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        stem.rsplit('_').next().unwrap_or_default().to_ascii_lowercase()
    };
    natural(&sample(a), &sample(b)).then_with(|| natural(a, b)).then_with(|| a.cmp(b))
}

/// Digits compare as numbers, everything else as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b) = (chunks(a), chunks(b));
    for (x, y) in a.iter().zip(&b) {
        let order = match (x.parse::<u128>(), y.parse::<u128>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Runs of digits and runs of anything else.
fn chunks(text: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_whatever_their_case() {
        let left = |person: &str| PalmName { person: person.to_owned(), hand: "left" };
        assert_eq!(palm_of("001_l_940_02.jpg"), Ok(left("001")));
        assert_eq!(palm_of("Anna_L_2.PNG"), Ok(left("anna")));
        assert_eq!(palm_of("7_r_a_b_c_x1.Jpeg").map(|palm| palm.hand), Ok("right"));
        for wrong in ["001_l.jpg", "001_x_1.jpg", "_l_1.jpg", "001_l_1.tif", "001_l_1", "001.jpg", ".jpg"] {
            assert!(palm_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn samples_are_in_natural_order() {
        let sorted =
            ["1_l_850_1.jpg", "1_l_940_1.jpg", "1_l_940_02.bmp", "1_l_940_02.jpg", "1_l_940_2.jpg", "1_l_940_10.jpg"];
        let mut names = sorted;
        for _ in 0..names.len() {
            names.rotate_left(1);
            let mut shuffled = names;
            shuffled.sort_by(|a, b| by_sample(a, b));
            assert_eq!(shuffled, sorted);
        }
    }
}
