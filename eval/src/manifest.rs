//! The manifest: a CSV file that says whose palm each picture shows. A bad row is set aside with its reason; the rest
//! is measured.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Columns that a manifest must have.
pub const COLUMNS: [&str; 5] = ["path", "subject", "position", "session", "kind"];
/// Columns that it may have.
pub const OPTIONAL_COLUMNS: [&str; 3] = ["spectrum", "group", "species"];

/// Why a manifest cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not there or not readable.
    #[error("cannot read the manifest {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: csv::Error,
    },
    /// A column that every row needs.
    #[error("{} has no column \"{column}\"; its first line must be {}, and may add {}", path.display(), COLUMNS.join(","), OPTIONAL_COLUMNS.join(","))]
    Column {
        /// The file.
        path: PathBuf,
        /// What is missing.
        column: &'static str,
    },
    /// One name for two columns.
    #[error("{} names the column \"{column}\" twice", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// Not one row can be measured.
    #[error("{} has no usable row{}", path.display(), first.as_ref().map(|bad| format!("; line {}: {}", bad.line, bad.reason)).unwrap_or_default())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// The first bad row.
        first: Option<BadRow>,
    },
}

/// Which hand a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hand {
    /// The left hand.
    Left,
    /// The right hand.
    Right,
    /// The data do not say; the subject counts as one palm.
    Unknown,
}

/// What a row's picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What a sensor sees: goes through the whole pipeline.
    Frame,
    /// The palm square, cut and aligned already.
    Roi,
}

/// One capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Line in the file, from 1.
    pub line: u64,
    /// The picture, beside the manifest where it was relative.
    pub path: PathBuf,
    /// The person.
    pub subject: String,
    /// Which palm.
    pub hand: Hand,
    /// When it was captured, in the data's own words; empty if it does not say.
    pub session: String,
    /// What it is.
    pub kind: Kind,
    /// Light, in the data's own words.
    pub spectrum: Option<String>,
    /// Group of people (skin tone, age, sensor …) to be reported on its own.
    pub group: Option<String>,
    /// Species of presentation attack (ISO/IEC 30107-3); none for a living hand.
    pub species: Option<String>,
}

/// A row that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Line in the file, from 1.
    pub line: u64,
    /// Why, and what to do.
    pub reason: String,
}

/// What a manifest says.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Usable rows in the file's order.
    pub rows: Vec<Row>,
    /// The others.
    pub bad: Vec<BadRow>,
    /// Columns of other names, which say nothing here.
    pub ignored_columns: Vec<String>,
}

/// Reads a manifest. Pictures are looked for, not opened.
pub fn read(path: &Path) -> Result<Manifest, ManifestError> {
    let unreadable = |source| ManifestError::Unreadable { path: path.to_owned(), source };
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_path(path).map_err(unreadable)?;
    let heading = reader.headers().map_err(unreadable)?.clone();
    // Spreadsheets put a byte order mark before the first name.
    let names: Vec<String> =
        heading.iter().map(|name| name.trim_start_matches('\u{feff}').to_ascii_lowercase()).collect();
    let columns = Columns::of(path, &names)?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();

    let mut manifest = Manifest { ignored_columns: columns.ignored(&names), ..Manifest::default() };
    let mut seen: HashMap<PathBuf, u64> = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                manifest.bad.push(BadRow { line, reason: format!("not a row of text: {error}") });
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match columns.row(&record, names.len(), line, &folder).and_then(|row| once(row, &mut seen)) {
            Ok(row) => manifest.rows.push(row),
            Err(reason) => manifest.bad.push(BadRow { line, reason }),
        }
    }
    if manifest.rows.is_empty() {
        return Err(ManifestError::Nothing { path: path.to_owned(), first: manifest.bad.first().cloned() });
    }
    Ok(manifest)
}

/// A picture compared with itself would be a perfect mated comparison that nobody made.
fn once(row: Row, seen: &mut HashMap<PathBuf, u64>) -> Result<Row, String> {
    let place = row.path.canonicalize().map_err(|error| format!("cannot open {}: {error}", row.path.display()))?;
    match seen.insert(place, row.line) {
        Some(line) => Err(format!("{} is the picture of line {line} already", row.path.display())),
        None => Ok(row),
    }
}

/// Where each column is.
struct Columns {
    required: [usize; 5],
    optional: [Option<usize>; 3],
}

