//! `volar-synth stream`: labelled crops without end, for a training process to read.

use volar_synth::texture::{self, Texture};

use super::arguments::StreamArguments;
use super::ordered::write_blocks;
use super::picture::ToolError;

/// Crops that a worker makes of one palm before it goes on to the next: enough to make up for fetching its layers.
const BLOCK: u64 = 64;

/// Writes records to standard output until the reader closes it or the last one is out: the palm's number as 4 bytes,
/// little-endian, counted from 0, then `side * side` grey values. The order is the same for any number of threads.
pub(crate) fn write_stream(arguments: &StreamArguments) -> Result<(), ToolError> {
    let palms = palms(arguments);
    let blocks = arguments.crops.div_ceil(BLOCK);
    write_blocks(blocks, arguments.threads, |block| records(arguments, &palms, block))
}

/// Every palm of the stream, made on all threads.
fn palms(arguments: &StreamArguments) -> Vec<Texture> {
    let bar = super::picture::progress(arguments.palms, "palms");
    let share = (arguments.palms as usize).div_ceil(arguments.threads.max(1));
    let numbers: Vec<u64> = (0..arguments.palms).collect();
    let made = std::thread::scope(|scope| {
        let workers: Vec<_> = numbers
            .chunks(share.max(1))
            .map(|chunk| {
                let bar = &bar;
                scope.spawn(move || {
                    let make = |&number: &u64| {
                        bar.inc(1);
                        Texture::of(arguments.seed + number)
                    };
                    chunk.iter().map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("making a palm does not panic")).collect()
    });
    bar.finish_and_clear();
    made
}

/// One block of records. Palms and sessions are drawn from the block's own numbers, so a stream that starts at a later
/// crop goes on exactly where another ended.
fn records(arguments: &StreamArguments, palms: &[Texture], block: u64) -> Vec<u8> {
    let first = arguments.first / BLOCK + block;
    let mut records = Vec::with_capacity(BLOCK as usize * (4 + arguments.side * arguments.side));
    for i in 0..BLOCK {
        let number = first * BLOCK + i;
        let drawn = texture::drawn(arguments.seed, number);
        let palm = &palms[(drawn % palms.len() as u64) as usize];
        let crop = palm
            .crop(&palm.sample(drawn >> 40 & 0xfff, number), arguments.side)
            .expect("the argument parser holds the side within limits");
        records.extend_from_slice(&((drawn % palms.len() as u64) as u32).to_le_bytes());
        records.extend_from_slice(&crop.pixels);
    }
    records
}
