//! Threads for searches. A search computes for milliseconds: on the threads that serve connections it would hold up
//! every other call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Why a job was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// As many jobs wait as may.
    #[error("every search thread is busy and the queue is full")]
    Busy,
    /// The job panicked.
    #[error("the search failed; the log of the matcher says why")]
    Failed,
}

/// A fixed number of threads and a bounded queue before them.
pub struct SearchPool {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl SearchPool {
    /// Starts `threads` threads; at most `queue` jobs wait for them.
    pub fn new(threads: usize, queue: usize) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(queue);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |number| {
            let waiting = waiting.clone();
            std::thread::Builder::new().name(format!("search-{number}")).spawn(move || work(&waiting))
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Does `job` on one of the threads.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, PoolError> {
        let (sender, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Whoever asked may have hung up.
            let _ = sender.send(job());
        });
        let jobs = self.jobs.as_ref().expect("only dropping takes the queue away");
        match jobs.try_send(job) {
            Ok(()) => result.await.map_err(|_| PoolError::Failed),
            Err(TrySendError::Full(_)) => Err(PoolError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(PoolError::Failed),
        }
    }
}

impl Drop for SearchPool {
    /// Waits for the jobs under way, so that nothing they hold outlives the pool.
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting.lock().expect("receiving does not panic").recv();
        let Ok(job) = next else { return };
        // A panicking job must not take its thread along; its caller learns of it by the dropped channel.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a search panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_panic_harms_nobody() {
        let pool = Arc::new(SearchPool::new(1, 1).expect("a thread"));
        let panicked = pool.run(|| assert!(std::hint::black_box(false), "on purpose")).await;
        assert_eq!(panicked, Err(PoolError::Failed));

        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    let _ = started.send(());
                    gate.recv().is_ok()
                })
                .await
            }
        });
        running.await.expect("the thread took the job");
        let mut second = Box::pin(pool.run(|| 2));
        assert!(futures::poll!(&mut second).is_pending(), "waits in the queue");
        assert_eq!(pool.run(|| 3).await, Err(PoolError::Busy));
        release.send(()).expect("the job waits");
        assert_eq!(first.await.expect("joined"), Ok(true));
        assert_eq!(second.await, Ok(2));
    }
}
