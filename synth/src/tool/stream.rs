//! `volar-synth stream`: labelled crops without end, for a training process to read.

use std::io::{self, BufWriter, Write};
use std::sync::mpsc::sync_channel;

use volar_synth::texture::{self, Texture};

use super::arguments::StreamArguments;
use super::picture::ToolError;

/// Crops that a worker makes of one palm before it goes on to the next: enough to make up for fetching its layers.
const BLOCK: u64 = 64;

/// Writes records to standard output until the reader closes it or the last one is out: the palm's number as 4 bytes,
/// little-endian, counted from 0, then `side * side` grey values. The order is the same for any number of threads.
pub(crate) fn write_stream(arguments: &StreamArguments) -> Result<(), ToolError> {
    let palms = palms(arguments);
    let blocks = arguments.crops.div_ceil(BLOCK);
    let workers = arguments.threads.max(1) as u64;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Vec<u8>>(4)).unzip();
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    std::thread::scope(|scope| {
        for (worker, sender) in senders.into_iter().enumerate() {
            let palms = &palms;
            scope.spawn(move || {
                for block in (worker as u64..blocks).step_by(workers as usize) {
                    if sender.send(records(arguments, palms, block)).is_err() {
                        return;
                    }
                }
            });
        }
        for block in 0..blocks {
            let Ok(records) = receivers[(block % workers) as usize].recv() else { break };
            match out.write_all(&records) {
                Ok(()) => {}
                // The reader has had enough: that is how a stream without end comes to one.
                Err(problem) if problem.kind() == io::ErrorKind::BrokenPipe => break,
                Err(problem) => return Err(ToolError::Output(problem)),
            }
        }
        // Workers that wait to send are let go before they are waited for.
        drop(receivers);
        match out.flush() {
            Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => Err(ToolError::Output(problem)),
            _ => Ok(()),
        }
    })
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
