//! Many people at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::client::{Clients, enroll};
use crate::palms::{Palms, Person};

/// Kiosks that enrol at the same time.
pub const KIOSKS: usize = 8;

/// Enrols the people of numbers 1 to `people`, two palms each, and waits until a matcher admits the last; says when the
/// last enrolment was acknowledged.
pub async fn enroll_crowd(clients: &Clients, palms: &Arc<Palms>, people: u64) -> Instant {
    let next = Arc::new(AtomicU64::new(1));
    let kiosks: Vec<_> = (0..KIOSKS)
        .map(|_| {
            let (next, palms, mut client) = (Arc::clone(&next), Arc::clone(palms), clients.enrollment());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number > people {
                        return;
                    }
                    let request = enroll(&palms, &Person::new(number), false);
                    client.enroll(request).await.expect("a good enrolment");
                }
            })
        })
        .collect();
    for kiosk in kiosks {
        kiosk.await.expect("a kiosk does not panic");
    }
    let acknowledged = Instant::now();
    clients.admit(palms, &Person::new(people)).await;
    acknowledged
}
