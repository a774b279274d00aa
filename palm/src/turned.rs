//! Turning a square picture by a few degrees.

use zeroize::Zeroizing;

/// The middle `inner` x `inner` pixels of a `picture` of `side` x `side`, turned about its centre; the others are there
/// for the corners to be turned in from.
pub(crate) fn turned(picture: &[f32], side: usize, inner: usize, degrees: f32) -> Zeroizing<Vec<f32>> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (centre, middle) = ((side as f32 - 1.0) / 2.0, (inner as f32 - 1.0) / 2.0);
    let pixel = |at: usize| {
        let (x, y) = ((at % inner) as f32 - middle, (at / inner) as f32 - middle);
        let (from_x, from_y) = (cosine * x - sine * y + centre, sine * x + cosine * y + centre);
        let (left, top) = (from_x as i32 as usize, from_y as i32 as usize);
        let (right_share, lower_share) = (from_x - left as f32, from_y - top as f32);
        let pair = |row: usize| &picture[row * side + left..][..2];
        let between = |pair: &[f32]| pair[0] * (1.0 - right_share) + pair[1] * right_share;
        between(pair(top)) * (1.0 - lower_share) + between(pair(top + 1)) * lower_share
    };
    Zeroizing::new((0..inner * inner).map(pixel).collect())
}
