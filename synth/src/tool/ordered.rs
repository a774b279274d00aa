//! Blocks of bytes made on several threads and written to standard output in their order.

use std::io::{self, BufWriter, Write};
use std::sync::mpsc::sync_channel;

use super::picture::ToolError;

/// Writes `blocks` blocks, each made by `make` of its number, until they are out or the reader closes the stream.
pub(crate) fn write_blocks(blocks: u64, threads: usize, make: impl Fn(u64) -> Vec<u8> + Sync) -> Result<(), ToolError> {
    let workers = threads.max(1) as u64;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Vec<u8>>(4)).unzip();
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    std::thread::scope(|scope| {
        for (worker, sender) in senders.into_iter().enumerate() {
            let make = &make;
            scope.spawn(move || {
                for block in (worker as u64..blocks).step_by(workers as usize) {
                    if sender.send(make(block)).is_err() {
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
