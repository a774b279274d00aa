//! What each command does: read, measure, write.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use volar_core::id::ModelId;
use volar_core::score::{ScoreModel, ScoreModelError, TargetFpir};
use volar_palm::pipeline::PipelineConfig;

use crate::acquire::{Acquired, Extractor, acquire};
use crate::arguments::{Background, CalibrateArguments, DataArguments, IdentifyArguments, VerifyArguments};
use crate::calibrate::{CalibrateError, Calibration, FIRST_PERSON, learn};
use crate::compare::ScoreKind;
use crate::identify::{self, Plan, Searched, Size};
use crate::made_up::{self, MadeUp};
use crate::manifest::{self, BadRow, Manifest, ManifestError};
use crate::page::{self, Subject};
use crate::plot::{self, Plot, PlotError};
use crate::report::METHOD;
use crate::verify::{self, Question};

/// Number of the first made-up person who fills galleries: none of those that calibrate.
const FIRST_STRANGER: u64 = 8_000_000;

/// Why a command gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The score model.
    #[error("{}{error}", path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default())]
    ScoreModel {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong.
        error: ScoreModelError,
    },
    /// A file or folder.
    #[error("cannot {action} {}: {error}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not one comparison.
    #[error("no two templates to compare: {templates} templates of {samples} pictures; the report says why")]
    NothingMeasured {
        /// Pictures read.
        samples: u64,
        /// Templates made.
        templates: u64,
    },
    /// The data have fewer palms than the gallery should.
    #[error(
        "a gallery of {wanted} palms, but the manifest has templates of {found}; add --background synthetic to fill it with made-up palms"
    )]
    GallerySmall {
        /// Palms asked for.
        wanted: usize,
        /// Palms there are.
        found: usize,
    },
    /// A plot could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// Nothing was learnt.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
}

impl RunError {
    /// For the process: 64 usage, 65 data, 66 no input, 70 internal, 73 cannot write (sysexits).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Manifest(ManifestError::Unreadable { .. }) | Self::File { action: "read", .. } => 66,
            Self::File { .. } => 73,
            Self::Plot(_) => 70,
            Self::Manifest(_)
            | Self::ScoreModel { .. }
            | Self::NothingMeasured { .. }
            | Self::GallerySmall { .. }
            | Self::Calibrate(_) => 65,
        }
    }
}

/// `volar-eval verify`.
pub fn verify(arguments: &VerifyArguments) -> Result<(), RunError> {
    let data = Data::read(&arguments.data)?;
    let model = match arguments.score {
        ScoreKind::Fused => Some(score_model(arguments.data.score_model.as_deref(), &data.acquired.model)?),
        _ => None,
    };
    let question = Question { protocol: arguments.protocol, score: arguments.score, model: model.as_ref() };
    let found = verify::measure(&data.manifest, &data.acquired, &question);
    let mut report = data.heading("verify");
    merge(&mut report, json!({ "protocol": arguments.protocol, "score": arguments.score }));
    merge(&mut report, found.to_json());
    let plots = plot::of_verification(&found, arguments.score);
    data.write(report, &plots, |subject| page::verification(subject, &question, &found))?;
    if found.mated + found.non_mated == 0 {
        return Err(RunError::NothingMeasured { samples: found.samples, templates: found.templates });
    }
    Ok(())
}

/// `volar-eval identify`.
pub fn identify(arguments: &IdentifyArguments) -> Result<(), RunError> {
    let data = Data::read(&arguments.data)?;
    let model = score_model(arguments.data.score_model.as_deref(), &data.acquired.model)?;
    let number = |of: u64| usize::try_from(of).expect("at most a million");
    let size = Size { palms: number(arguments.gallery_size), references: number(arguments.references) };
    let plan = Plan::new(&data.manifest, &data.acquired, &size, &model);
    let missing = plan.missing() as u64;
    let background = match arguments.background {
        Background::None if missing > 0 => {
            return Err(RunError::GallerySmall { wanted: size.palms, found: size.palms - plan.missing() });
        }
        _ => {
            let wanted = MadeUp { first: FIRST_STRANGER, palms: missing + missing / 50 + 5, captures: 1 };
            match missing {
                0 => Vec::new(),
                _ => made_up::samples(&wanted, &Extractor::new(PipelineConfig::default())).1,
            }
        }
    };
    let searched = Searched { manifest: &data.manifest, acquired: &data.acquired, background: &background };
    let found = identify::measure(&plan, &searched, &model);
    let mut report = data.heading("identify");
    merge(&mut report, found.to_json());
    let plots = plot::of_identification(&found);
    data.write(report, &plots, |subject| page::identification(subject, &model, &found))?;
    if found.non_mated_searches == 0 {
        return Err(RunError::NothingMeasured {
            samples: found.samples,
            templates: data.acquired.samples.len() as u64,
        });
    }
    Ok(())
}

/// `volar-eval calibrate`.
pub fn calibrate(arguments: &CalibrateArguments) -> Result<(), RunError> {
    let extractor = Extractor::new(PipelineConfig::default());
    let calibration = match &arguments.manifest {
        None => {
            let (palms, captures) = (arguments.palms, arguments.captures);
            let wanted = MadeUp { first: FIRST_PERSON, palms, captures };
            let (rows, samples) = made_up::samples(&wanted, &extractor);
            let samples: Vec<_> = samples.iter().collect();
            let data = format!(
                "made-up palms of volar-synth {}, people from {FIRST_PERSON}, {captures} captures each",
                env!("CARGO_PKG_VERSION"),
            );
            learn(&extractor, &rows, &samples, data, arguments.margin)?
        }
        Some(path) => {
            let manifest = manifest::read(path)?;
            let acquired = acquire(&manifest, &PipelineConfig::default());
            complain(manifest.bad.iter().chain(&acquired.unreadable));
            let living = acquired.samples.iter().filter(|sample| manifest.rows[sample.row].species.is_none());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            learn(
                &extractor,
                &manifest.rows,
                &living.collect::<Vec<_>>(),
                format!("manifest {name}"),
                arguments.margin,
            )?
        }
    };
    write(&arguments.out, calibration.model.to_toml())?;
    eprintln!("{}", summary(&calibration));
    Ok(())
}

