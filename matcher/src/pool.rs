//! Threads for searches. A search computes for milliseconds: on the threads that serve connections it would hold up
//! every other call. Those that wait are done together, because together they take less time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use volar_core::template::Probe;

use crate::gallery::{Gallery, GalleryError};
use crate::parameters::{BATCH_MAX, SEARCHES_WAITING_MAX};
use crate::search::Searched;

/// Why a job was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Those that wait have waited too long already, or are too many.
    #[error("more searches are asked for than the search threads can do")]
    Busy,
    /// The job panicked.
    #[error("the search failed; the log of the matcher says why")]
    Failed,
}

/// A fixed number of threads and a bounded queue before them.
///
/// The bound is how long the first in the queue may have waited when another comes, not how many wait: after a moment
/// in which nothing ran, many come at once and are soon done, while a load that is too high has the first one wait.
pub struct Pool<Job, Answer> {
    queue: Arc<Queue<Job, Answer>>,
    wait_max: Duration,
    threads: Vec<JoinHandle<()>>,
}

struct Queue<Job, Answer> {
    waiting: Mutex<Waiting<Job, Answer>>,
    changed: Condvar,
}

struct Waiting<Job, Answer> {
    asked: VecDeque<Asked<Job, Answer>>,
    /// No more will come.
    closed: bool,
}

struct Asked<Job, Answer> {
    since: Instant,
    job: Job,
    asker: oneshot::Sender<Answer>,
}

/// The pool that searches galleries.
pub type SearchPool = Pool<(Arc<Gallery>, Probe), Result<Searched, GalleryError>>;

impl SearchPool {
    /// Starts `threads` threads; another search is refused when the first that waits for them has waited `wait_max`.
    pub fn searching(threads: usize, wait_max: Duration) -> std::io::Result<Self> {
        Self::new(threads, wait_max, search)
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
    /// Starts `threads` threads, each of which does jobs by `work`, an answer for each; another job is refused when the
    /// first that waits has waited `wait_max`.
    pub fn new(
        threads: usize,
        wait_max: Duration,
        work: impl Fn(&[Job]) -> Vec<Answer> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let waiting = Mutex::new(Waiting { asked: VecDeque::new(), closed: false });
        let queue = Arc::new(Queue { waiting, changed: Condvar::new() });
        let work = Arc::new(work);
        let mut pool = Self { queue, wait_max, threads: Vec::with_capacity(threads) };
        for number in 0..threads {
            let (queue, work) = (pool.queue.clone(), work.clone());
            let run = move || queue.take_turns(&*work);
            pool.threads.push(std::thread::Builder::new().name(format!("search-{number}")).spawn(run)?);
        }
        Ok(pool)
    }

    /// Does `job` on one of the threads.
    pub async fn run(&self, job: Job) -> Result<Answer, PoolError> {
        let (asker, answer) = oneshot::channel();
        self.queue.push(Asked { since: Instant::now(), job, asker }, self.wait_max)?;
        answer.await.map_err(|_| PoolError::Failed)
    }
}

impl<Job, Answer> Drop for Pool<Job, Answer> {
    /// Waits for the jobs asked for, so that nothing they hold outlives the pool.
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl<Job, Answer> Queue<Job, Answer> {
    fn lock(&self) -> MutexGuard<'_, Waiting<Job, Answer>> {
        self.waiting.lock().expect("nothing panics under the lock")
    }

