//! What devices and operators are sent.

use volar_core::clock::Timestamp;
use volar_palm::frame::{FRAME_MAX, Frame};

use crate::split;

pub(crate) fn answer(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    match which % 3 {
        0 => volar_gate::fuzzing::answer(which / 3, bytes),
        1 => volar_kiosk::fuzzing::answer(which / 3, bytes),
        _ => volarctl::fuzzing::answer(which / 3, bytes),
    }
}

pub(crate) fn picture(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes, Timestamp::from_unix_milliseconds(0), 0) else { return };
    assert!(frame.width() <= FRAME_MAX.0 && frame.height() <= FRAME_MAX.1);
    assert_eq!(frame.pixels().len(), frame.width() as usize * frame.height() as usize);
    assert!(frame.to_jpeg(64).is_ok());
}
