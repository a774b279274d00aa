//! People who come and go while others are identified: enrolled, erased because they end their visit without a way to
//! pay, and never admitted after that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use volar_proto::v1::{CancelEnrollmentRequest, Decision};
use volar_tests::client::{Clients, enroll, fresh_id, identify};
use volar_tests::palms::{Palms, Person};

/// Guests that are enrolled at a time. The longest there is erased when one more comes.
const GUESTS: usize = 200;
/// The first guest's number, far from everyone else's.
const FIRST_GUEST: u64 = 1 << 40;
/// Of so many guests one shows the palm again after being erased.
const LOOK_AGAIN: u64 = 10;

/// Guests who come and go until told to stop.
pub(crate) struct Churn {
    stop: CancellationToken,
    task: JoinHandle<Gone>,
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Gone {
    pub(crate) enrolled: usize,
    pub(crate) erased: usize,
    pub(crate) errors: usize,
    /// Erased people whose palm opened a gate after the erasure had returned.
    pub(crate) admitted: usize,
}

impl Churn {
    /// Starts `rate` changes a second: as many enrolments as erasures.
    pub(crate) fn start(clients: &Clients, palms: &Arc<Palms>, rate: f64) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(come_and_go(clients.clone(), Arc::clone(palms), rate, stop.clone()));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Gone {
        self.stop.cancel();
        self.task.await.expect("guests do not panic")
    }
}

async fn come_and_go(clients: Clients, palms: Arc<Palms>, rate: f64, stop: CancellationToken) -> Gone {
    let (mut enrollment, mut gate) = (clients.enrollment(), clients.identification());
    let mut turns = interval(Duration::from_secs_f64(2.0 / rate));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut gone, mut guests) = (Gone::default(), VecDeque::new());
    for number in FIRST_GUEST.. {
        if stop.run_until_cancelled(turns.tick()).await.is_none() {
            break;
        }
        let guest = Person::new(number);
        match enrollment.enroll(enroll(&palms, &guest, true)).await {
            Ok(response) => {
                gone.enrolled += 1;
                guests.push_back((response.into_inner().enrollment_id, guest));
            }
            Err(status) => {
                gone.errors += 1;
                println!("  enrolment: {status}");
            }
        }
        if guests.len() <= GUESTS {
            continue;
        }
        let Some((enrollment_id, guest)) = guests.pop_front() else { continue };
        let request = CancelEnrollmentRequest { idempotency_id: fresh_id(), enrollment_id };
        match enrollment.cancel_enrollment(request).await {
            Ok(_) => gone.erased += 1,
            Err(status) => {
                gone.errors += 1;
                println!("  erasure: {status}");
                continue;
            }
        }
        if number % LOOK_AGAIN == 0 {
            match gate.identify(identify(&palms, &guest, &format!("lane-erased-{}", number % 8_192))).await {
                Ok(answer) => gone.admitted += usize::from(answer.into_inner().decision() == Decision::Admitted),
                Err(status) => {
                    gone.errors += 1;
                    println!("  look again: {status}");
                }
            }
        }
    }
    gone
}
