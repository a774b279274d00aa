//! What comes to a kiosk from its servers, as functions over any bytes: none of them may panic. For the fuzzer alone.

use prost::Message;
use volar_core::id::GalleryId;
use volar_proto::v1;

use crate::convert;
use crate::session::Identified;

/// Kinds of answers that [`answer`] knows.
pub const ANSWERS: usize = 5;

/// An answer of kind `which` from vault or matcher.
pub fn answer(which: usize, bytes: &[u8]) {
    match which % ANSWERS {
        0 => with(bytes, |response: v1::GetProtectionResponse| {
            with_gallery(|gallery| drop(convert::protection(gallery, response)))
        }),
        1 => with(bytes, |response: v1::EnrollResponse| {
            let _ = convert::enrollment_id(&response.enrollment_id);
            let _ = convert::standing(response.state());
        }),
        2 => with(bytes, |response: v1::GetEnrollmentResponse| drop(convert::standing(response.state()))),
        3 => with(bytes, |response: v1::IdentifyResponse| {
            let admitted = response.decision() == v1::Decision::Admitted;
            if let Ok(identified) = convert::identified(response) {
                assert_eq!(matches!(identified, Identified::Recognized(_)), admitted);
            }
        }),
        _ => with(bytes, |response: v1::WithdrawResponse| drop(convert::receipt(response.receipt))),
    }
}

fn with_gallery(check: impl FnOnce(&GalleryId)) {
    check(&"members".parse().expect("a slug"));
}

fn with<M: Message + Default>(bytes: &[u8], check: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        check(message);
    }
}