/// What was learnt, for whoever ran the command.
fn summary(calibration: &Calibration) -> String {
    let Calibration { model, mated, non_mated } = calibration;
    let (learnt, strangers) = (model.learnt(), model.strangers());
    let mut text = format!(
        "learnt from {} palms, {} mated and {} non-mated comparisons\nfusion {:?}\nstrangers: mean {:.2}, tail from {:.2} {:?}",
        learnt.palms,
        learnt.mated,
        learnt.non_mated,
        model.fusion(),
        strangers.mean,
        strangers.from,
        strangers.tail
    );
    for palms in [1_000, 10_000, 1_000_000] {
        for rate in [1e-2, 1e-3, 1e-4] {
            let target = TargetFpir::new(rate).expect("a rate");
            let (threshold, (low, high)) = (model.threshold(target, palms), model.threshold_interval(target, palms));
            let missed = mated.iter().filter(|&&score| score < threshold.value()).count();
            let reached = non_mated.iter().filter(|&&score| score >= threshold.value()).count();
            text += &format!(
                "\n{palms:>9} palms, FPIR {rate:e}: threshold {threshold} ({low} to {high}), missed {missed} of {}, strangers above it {reached}",
                mated.len()
            );
        }
    }
    text
}

/// What a command evaluates.
struct Data {
    path: PathBuf,
    out: PathBuf,
    manifest: Manifest,
    acquired: Acquired,
    bad_rows: Vec<BadRow>,
}

impl Data {
    fn read(arguments: &DataArguments) -> Result<Self, RunError> {
        let manifest = manifest::read(&arguments.manifest)?;
        let out = &arguments.out;
        std::fs::create_dir_all(out).map_err(|error| RunError::File { action: "write", path: out.clone(), error })?;
        // An evaluation takes what a device would refuse for its quality alone: that is what quality curves are for.
        let config = PipelineConfig { mirrored: arguments.mirrored, guided: false, quality_min: 0 };
        let acquired = acquire(&manifest, &config);
        let mut bad_rows: Vec<BadRow> = manifest.bad.iter().chain(&acquired.unreadable).cloned().collect();
        bad_rows.sort_by_key(|bad| bad.line);
        complain(&bad_rows);
        if !manifest.ignored_columns.is_empty() {
            eprintln!("volar-eval: columns that say nothing here: {}", manifest.ignored_columns.join(", "));
        }
        Ok(Self { path: arguments.manifest.clone(), out: out.clone(), manifest, acquired, bad_rows })
    }

    fn heading(&self, command: &str) -> Value {
        json!({
            "tool": concat!("volar-eval ", env!("CARGO_PKG_VERSION")),
            "command": command,
            "manifest": self.path.file_name().unwrap_or_default().to_string_lossy(),
            "model": self.acquired.model,
            "milliseconds_per_template": self.acquired.milliseconds_per_template,
        })
    }
}

impl Data {
    /// Writes report.json, report.html and the plots.
    fn write(
        &self,
        mut report: Value,
        plots: &[Plot],
        page: impl FnOnce(&Subject<'_>) -> String,
    ) -> Result<(), RunError> {
        merge(&mut report, json!({ "bad_rows": self.bad_rows, "method": METHOD }));
        let text = serde_json::to_string_pretty(&report).expect("a report has text keys only");
        write(&self.out.join("report.json"), text + "\n")?;
        for plot in plots {
            write(&self.out.join(plot.name).with_extension("svg"), &plot.standalone)?;
            write(&self.out.join(plot.name).with_extension("png"), plot.png()?)?;
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let subject = Subject {
            name: &name,
            manifest: &self.manifest,
            acquired: &self.acquired,
            bad_rows: &self.bad_rows,
            plots,
        };
        write(&self.out.join("report.html"), page(&subject))?;
        eprintln!("volar-eval: wrote {}", self.out.join("report.html").display());
        Ok(())
    }
}

fn complain<'a>(bad_rows: impl IntoIterator<Item = &'a BadRow>) {
    for bad in bad_rows {
        eprintln!("volar-eval: line {}: {}", bad.line, bad.reason);
    }
}

fn score_model(path: Option<&Path>, model: &ModelId) -> Result<ScoreModel, RunError> {
    let wrong = |error| RunError::ScoreModel { path: path.map(Path::to_owned), error };
    let Some(path) = path else { return ScoreModel::for_model(model).map_err(wrong) };
    let text = std::fs::read_to_string(path).map_err(|error| RunError::File {
        action: "read",
        path: path.to_owned(),
        error,
    })?;
    ScoreModel::from_toml(&text).and_then(|read| read.made_for(model)).map_err(wrong)
}

fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), RunError> {
    std::fs::write(path, contents).map_err(|error| RunError::File { action: "write", path: path.to_owned(), error })
}

fn merge(report: &mut Value, more: Value) {
    let (Value::Object(report), Value::Object(more)) = (report, more) else { unreachable!("reports are objects") };
    report.extend(more);
}
