//! Guided capture over many frames, shared by kiosk and gate: notices a hand, waits until it is held still, keeps the
//! best frame. Takes its time from the frames, so it replays exactly.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::frame::Frame;
use crate::guidance::Guidance;
use crate::outline::Outline;
use crate::pipeline::{Capture, Outcome, Pipeline};
use crate::stillness::Stance;
use crate::wake::Thumbnail;

/// How long a hand must be held still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuideConfig {
    /// Good frames in a row, all alike, that make a capture.
    pub still_frames: u32,
    /// Frames without a hand after which it has left.
    pub absent_frames: u32,
}

impl Default for GuideConfig {
    fn default() -> Self {
        Self { still_frames: 4, absent_frames: 3 }
    }
}

/// Whether something is in front of the sensor. `Entered` and `Left` are each told once, for one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Nothing.
    Absent,
    /// Something, since this frame.
    Entered,
    /// Something, still.
    Present,
    /// Nothing, since this frame.
    Left,
}

/// What one frame added.
#[derive(Debug)]
pub struct Observation {
    /// Whether something is in front of the sensor.
    pub presence: Presence,
    /// What the person can do; `None` while all is well.
    pub guidance: Option<Guidance>,
    /// What was found in the frame, to draw over the live picture.
    pub outline: Outline,
    /// The best of the still frames, told once; again only after [`Guide::rearm`] or once the hand has left and come
    /// back.
    pub captured: Option<Capture>,
    /// How far the capture has come, 0 to 1; 1 from the capture until the hand leaves or [`Guide::rearm`].
    pub progress: f32,
}

/// Watches one sensor.
pub struct Guide {
    pipeline: Arc<Pipeline>,
    config: GuideConfig,
    /// The last frame in which nothing was found.
    empty: Option<Thumbnail>,
    present: bool,
    /// Frames without a hand since there was one.
    missed: u32,
    stance: Option<Stance>,
    /// Good frames in a row, all alike, and the best of them.
    still: u32,
    best: Option<Capture>,
    captured: bool,
}

impl Guide {
    /// A guide that has seen no frame yet.
    pub fn new(pipeline: Arc<Pipeline>, config: GuideConfig) -> Self {
        Self {
            pipeline,
            config,
            empty: None,
            present: false,
            missed: 0,
            stance: None,
            still: 0,
            best: None,
            captured: false,
        }
    }

    /// Takes in the sensor's next frame.
    pub fn observe(&mut self, frame: &Frame) -> Observation {
        let thumbnail = Thumbnail::of(frame);
        let asleep = !self.present && self.empty.as_ref().is_some_and(|empty| thumbnail.is_unchanged_since(empty));
        if asleep {
            return self.absent(Presence::Absent);
        }
        match self.pipeline.process(frame) {
            Outcome::NoHand => {
                self.empty = Some(thumbnail);
                self.missing()
            }
            Outcome::Guidance { reason, outline } => {
                let presence = self.entered();
                self.lose_count();
                self.observation(presence, Some(reason), outline, None)
            }
            Outcome::Captured(capture) => {
                let presence = self.entered();
                self.good_frame(capture, presence)
            }
        }
    }

    /// Starts over: the next capture may be of the hand that is there now.
    pub fn rearm(&mut self) {
        self.captured = false;
        self.lose_count();
        self.stance = None;
    }

    /// Forgets every frame, as at the start.
    pub fn reset(&mut self) {
        *self = Self::new(Arc::clone(&self.pipeline), self.config.clone());
    }

    fn good_frame(&mut self, capture: Capture, presence: Presence) -> Observation {
        let outline = capture.outline.clone();
        let stance = Stance::of(&capture);
        let still = self.stance.as_ref().is_none_or(|before| before.is_still(&stance));
        self.stance = Some(stance);
        if !still {
            self.lose_count();
        }
        self.still += 1;
        if self.best.as_ref().is_none_or(|best| best.quality < capture.quality) {
            self.best = Some(capture);
        }
        let mut captured = None;
        if !self.captured && self.still >= self.config.still_frames {
            captured = self.best.take();
            self.captured = true;
        }
        let guidance = (!still && !self.captured).then_some(Guidance::HoldStill);
        self.observation(presence, guidance, outline, captured)
    }

    /// Nothing was found; a hand that was there has left only if it stays away for a few frames.
    fn missing(&mut self) -> Observation {
        if !self.present {
            return self.absent(Presence::Absent);
        }
        self.missed += 1;
        self.lose_count();
        if self.missed < self.config.absent_frames {
            return self.observation(Presence::Present, Some(Guidance::ShowHand), Outline::default(), None);
        }
        self.present = false;
        self.captured = false;
        self.stance = None;
        self.absent(Presence::Left)
    }

    fn entered(&mut self) -> Presence {
        self.missed = 0;
        if std::mem::replace(&mut self.present, true) { Presence::Present } else { Presence::Entered }
    }

    fn lose_count(&mut self) {
        self.still = 0;
        self.best = None;
    }

    fn absent(&self, presence: Presence) -> Observation {
        self.observation(presence, Some(Guidance::ShowHand), Outline::default(), None)
    }

    fn observation(
        &self,
        presence: Presence,
        guidance: Option<Guidance>,
        outline: Outline,
        captured: Option<Capture>,
    ) -> Observation {
        let share = self.still as f32 / self.config.still_frames.max(1) as f32;
        let progress = if self.captured { 1.0 } else { share.min(1.0) };
        Observation { presence, guidance, outline, captured, progress }
    }
}
