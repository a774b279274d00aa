//! What every call shares: a time limit, and an idempotency id that is made, and told, before it is sent.

use std::io::{self, Write};
use std::time::Duration;

use tonic::Request;
use volar_core::id::IdempotencyId;
use volar_core::randomness::Randomness;

/// Longer than the vault's own limit for an erasure, which waits for matchers: its answer, not ours, should end it.
const TIME_MAX: Duration = Duration::from_secs(35);

/// A request with the time limit.
pub(crate) fn limited<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIME_MAX);
    request
}

/// The id given, or a new one, told on standard error before it is sent: whoever sees the answer lost can repeat the
/// request without a second effect.
pub(crate) fn announced_id(given: Option<IdempotencyId>, randomness: &dyn Randomness) -> IdempotencyId {
    given.unwrap_or_else(|| {
        let id = IdempotencyId::random(randomness);
        let _ = writeln!(io::stderr(), "idempotency id {id} (to repeat this request: --idempotency-id {id})");
        id
    })
}
