//! The sensor's own thread: frames in, sightings out. A frame lives here for the milliseconds that it takes to look at
//! it, and is zeroed when it is dropped; what leaves is a template at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use volar_core::clock::Clock;
use volar_core::template::Template;
use volar_palm::guidance::Guidance;
use volar_palm::guided::{Guide, Presence};
use volar_palm::sensor::{self, Opened, Sensor, SensorConfig, SensorError, Stage};

use crate::parameters::{BROKEN_FRAMES, SENSOR_PAUSE, SIGHTINGS_QUEUED};

/// What the sensor's thread tells the agent.
#[derive(Debug)]
pub enum Sighting {
    /// A frame was looked at.
    Seen(Look),
    /// The sensor does not deliver.
    Lost {
        /// One word, such as `unplugged`.
        reason: &'static str,
        /// What is wrong and what to do, for a person.
        message: String,
    },
    /// It delivers again, or for the first time.
    Back {
        /// The sensor, in words.
        sensor: String,
    },
}

/// What one frame showed.
#[derive(Debug)]
pub struct Look {
    /// Whether something is in front of the sensor.
    pub presence: Presence,
    /// What the person can do; `None` while all is well.
    pub guidance: Option<Guidance>,
    /// How far the capture has come, 0 to 1.
    pub progress: f32,
    /// A finished capture.
    pub capture: Option<Captured>,
}

/// A palm, captured. Its template is not protected yet.
#[derive(Debug)]
pub struct Captured {
    /// The template.
    pub template: Template,
    /// When the frame that completed the capture was delivered.
    pub delivered: Instant,
    /// When its template was ready.
    pub ready: Instant,
}

/// Something that looks: a sensor with a guide, or a test's script.
pub trait Eye: Send + 'static {
    /// Waits for the next frame and looks at it.
    fn look(&mut self) -> Result<Look, SensorError>;
    /// Lets the hand that is there be captured again.
    fn rearm(&mut self);
    /// Forgets what it saw.
    fn reset(&mut self);
    /// What it is, for a person.
    fn description(&self) -> String;
}

/// A sensor with the guide that watches it.
pub struct GuidedSensor {
    open: Box<dyn FnMut() -> Result<Box<dyn Sensor>, SensorError> + Send>,
    guide: Guide,
    /// None while a camera that can be plugged in is not.
    sensor: Option<Box<dyn Sensor>>,
}

impl GuidedSensor {
    /// Opens the sensor. A camera that is missing or busy is opened when it is there; what no plugging-in can mend is
    /// an error.
    pub fn open(
        config: SensorConfig,
        guide: Guide,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Option<Stage>), SensorError> {
        let (sensor, stage) = match sensor::open(&config, clock.clone()) {
            Ok(Opened { sensor, stage }) => (Some(sensor), stage),
            Err(error) if may_mend(&error) => (None, None),
            Err(error) => return Err(error),
        };
        let open = Box::new(move || sensor::open(&config, clock.clone()).map(|opened| opened.sensor));
        Ok((Self { open, guide, sensor }, stage))
    }

    /// Over a sensor that is open and mends itself.
    pub fn over(sensor: Box<dyn Sensor>, guide: Guide) -> Self {
        let description = sensor.description();
        let open = Box::new(move || -> Result<Box<dyn Sensor>, SensorError> {
            Err(SensorError::Unplugged { sensor: description.clone() })
        });
        Self { open, guide, sensor: Some(sensor) }
    }
}

impl Eye for GuidedSensor {
    fn look(&mut self) -> Result<Look, SensorError> {
        let sensor = match &mut self.sensor {
            Some(sensor) => sensor,
            none => none.insert((self.open)()?),
        };
        let frame = sensor.next_frame()?;
        let delivered = Instant::now();
        let observation = self.guide.observe(&frame);
        metrics::counter!("volar_gate_frames_total").increment(1);
        metrics::histogram!("volar_gate_frame_seconds").record(delivered.elapsed().as_secs_f64());
        let capture = observation.captured.map(|capture| Captured {
            template: capture.template,
            delivered,
            ready: Instant::now(),
        });
        Ok(Look {
            presence: observation.presence,
            guidance: observation.guidance,
            progress: observation.progress,
            capture,
        })
    }

