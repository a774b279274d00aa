//! A palm's landmarks: a small network looks at the palm, fingers up, and says where its parts are and how sure it is.

use volar_core::template::Position;
use zeroize::Zeroizing;

use crate::network::{Network, standardized};
use crate::outline::Point;
use crate::parameters::{AGREEMENT_MAX, LANDMARK_ERROR_MAX, OPEN_RATIO, PALM_CHANCE_MIN};
use crate::raster::Raster;
use crate::square::Square;

/// Side of the picture that the network looks at.
pub(crate) const LANDMARK_SIDE: usize = 112;
/// How many palm squares that is across at the first look, which knows where the palm is from the whole frame alone.
pub(crate) const WIDE_REACH: f32 = 2.2;
/// The same at those that know it from a look before.
pub(crate) const CLOSE_REACH: f32 = 1.75;
/// One picture of it.
pub(crate) const LANDMARK_SHAPE: &[i32] = &[1, 1, LANDMARK_SIDE as i32, LANDMARK_SIDE as i32];
const CELLS: usize = LANDMARK_SIDE / CELL;
const CELL: usize = 4;
const POINTS: usize = 8;

/// Where a palm's parts are, in the picture's coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landmarks {
    /// Valleys: index-middle, middle-ring, ring-little.
    pub(crate) valleys: [Point; 3],
    /// Corners of the palm square as the network sees them, in perspective: little finger's side and thumb's side at
    /// the fingers, thumb's side and little finger's side at the wrist.
    pub(crate) corners: [Point; 4],
    /// Centre of the largest circle in the palm.
    pub(crate) centre: Point,
    /// How likely this is an open palm, 0 to 1.
    pub(crate) chance: f32,
    /// The worst landmark's error as the network expects it, in sides of the palm square.
    pub(crate) error: f32,
}

/// A network that places landmarks, and how many palm squares it must be shown.
pub(crate) struct Placer {
    network: Network,
    reach: f32,
}

/// How a palm is shown to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// As it is.
    Plain,
    /// As in a mirror: the other hand, whose landmarks have the same names.
    Mirrored,
}

impl Placer {
    /// One that reads `model`.
    pub(crate) fn new(model: &[u8], reach: f32) -> Self {
        Self { network: Network::new(model, LANDMARK_SHAPE), reach }
    }

    /// Landmarks of the palm that lies about where `around` says.
    pub(crate) fn look(&mut self, picture: &Raster, around: &Square, view: View) -> Landmarks {
        let (centre, side) = (around.at(0.5, 0.5), around.side());
        let down = around.down.unit();
        let right = down.turned() * if view == View::Plain { -1.0 } else { 1.0 };
        let step = side * self.reach / LANDMARK_SIDE as f32;
        let middle = (LANDMARK_SIDE - 1) as f32 / 2.0;
        let in_picture = |at: Point| centre + (right * (at.x - middle) + down * (at.y - middle)) * step;
        let pixels = Zeroizing::new(picture.sampled(step, LANDMARK_SIDE, in_picture));
        let outputs = self.network.run(&standardized(&pixels));
        let (heats, verdict) = (&outputs[0], &outputs[1]);
        let points: [Point; POINTS] =
            std::array::from_fn(|i| in_picture(mean_place(&heats[i * CELLS * CELLS..(i + 1) * CELLS * CELLS])));
        let [index_middle, middle_ring, ring_little, a, b, c, d, palm] = points;
        Landmarks {
            valleys: [index_middle, middle_ring, ring_little],
            corners: [a, b, c, d],
            centre: palm,
            chance: 1.0 / (1.0 + (-verdict[0]).exp()),
            error: verdict[1].exp(),
        }
    }
}

/// Mean place of a heat map's softmax, in the network's pixels.
fn mean_place(heat: &[f32]) -> Point {
    let most = heat.iter().copied().fold(f32::MIN, f32::max);
    let (mut sum, mut weight) = (Point::default(), 0.0);
    for (cell, logit) in heat.iter().enumerate() {
        let share = (logit - most).exp();
        let centre = |cells: usize| (cells * CELL) as f32 + (CELL - 1) as f32 / 2.0;
        sum = sum + Point::new(centre(cell % CELLS), centre(cell / CELLS)) * share;
        weight += share;
    }
    sum * (1.0 / weight)
}

impl Landmarks {
    /// The mean of two looks at one palm.
    pub(crate) fn mean(&self, other: &Self) -> Self {
        let between = |a: f32, b: f32| (a + b) / 2.0;
        Self {
            valleys: std::array::from_fn(|i| self.valleys[i].middle(other.valleys[i])),
            corners: std::array::from_fn(|i| self.corners[i].middle(other.corners[i])),
            centre: self.centre.middle(other.centre),
            chance: between(self.chance, other.chance),
            error: between(self.error, other.error),
        }
    }

    /// Whether this is an open palm whose landmarks are where they are said to be: by the network's own word, and
    /// because the square that the valleys place is the one whose corners it sees.
    pub(crate) fn are_certain(&self) -> bool {
        let apart = self.disagreement();
        self.chance >= PALM_CHANCE_MIN && self.error <= LANDMARK_ERROR_MAX && apart <= AGREEMENT_MAX
    }

    /// Mean distance of the seen corners from the placed square's, in sides.
    pub(crate) fn disagreement(&self) -> f32 {
        let square = Square::below(self);
        let placed = [square.at(0.0, 0.0), square.at(1.0, 0.0), square.at(1.0, 1.0), square.at(0.0, 1.0)];
        let apart = placed.iter().zip(&self.corners).map(|(a, b)| (*a - *b).length());
        apart.sum::<f32>() / (4.0 * square.side()).max(f32::EPSILON)
    }

    /// Side of the palm square: that of a square as large as the seen quadrilateral.
    pub(crate) fn side(&self) -> f32 {
        let [a, b, c, d] = self.corners;
        (0.5 * (c - a).cross(d - b).abs()).sqrt()
    }

    /// The valley line's length in those of a palm that faces the sensor with its fingers apart, told by the distance
    /// to the palm's centre. Shorter where fingers are closed or the palm is turned about its length, longer where it is
    /// turned about its breadth.
    pub(crate) fn openness(&self) -> f32 {
        let [index_middle, _, ring_little] = self.valleys;
        let length = (self.centre - index_middle.middle(ring_little)).length();
        (ring_little - index_middle).length() / (OPEN_RATIO * length).max(f32::EPSILON)
    }

    /// Which hand, given that its palm faces the sensor.
    pub(crate) fn position(&self, mirrored: bool) -> Position {
        let [a, _, c, d] = self.corners;
        // With fingers up, a right hand's thumb is on the right: from the way to the thumb, the wrist is a quarter
        // turn with the clock of a screen.
        let right = (c - d).cross(d - a) > 0.0;
        if right != mirrored { Position::Right } else { Position::Left }
    }
}
