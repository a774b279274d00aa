//! People who come and go while others are identified: enrolled, erased because they end their visit without a way to
//! pay, and never admitted after that.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use volar_proto::v1::{CancelEnrollmentRequest, Decision, EnrollRequest, IdentifyRequest};
use volar_tests::client::{Clients, consent, enroll, fresh_id, identify};
use volar_tests::palms::{Palms, Person};

/// Kiosks at which they come and go.
const KIOSKS: usize = 8;
/// Guests that are enrolled at a time at one kiosk. The longest there is erased when one more comes.
const GUESTS: usize = 25;
/// Guests of one kiosk who have gone and will come again.
const AWAY: usize = 5;
/// The first guest's number, far from everyone else's.
const FIRST_GUEST: u64 = 1 << 40;
/// Of so many guests one shows the palm again after being erased.
const LOOK_AGAIN: usize = 10;

/// Guests who come and go until told to stop.
pub(crate) struct Churn {
    stop: CancellationToken,
    kiosks: Vec<JoinHandle<Gone>>,
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

/// What a guest's palms are to a kiosk and to a gate. Made before the load: making takes longer than serving.
struct Guest {
    enroll: EnrollRequest,
    identify: IdentifyRequest,
}

impl Guest {
    fn new(palms: &Palms, number: u64) -> Self {
        let person = Person::new(FIRST_GUEST + number);
        let lane = format!("lane-erased-{number}");
        Self { enroll: enroll(palms, &person, true), identify: identify(palms, &person, &lane) }
    }

    /// As if made now.
    fn enroll(&self) -> EnrollRequest {
        EnrollRequest { idempotency_id: fresh_id(), consent: Some(consent()), ..self.enroll.clone() }
    }

    fn identify(&self) -> IdentifyRequest {
        IdentifyRequest { idempotency_id: fresh_id(), ..self.identify.clone() }
    }
}

impl Churn {
    /// Starts `rate` changes a second: as many enrolments as erasures.
    pub(crate) fn start(clients: &Clients, palms: &Palms, rate: f64) -> Self {
        let stop = CancellationToken::new();
        let kiosk = |kiosk: usize| {
            let numbers = (kiosk * (GUESTS + AWAY)) as u64..((kiosk + 1) * (GUESTS + AWAY)) as u64;
            let guests = numbers.map(|number| Guest::new(palms, number)).collect();
            let pause = Duration::from_secs_f64(2.0 * KIOSKS as f64 / rate);
            tokio::spawn(come_and_go(clients.clone(), guests, pause, stop.clone()))
        };
        let kiosks = (0..KIOSKS).map(kiosk).collect();
        Self { stop, kiosks }
    }

    pub(crate) async fn stop(self) -> Gone {
        self.stop.cancel();
        let mut sum = Gone::default();
        for kiosk in self.kiosks {
            let gone = kiosk.await.expect("guests do not panic");
            sum.enrolled += gone.enrolled;
            sum.erased += gone.erased;
            sum.errors += gone.errors;
            sum.admitted += gone.admitted;
        }
        sum
    }
}

async fn come_and_go(clients: Clients, mut away: VecDeque<Guest>, pause: Duration, stop: CancellationToken) -> Gone {
    let (mut enrollment, mut gate) = (clients.enrollment(), clients.identification());
    let mut turns = interval(pause);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut gone, mut here) = (Gone::default(), VecDeque::new());
    while stop.run_until_cancelled(turns.tick()).await.is_some() {
        // Nobody is away once so many erasures have failed.
        if let Some(guest) = away.pop_front() {
            match enrollment.enroll(guest.enroll()).await {
                Ok(response) => {
                    gone.enrolled += 1;
                    here.push_back((response.into_inner().enrollment_id, guest));
                }
                Err(status) => {
                    gone.errors += 1;
                    println!("  enrolment: {status}");
                    away.push_back(guest);
                }
            }
        }
        if here.len() <= GUESTS {
            continue;
        }
        let Some((enrollment_id, guest)) = here.pop_front() else { continue };
        let request = CancelEnrollmentRequest { idempotency_id: fresh_id(), enrollment_id: enrollment_id.clone() };
        match enrollment.cancel_enrollment(request).await {
            Ok(_) => gone.erased += 1,
            Err(status) => {
                gone.errors += 1;
                println!("  erasure: {status}");
                here.push_back((enrollment_id, guest));
                continue;
            }
        }
        if gone.erased % LOOK_AGAIN == 0 {
            match gate.identify(guest.identify()).await {
                Ok(answer) => gone.admitted += usize::from(answer.into_inner().decision() == Decision::Admitted),
                Err(status) => {
                    gone.errors += 1;
                    println!("  look again: {status}");
                }
            }
        }
        away.push_back(guest);
    }
    gone
}