    fn push(&self, asked: Asked<Job, Answer>, wait_max: Duration) -> Result<(), PoolError> {
        let mut waiting = self.lock();
        let late = waiting.asked.front().is_some_and(|first| asked.since.duration_since(first.since) >= wait_max);
        if late || waiting.asked.len() >= SEARCHES_WAITING_MAX {
            return Err(PoolError::Busy);
        }
        waiting.asked.push_back(asked);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// The first that waits and those behind it, but for those whose asker has hung up; none when no more will come.
    fn next(&self) -> Option<(Vec<Job>, Vec<oneshot::Sender<Answer>>)> {
        let mut waiting = self.lock();
        loop {
            waiting = self
                .changed
                .wait_while(waiting, |waiting| waiting.asked.is_empty() && !waiting.closed)
                .expect("nothing panics under the lock");
            if waiting.asked.is_empty() {
                return None;
            }
            let wanted = std::iter::from_fn(|| waiting.asked.pop_front()).filter(|asked| !asked.asker.is_closed());
            let (jobs, askers): (Vec<_>, Vec<_>) = wanted.take(BATCH_MAX).map(|asked| (asked.job, asked.asker)).unzip();
            if !jobs.is_empty() {
                return Some((jobs, askers));
            }
        }
    }

    /// Does what waits, until there is no more to come.
    fn take_turns(&self, work: &impl Fn(&[Job]) -> Vec<Answer>) {
        while let Some((jobs, askers)) = self.next() {
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
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A pool of one thread that tells what it is about to do, and waits to be released before each batch.
    fn held(wait_max: Duration) -> (Pool<i32, i32>, Receiver<Vec<i32>>, Sender<()>) {
        let (release, gate) = channel::<()>();
        let (started, running) = channel();
        let gate = Mutex::new(gate);
        let work = move |jobs: &[i32]| {
            assert!(!jobs.contains(&0), "on purpose");
            started.send(jobs.to_vec()).expect("the test waits");
            gate.lock().expect("one thread").recv().expect("the test releases");
            jobs.iter().map(|job| 10 * job).collect()
        };
        (Pool::new(1, wait_max, work).expect("a thread"), running, release)
    }

    #[tokio::test]
    async fn those_that_wait_are_done_together_and_a_panic_harms_nobody() {
        let (pool, running, release) = held(Duration::from_secs(600));
        assert_eq!(pool.run(0).await, Err(PoolError::Failed));

        let mut asked: Vec<_> = (1..=3).map(|job| Box::pin(pool.run(job))).collect();
        assert!(futures::poll!(&mut asked[0]).is_pending());
        assert_eq!(running.recv().expect("the thread took the job"), [1]);
        for waiting in &mut asked[1..] {
            assert!(futures::poll!(waiting).is_pending(), "waits in the queue");
        }
        release.send(()).expect("the job waits");
        assert_eq!(running.recv().expect("the thread took the others"), [2, 3], "together");
        release.send(()).expect("they wait");
        let answers = futures::future::join_all(asked).await;
        assert_eq!(answers, [Ok(10), Ok(20), Ok(30)]);
    }

    #[tokio::test]
    async fn a_queue_whose_first_has_waited_too_long_refuses_and_takes_again_once_it_moves() {
        let wait_max = Duration::from_millis(20);
        let (pool, running, release) = held(wait_max);
        let mut first = Box::pin(pool.run(1));
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(running.recv().expect("the thread took the job"), [1]);

        let mut second = Box::pin(pool.run(2));
        assert!(futures::poll!(&mut second).is_pending(), "nobody waits before it");
        std::thread::sleep(wait_max);
        assert_eq!(pool.run(3).await, Err(PoolError::Busy));

        release.send(()).expect("the job waits");
        assert_eq!(first.await, Ok(10));
        assert_eq!(running.recv().expect("the thread took the next"), [2]);
        let mut fourth = Box::pin(pool.run(4));
        assert!(futures::poll!(&mut fourth).is_pending(), "nobody waits before it");
        for _ in 0..2 {
            release.send(()).expect("the job waits");
        }
        assert_eq!((second.await, fourth.await), (Ok(20), Ok(40)));
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_number_too() {
        let (pool, running, release) = held(Duration::from_secs(600));
        let mut asked: Vec<_> = (0..=SEARCHES_WAITING_MAX).map(|_| Box::pin(pool.run(1))).collect();
        assert!(futures::poll!(&mut asked[0]).is_pending());
        running.recv().expect("the thread took the job");
        for waiting in &mut asked[1..] {
            assert!(futures::poll!(waiting).is_pending(), "waits in the queue");
        }
        assert_eq!(pool.run(1).await, Err(PoolError::Busy));
        drop(release);
        drop(asked);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_done() {
        let (pool, running, release) = held(Duration::from_secs(600));
        let mut asked: Vec<_> = (1..=3).map(|job| Box::pin(pool.run(job))).collect();
        assert!(futures::poll!(&mut asked[0]).is_pending());
        assert_eq!(running.recv().expect("the thread took the job"), [1]);
        for waiting in &mut asked[1..] {
            assert!(futures::poll!(waiting).is_pending(), "waits in the queue");
        }
        drop(asked.remove(1));
        release.send(()).expect("the job waits");
        assert_eq!(running.recv().expect("the thread took the next"), [3]);
        release.send(()).expect("the job waits");
        assert_eq!(futures::future::join_all(asked).await, [Ok(10), Ok(30)]);
    }
}
