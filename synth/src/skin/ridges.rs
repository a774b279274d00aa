//! Skin ridges: band-pass noise drawn out along the flow. A camera at palm distance does not resolve single ridges
//! (half a millimetre apart); what remains is this streaky texture of 1.5 to 3 mm.

use crate::dice::{Dice, noise};
use crate::raster::{Grid, Raster};

use super::flow::Flow;

pub(crate) fn layer(grid: Grid, flow: &Flow, dice: &mut Dice) -> Raster {
    let seeds = [dice.bits(), dice.bits()];
    let spacing = dice.uniform(0.7, 0.95);
    Raster::from_fn(grid, |p| {
        flow.regions(p)
            .iter()
            .enumerate()
            .filter(|(_, region)| region.weight > 0.02)
            .map(|(i, region)| {
                let salt = i as u32 * 7919;
                let narrow = noise(seeds[0] ^ salt, region.along / 5.5, region.across / spacing);
                let wide = noise(seeds[1] ^ salt, region.along / 9.0, region.across / (1.9 * spacing));
                region.weight * (0.6 * narrow + 0.6 * wide)
            })
            .sum()
    })
}