    fn rearm(&mut self) {
        self.guide.rearm();
    }

    fn reset(&mut self) {
        self.guide.reset();
    }

    fn description(&self) -> String {
        self.sensor.as_ref().map_or_else(|| "camera".to_owned(), |sensor| sensor.description())
    }
}

/// Whether the fault goes away when somebody plugs the camera in, closes another program, or gives permission.
fn may_mend(error: &SensorError) -> bool {
    use SensorError::{Busy, Missing, Permission, Unplugged};
    matches!(error, Missing { .. } | Permission { .. } | Busy { .. } | Unplugged { .. })
}

/// The agent's end of the sensor's thread.
#[derive(Debug)]
pub struct Watch {
    sightings: mpsc::Receiver<Sighting>,
    rearm: Arc<AtomicBool>,
}

impl Watch {
    /// The next sighting; `None` once the thread has ended.
    pub async fn next(&mut self) -> Option<Sighting> {
        self.sightings.recv().await
    }

    /// Lets the hand that is there be captured again.
    pub fn rearm(&self) {
        self.rearm.store(true, Ordering::SeqCst);
    }
}

/// Starts the thread. It ends when the [`Watch`] is dropped or at `shutdown`.
pub fn start(eye: impl Eye, shutdown: CancellationToken) -> std::io::Result<Watch> {
    let (sender, sightings) = mpsc::channel(SIGHTINGS_QUEUED);
    let rearm = Arc::new(AtomicBool::new(false));
    let armed = rearm.clone();
    thread::Builder::new().name("sensor".to_owned()).spawn(move || watch(eye, &sender, &armed, &shutdown))?;
    Ok(Watch { sightings, rearm })
}

fn watch(mut eye: impl Eye, sender: &mpsc::Sender<Sighting>, rearm: &AtomicBool, shutdown: &CancellationToken) {
    let mut delivering = false;
    let mut lost: Option<&'static str> = None;
    let mut broken = 0;
    while !shutdown.is_cancelled() {
        if rearm.swap(false, Ordering::SeqCst) {
            eye.rearm();
        }
        let told = match eye.look() {
            Ok(look) => {
                broken = 0;
                lost = None;
                let back = !std::mem::replace(&mut delivering, true);
                let told = !back || sender.blocking_send(Sighting::Back { sensor: eye.description() }).is_ok();
                told && sender.blocking_send(Sighting::Seen(look)).is_ok()
            }
            Err(error) => {
                broken += 1;
                let one_bad_frame = matches!(error, SensorError::Frame { .. }) && broken < BROKEN_FRAMES;
                let reason = word(&error);
                if one_bad_frame || lost == Some(reason) {
                    !sender.is_closed()
                } else {
                    (delivering, lost) = (false, Some(reason));
                    eye.reset();
                    metrics::counter!("volar_gate_sensor_lost_total", "reason" => reason).increment(1);
                    sender.blocking_send(Sighting::Lost { reason, message: error.to_string() }).is_ok()
                }
            }
        };
        if !told {
            return;
        }
        if lost.is_some() {
            thread::sleep(SENSOR_PAUSE);
        }
    }
}

/// The fault in one word, for programs and screens.
fn word(error: &SensorError) -> &'static str {
    match error {
        SensorError::Missing { .. } => "missing",
        SensorError::Permission { .. } => "permission",
        SensorError::Busy { .. } => "busy",
        SensorError::Format { .. } => "format",
        SensorError::Unplugged { .. } => "unplugged",
        SensorError::Unreadable { .. } | SensorError::EmptyFolder { .. } => "unreadable",
        SensorError::OutsideFolder { .. } | SensorError::WrongStage { .. } => "wrong-scene",
        SensorError::Ended { .. } => "ended",
        SensorError::Frame { .. } => "broken-frames",
        SensorError::FrameRate { .. } | SensorError::Simulation { .. } | SensorError::Driver { .. } => "driver",
    }
}