impl Columns {
    fn of(path: &Path, names: &[String]) -> Result<Self, ManifestError> {
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(ManifestError::ColumnTwice { path: path.to_owned(), column: name.clone() });
            }
        }
        let at = |column: &str| names.iter().position(|name| name == column);
        let mut required = [0; 5];
        for (place, column) in required.iter_mut().zip(COLUMNS) {
            *place = at(column).ok_or_else(|| ManifestError::Column { path: path.to_owned(), column })?;
        }
        Ok(Self { required, optional: OPTIONAL_COLUMNS.map(at) })
    }

    fn ignored(&self, names: &[String]) -> Vec<String> {
        let known = |name: &str| COLUMNS.contains(&name) || OPTIONAL_COLUMNS.contains(&name);
        names.iter().filter(|name| !known(name)).cloned().collect()
    }

    fn row(&self, record: &csv::StringRecord, columns: usize, line: u64, folder: &Path) -> Result<Row, String> {
        if record.len() > columns {
            return Err(format!("{} fields under {columns} columns; quote a field that holds a comma", record.len()));
        }
        let [path, subject, position, session, kind] = self.required.map(|at| record.get(at).unwrap_or_default());
        let [spectrum, group, species] =
            self.optional.map(|at| at.and_then(|at| record.get(at)).filter(|text| !text.is_empty()).map(str::to_owned));
        let said = |column: &str, text: &str| match text.is_empty() {
            true => Err(format!("{column} is empty")),
            false => Ok(text.to_owned()),
        };
        Ok(Row {
            line,
            path: folder.join(said("path", path)?),
            subject: said("subject", subject)?,
            hand: match position {
                "left" => Hand::Left,
                "right" => Hand::Right,
                "unknown" => Hand::Unknown,
                other => return Err(format!("position is \"{other}\", must be left, right or unknown")),
            },
            session: session.to_owned(),
            kind: match kind {
                "frame" => Kind::Frame,
                "roi" => Kind::Roi,
                other => return Err(format!("kind is \"{other}\", must be frame or roi")),
            },
            spectrum,
            group,
            species,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files `a.png` to `c.png` and a manifest of `text`.
    fn read_text(text: &str) -> Result<Manifest, ManifestError> {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.png", "b.png", "c.png"] {
            std::fs::write(folder.path().join(name), "").expect("writable");
        }
        let path = folder.path().join("m.csv");
        std::fs::write(&path, text).expect("writable");
        read(&path)
    }

    #[test]
    fn columns_come_in_any_order_with_optional_ones_and_strangers() {
        let text = "\u{feff}Subject,path,kind,session,position,group,mood\n7, a.png ,roi,,left,young,glad\n7,b.png,frame,2,unknown,,\n";
        let manifest = read_text(text).expect("usable");
        assert_eq!(manifest.bad, []);
        assert_eq!(manifest.ignored_columns, ["mood"]);
        let [a, b] = &manifest.rows[..] else { panic!("two rows") };
        assert!(a.path.ends_with("a.png") && a.hand == Hand::Left && a.kind == Kind::Roi && a.session.is_empty());
        assert_eq!((a.line, a.group.as_deref(), a.species.as_deref()), (2, Some("young"), None));
        assert_eq!((b.hand, b.kind, b.session.as_str(), b.group.as_deref()), (Hand::Unknown, Kind::Frame, "2", None));
    }

    #[test]
    fn bad_rows_are_named_by_line_and_reason_and_the_rest_goes_on() {
        let text = "path,subject,position,session,kind\na.png,1,left,1,roi\ngone.png,1,left,1,roi\nb.png,,left,1,roi\n\
            b.png,1,top,1,roi\nb.png,1,left,1,photo\na.png,2,left,1,roi\nb.png,1,left,1,roi,x,y\nb.png,1,left\n\
            ,1,left,1,roi\nc.png,1,right,2,frame\n";
        let manifest = read_text(text).expect("usable");
        assert_eq!(manifest.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 11]);
        let expected = [
            (3, "cannot open"),
            (4, "subject is empty"),
            (5, "position is \"top\""),
            (6, "kind is \"photo\""),
            (7, "line 2 already"),
            (8, "7 fields under 5"),
            (9, "kind is \"\""),
            (10, "path is empty"),
        ];
        assert_eq!(manifest.bad.len(), expected.len(), "{:?}", manifest.bad);
        for (bad, (line, says)) in manifest.bad.iter().zip(expected) {
            assert!(bad.line == line && bad.reason.contains(says), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_manifest_says_what_one_is() {
        let error = read_text("path,subject,position,kind\n").expect_err("no session").to_string();
        assert!(error.contains("no column \"session\"") && error.contains("path,subject,position"), "{error}");
        let error = read_text("path,path,subject,position,session,kind\n").expect_err("twice").to_string();
        assert!(error.contains("twice"), "{error}");
        let error = read_text("path,subject,position,session,kind\nx,1,left,1,roi\n").expect_err("nothing").to_string();
        assert!(error.contains("no usable row; line 2: cannot open"), "{error}");
        assert!(matches!(read(Path::new("/nowhere/m.csv")), Err(ManifestError::Unreadable { .. })));
    }
}
