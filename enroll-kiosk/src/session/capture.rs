//! Collects the good captures of one hand.

use std::time::Duration;

use serde::Deserialize;
use volar_core::clock::Timestamp;
use volar_core::score::ScoreModel;
use volar_core::template::{Position, REFERENCES_PER_PALM_MAX, Template};
use volar_palm::guidance::Guidance;
use volar_palm::guided::{Observation, Presence};
use volar_palm::outline::Outline;

use super::phase::Palm;
use super::{Rules, likeness};
use crate::parameters::VIEWS_MAX;

/// `[capture]` in the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureConfig {
    /// Views to take of each palm, 1 to 12.
    pub views_wanted: usize,
    /// Views with which a palm is enrolled when no more come in time, 1 to `views_wanted`.
    pub views_min: usize,
    /// References kept of each palm, 1 to 5 and at most `views_wanted`: those of its views that cover all best. Three
    /// cover the ways in which people hold a hand.
    pub references_kept: usize,
    /// Seconds from a hand's first view until `views_min` are enough.
    pub patience_seconds: u64,
    /// Milliseconds between two views of a palm, so that they differ.
    pub interval_ms: u64,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self { views_wanted: 5, views_min: 2, references_kept: 3, patience_seconds: 20, interval_ms: 500 }
    }
}

impl CaptureConfig {
    /// Checks the relations between the numbers.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=VIEWS_MAX).contains(&self.views_wanted) {
            return Err(format!("capture.views_wanted must be 1 to {VIEWS_MAX}"));
        }
        if !(1..=self.views_wanted).contains(&self.views_min) {
            return Err("capture.views_min must be 1 to capture.views_wanted".to_owned());
        }
        if !(1..=self.views_wanted.min(REFERENCES_PER_PALM_MAX)).contains(&self.references_kept) {
            return Err(format!(
                "capture.references_kept must be 1 to {REFERENCES_PER_PALM_MAX} and at most capture.views_wanted"
            ));
        }
        Ok(())
    }
}

/// What the person should know now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// As the pipeline says.
    Frame(Guidance),
    /// This is the other hand.
    WrongHand,
    /// The hand before is done and still there: show the other one.
    NextHand,
    /// Another palm than that of the views before: start over with one.
    AnotherPalm,
}

impl Advice {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Frame(guidance) => guidance.as_str(),
            Self::WrongHand => "wrong-hand",
            Self::NextHand => "next-hand",
            Self::AnotherPalm => "another-palm",
        }
    }
}

/// What a frame means for the guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Watch,
    /// Let the hand that is there be captured again.
    Rearm,
}

/// One hand's capture under way.
pub(crate) struct Capturing {
    /// The hand wanted; any for a removal.
    pub(crate) hand: Option<Position>,
    /// Views wanted.
    pub(crate) wanted: usize,
    /// Tells one capture from the next, so that the guide starts anew with each.
    pub(crate) number: u64,
    /// Progress towards the next view, 0 to 1.
    pub(crate) progress: f32,
    pub(crate) advice: Option<Advice>,
    pub(crate) outline: Outline,
    pub(crate) frame_size: (u32, u32),
    pub(crate) hand_present: bool,
    /// When the first hand came.
    pub(crate) appeared_at: Option<Timestamp>,
    min: usize,
    kept: usize,
    patience: Duration,
    interval: Duration,
    /// Tells whether views are of one palm; unset where only one view is taken.
    scores: Option<ScoreModel>,
    templates: Vec<Template>,
    first_at: Option<Timestamp>,
    /// A view was taken, or refused, then; the guide waits to be armed again.
    rested_since: Option<Timestamp>,
    /// The hand that was captured before has not left yet.
    previous_still_there: bool,
    /// The other hand was seen and has not left yet.
    other_hand_seen: bool,
    /// Another palm was seen in the place of the one before, and has not left yet.
    swapped: bool,
}

impl Capturing {
    /// A capture of `hand` as `rules` ask. `after_another` says that the other hand was captured just before.
    pub(crate) fn new(hand: Position, rules: &Rules, number: u64, after_another: bool) -> Self {
        let config = &rules.capture;
        let scores = Some(rules.scores.clone());
        let patience = Duration::from_secs(config.patience_seconds);
        let interval = Duration::from_millis(config.interval_ms);
        let (min, kept) = (config.views_min, config.references_kept);
        Self {
            min,
            kept,
            patience,
            interval,
            scores,
            ..Self::empty(Some(hand), config.views_wanted, number, after_another)
        }
    }

