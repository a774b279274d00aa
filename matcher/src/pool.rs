//! Threads for searches. A search computes for milliseconds: on the threads that serve connections it would hold up
//! every other call. Those that wait are done together, because together they take less time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use volar_core::template::Probe;

use crate::gallery::{Gallery, GalleryError};
use crate::parameters::BATCH_MAX;
use crate::search::Searched;

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
pub struct Pool<Job, Answer> {
    jobs: Option<SyncSender<Asked<Job, Answer>>>,
    threads: Vec<JoinHandle<()>>,
}

type Asked<Job, Answer> = (Job, oneshot::Sender<Answer>);

/// The pool that searches galleries.
pub type SearchPool = Pool<(Arc<Gallery>, Probe), Result<Searched, GalleryError>>;

impl SearchPool {
    /// Starts `threads` threads; at most `queue` searches wait for them.
    pub fn searching(threads: usize, queue: usize) -> std::io::Result<Self> {
        Self::new(threads, queue, search)
    }
}

/// Searches; neighbours in the queue that ask for one gallery are done together.
fn search(jobs: &[(Arc<Gallery>, Probe)]) -> Vec<Result<Searched, GalleryError>> {
    let together = jobs.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other));
    let answers = together.flat_map(|jobs| {
        let probes: Vec<&Probe> = jobs.iter().map(|(_, probe)| probe).collect();
        match jobs[0].0.search_each(&probes) {
            Ok(searched) => searched.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); jobs.len()],
        }
    });
    answers.collect()
}

impl<Job: Send + 'static, Answer: Send + 'static> Pool<Job, Answer> {
    /// Starts `threads` threads, each of which does jobs by `work`, an answer for each; at most `queue` jobs wait.
    pub fn new(
        threads: usize,
        queue: usize,
        work: impl Fn(&[Job]) -> Vec<Answer> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(queue);
        let shared = Arc::new((Mutex::new(waiting), work));
        let start = |number| {
            let shared = shared.clone();
            let run = move || take_turns(&shared.0, &shared.1);
            std::thread::Builder::new().name(format!("search-{number}")).spawn(run)
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Does `job` on one of the threads.
    pub async fn run(&self, job: Job) -> Result<Answer, PoolError> {
        let (sender, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().expect("only dropping takes the queue away");
        match jobs.try_send((job, sender)) {
            Ok(()) => answer.await.map_err(|_| PoolError::Failed),
            Err(TrySendError::Full(_)) => Err(PoolError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(PoolError::Failed),
        }
    }
}

impl<Job, Answer> Drop for Pool<Job, Answer> {
    /// Waits for the jobs under way, so that nothing they hold outlives the pool.
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes the next job and those behind it that wait already, until there are no more to come.
fn take_turns<Job, Answer>(waiting: &Mutex<Receiver<Asked<Job, Answer>>>, work: &impl Fn(&[Job]) -> Vec<Answer>) {
    loop {
        let (jobs, askers): (Vec<_>, Vec<_>) = {
            let waiting = waiting.lock().expect("receiving does not panic");
            let Ok(first) = waiting.recv() else { return };
            std::iter::once(first).chain(waiting.try_iter().take(BATCH_MAX - 1)).unzip()
        };
        // A panicking job must not take its thread along; its caller learns of it by the dropped channel.
        let Ok(answers) = catch_unwind(AssertUnwindSafe(|| work(&jobs))) else {
            tracing::error!("a search panicked");
            continue;
        };
        for (asker, answer) in askers.into_iter().zip(answers) {
            // Whoever asked may have hung up.
            let _ = asker.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_panic_harms_nobody() {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (started, running) = std::sync::mpsc::channel();
        let gate = Mutex::new(gate);
        let work = move |jobs: &[i32]| {
            assert!(!jobs.contains(&0), "on purpose");
            started.send(jobs.to_vec()).expect("the test waits");
            gate.lock().expect("one thread").recv().expect("the test releases");
            jobs.iter().map(|job| 10 * job).collect()
        };
        let pool = Pool::new(1, 2, work).expect("a thread");
        assert_eq!(pool.run(0).await, Err(PoolError::Failed));

        let mut asked: Vec<_> = (1..=3).map(|job| Box::pin(pool.run(job))).collect();
        assert!(futures::poll!(&mut asked[0]).is_pending());
        assert_eq!(running.recv().expect("the thread took the job"), [1]);
        for waiting in &mut asked[1..] {
            assert!(futures::poll!(waiting).is_pending(), "waits in the queue");
        }
        assert_eq!(pool.run(4).await, Err(PoolError::Busy));
        release.send(()).expect("the job waits");
        assert_eq!(running.recv().expect("the thread took the others"), [2, 3], "together");
        release.send(()).expect("they wait");
        let answers = futures::future::join_all(asked).await;
        assert_eq!(answers, [Ok(10), Ok(20), Ok(30)]);
    }
}
