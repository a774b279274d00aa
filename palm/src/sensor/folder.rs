//! Pictures of a folder as if a camera delivered them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use volar_core::clock::{Clock, Timestamp};

use super::pacer::Pacer;
use super::{Scene, Sensor, SensorError, Stage};
use crate::frame::Frame;

/// Size of the dark frame that is delivered while no picture is staged.
const DARK_SIZE: (u32, u32) = (640, 480);

pub(super) struct Folder {
    path: PathBuf,
    stage: Stage,
    pacer: Pacer,
    /// The stage's change that `next` counts in.
    change: u64,
    next: usize,
}

impl Folder {
    pub(super) fn open(
        path: &Path,
        frame_rate: f64,
        autoplay: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SensorError> {
        let path = path.canonicalize().map_err(|error| unreadable(path, &error))?;
        let paths = pictures(&path)?;
        if autoplay && paths.is_empty() {
            return Err(SensorError::EmptyFolder { path });
        }
        let scene = Scene::Files { paths: if autoplay { paths } else { Vec::new() } };
        let pacer = Pacer::new(frame_rate, clock)?;
        Ok(Self { path, stage: Stage::new(scene), pacer, change: 0, next: 0 })
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.clone()
    }

    fn picture(&self, path: &Path, captured_at: Timestamp, sequence: u64) -> Result<Frame, SensorError> {
        let wanted = self.path.join(path);
        let found = wanted.canonicalize().map_err(|error| unreadable(&wanted, &error))?;
        // The stage is open to other programs of the machine; it must not become a way to look at any file.
        if !found.starts_with(&self.path) {
            return Err(SensorError::OutsideFolder { path: wanted, folder: self.path.clone() });
        }
        let bytes = fs::read(&found).map_err(|error| unreadable(&found, &error))?;
        let origin = || found.display().to_string();
        Frame::decode(&bytes, captured_at, sequence).map_err(|source| SensorError::Frame { origin: origin(), source })
    }
}

impl Sensor for Folder {
    fn next_frame(&mut self) -> Result<Frame, SensorError> {
        let (captured_at, sequence) = self.pacer.wait();
        let (scene, change) = self.stage.snapshot();
        if change != self.change {
            (self.change, self.next) = (change, 0);
        }
        let paths = match scene {
            Scene::Files { paths } => paths,
            Scene::Unplugged => return Err(SensorError::Unplugged { sensor: self.description() }),
            Scene::Simulated(_) => return Err(SensorError::WrongStage { sensor: "folder" }),
        };
        if paths.is_empty() {
            let (width, height) = DARK_SIZE;
            let dark = vec![0; (width * height) as usize];
            return Ok(Frame::new(width, height, dark, captured_at, sequence).expect("the dark size is a fair size"));
        }
        let path = &paths[self.next % paths.len()];
        self.next += 1;
        self.picture(path, captured_at, sequence)
    }

    fn description(&self) -> String {
        format!("folder {}", self.path.display())
    }
}

/// The pictures of a folder in the order of their names.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, SensorError> {
    let is_picture = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        path.is_file() && ["jpg", "jpeg", "png", "bmp"].contains(&extension.to_ascii_lowercase().as_str())
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if is_picture(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &std::io::Error) -> SensorError {
    SensorError::Unreadable { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::clock::ManualClock;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(0)))
    }

    /// A picture that is `grey` all over.
    fn write(folder: &Path, name: &str, grey: u8) {
        let frame = Frame::new(160, 120, vec![grey; 160 * 120], Timestamp::from_unix_milliseconds(0), 0);
        fs::write(folder.join(name), frame.expect("fits").to_jpeg(160).expect("encodes")).expect("writable");
    }

    fn greys(sensor: &mut Folder, count: usize) -> Vec<u8> {
        (0..count).map(|_| sensor.next_frame().expect("a frame").pixels()[0]).collect()
    }

    #[test]
    fn plays_in_name_order_again_and_again() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "b.jpg", 100);
        write(folder.path(), "a.JPG", 50);
        fs::write(folder.path().join("notes.txt"), "not a picture").expect("writable");
        let mut sensor = Folder::open(folder.path(), 120.0, true, clock()).expect("two pictures");
        assert_eq!(greys(&mut sensor, 3), [50, 100, 50]);
    }

    #[test]
    fn stage_chooses_files_darkness_or_an_unplugged_cable() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a.jpg", 50);
        write(folder.path(), "b.jpg", 100);
        let mut sensor = Folder::open(folder.path(), 120.0, false, clock()).expect("a folder");
        assert_eq!(greys(&mut sensor, 2), [0, 0]);
        let stage = sensor.stage();
        stage.set(Scene::Files { paths: vec!["b.jpg".into(), folder.path().join("a.jpg")] });
        assert_eq!(greys(&mut sensor, 3), [100, 50, 100]);
        stage.set(Scene::Unplugged);
        assert!(matches!(sensor.next_frame(), Err(SensorError::Unplugged { .. })));
        stage.set(Scene::Files { paths: vec!["b.jpg".into()] });
        assert_eq!(greys(&mut sensor, 2), [100, 100]);
    }

    #[test]
    fn what_cannot_be_shown_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(Folder::open(folder.path(), 25.0, true, clock()), Err(SensorError::EmptyFolder { .. })));
        assert!(matches!(
            Folder::open(&folder.path().join("nowhere"), 25.0, true, clock()),
            Err(SensorError::Unreadable { .. })
        ));
        let inside = folder.path().join("inside");
        fs::create_dir(&inside).expect("writable");
        write(folder.path(), "outside.jpg", 9);
        fs::write(inside.join("cut.jpg"), [0xff, 0xd8]).expect("writable");
        let mut sensor = Folder::open(&inside, 120.0, false, clock()).expect("a folder");
        let mut show = |path: &str| {
            sensor.stage().set(Scene::Files { paths: vec![path.into()] });
            sensor.next_frame().expect_err("must be refused")
        };
        assert!(matches!(show("../outside.jpg"), SensorError::OutsideFolder { .. }));
        assert!(matches!(show("cut.jpg"), SensorError::Frame { .. }));
        assert!(matches!(show("gone.jpg"), SensorError::Unreadable { .. }));
    }
}