    /// A capture of one good view of either hand.
    pub(crate) fn once(number: u64) -> Self {
        Self::empty(None, 1, number, false)
    }

    fn empty(hand: Option<Position>, wanted: usize, number: u64, previous_still_there: bool) -> Self {
        Self {
            hand,
            wanted,
            number,
            progress: 0.0,
            advice: None,
            outline: Outline::default(),
            frame_size: (0, 0),
            hand_present: false,
            appeared_at: None,
            min: wanted,
            kept: wanted,
            patience: Duration::ZERO,
            interval: Duration::ZERO,
            scores: None,
            templates: Vec::new(),
            first_at: None,
            rested_since: None,
            previous_still_there,
            other_hand_seen: false,
            swapped: false,
        }
    }

    /// Views taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.templates.len()
    }

    /// Takes in what one frame showed.
    pub(crate) fn observe(&mut self, seen: Observation, frame_size: (u32, u32), now: Timestamp) -> Next {
        self.outline = seen.outline;
        self.frame_size = frame_size;
        self.hand_present = matches!(seen.presence, Presence::Entered | Presence::Present);
        if self.hand_present {
            self.appeared_at.get_or_insert(now);
        } else {
            self.previous_still_there = false;
            self.other_hand_seen = false;
            self.swapped = false;
            self.rested_since = None;
        }
        if let Some(capture) = seen.captured {
            self.take(capture.template, now);
        }
        // One that waits to be armed again has nothing to show for the hand yet.
        let unwanted = self.other_hand_seen || self.previous_still_there || self.swapped;
        let nothing = self.rested_since.is_some() || unwanted;
        self.progress = if nothing { 0.0 } else { seen.progress };
        self.advice = match (self.previous_still_there, self.other_hand_seen, self.swapped) {
            (true, ..) => Some(Advice::NextHand),
            (_, true, _) => Some(Advice::WrongHand),
            (.., true) => Some(Advice::AnotherPalm),
            _ => seen.guidance.map(Advice::Frame),
        };
        match self.rested_since {
            Some(since) if now.since(since) >= self.interval => {
                self.rested_since = None;
                Next::Rearm
            }
            _ => Next::Watch,
        }
    }

    /// Whether it is complete: all that are wanted, or enough after its patience is over.
    pub(crate) fn is_complete(&self, now: Timestamp) -> bool {
        let patient = self.first_at.is_some_and(|first| now.since(first) < self.patience);
        self.taken() >= self.wanted || (self.taken() >= self.min && !patient)
    }

    /// The hand's templates to keep, best first: those that cover all views. The others are dropped.
    pub(crate) fn palm(&mut self) -> Option<Palm> {
        let views = std::mem::take(&mut self.templates);
        let mut templates = match &self.scores {
            Some(scores) => likeness::covering(scores, views, self.kept),
            None => views,
        };
        templates.sort_by_key(|template| std::cmp::Reverse(template.quality));
        let position = templates.first()?.position;
        Some(Palm { position, templates })
    }

    fn take(&mut self, template: Template, now: Timestamp) {
        self.rested_since = Some(now);
        if self.hand.is_some_and(|hand| hand != template.position) {
            self.other_hand_seen = true;
            return;
        }
        self.other_hand_seen = false;
        self.previous_still_there = false;
        if self.swapped {
            return;
        }
        // The very same picture again, as a still picture before a test's sensor gives: a second look at nothing new.
        let known = |taken: &Template| taken.embedding.expose() == template.embedding.expose();
        if self.templates.iter().any(known) {
            return;
        }
        let swapped = |scores: &ScoreModel| !likeness::is_same_palm(scores, &self.templates, &template);
        if !self.templates.is_empty() && self.scores.as_ref().is_some_and(swapped) {
            // Whose palm is whose cannot be told, so neither is kept; nobody is enrolled with somebody else's.
            self.templates.clear();
            self.first_at = None;
            self.swapped = true;
            return;
        }
        self.first_at.get_or_insert(now);
        self.templates.push(template);
    }
}
