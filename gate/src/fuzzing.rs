//! What comes to a gate from its servers, as functions over any bytes: none of them may panic. For the fuzzer alone.

use prost::Message;
use volar_proto::v1;

use crate::convert;
use crate::event::Decision;

/// An answer of matcher (even `which`) or vault (odd).
pub fn answer(which: usize, bytes: &[u8]) {
    if which.is_multiple_of(2) {
        let Ok(response) = v1::IdentifyResponse::decode(bytes) else { return };
        let Ok(answer) = convert::answer(response) else { return };
        assert_eq!(answer.ticket.is_some(), answer.decision == Decision::Admitted, "a ticket is an admission");
        assert!(answer.reason.len() <= 64 && answer.reason.is_ascii(), "{}", answer.reason);
    } else if let Ok(response) = v1::GetProtectionResponse::decode(bytes) {
        drop(convert::protection(&"members".parse().expect("a slug"), response));
    }
}
