//! What comes to an operator from a vault, as functions over any bytes: none of them may panic. For the fuzzer alone.

use prost::Message;
use volar_proto::v1;

use crate::{convert, export_page};

/// Kinds of answers that [`answer`] knows.
pub const ANSWERS: usize = 5;

/// An answer of kind `which` from a vault, shown.
pub fn answer(which: usize, bytes: &[u8]) {
    match which % ANSWERS {
        0 => with(bytes, |response: v1::ExportSubjectResponse| {
            let page = export_page::page(&response);
            assert!(!page.contains("<script"), "a page takes nothing as markup");
            drop(export_page::data(&response));
        }),
        1 => with(bytes, |receipt: v1::ErasureReceipt| drop(convert::receipt_file(&receipt))),
        2 => with(bytes, |response: v1::ListSubjectsResponse| {
            for subject in &response.subjects {
                let row = convert::subject_row(subject);
                assert!(row.iter().all(|cell| !cell.chars().any(char::is_control)), "{row:?}");
                drop(convert::subject(subject));
            }
        }),
        3 => with(bytes, |response: v1::GalleryStatus| drop(convert::gallery(&response))),
        _ => with(bytes, |response: v1::ClaimResponse| drop(convert::claim(&response))),
    }
}

fn with<M: Message + Default>(bytes: &[u8], check: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        check(message);
    }
}
