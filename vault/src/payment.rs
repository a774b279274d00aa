//! Payment references as they come in: tokens of a payment service provider, never a card's number.

use crate::error::VaultError;
use crate::format::v1::Payment;
use crate::parameters::{CARD_DIGITS, TEXT_BYTES_MAX};

/// Checks a payment reference from outside.
pub(crate) fn check(payment: &Payment) -> Result<(), VaultError> {
    let fields = [
        ("payment.provider", &payment.provider),
        ("payment.customer", &payment.customer),
        ("payment.payment_method", &payment.payment_method),
        ("payment.label", &payment.label),
    ];
    for (name, text) in fields {
        let optional = name == "payment.label";
        if text.is_empty() && !optional {
            return Err(VaultError::field(name, "must not be empty"));
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(VaultError::field(name, format!("must be at most {TEXT_BYTES_MAX} bytes")));
        }
        // Digits of other scripts would slip past the check below, and no token has any.
        let foreign = |c: char| c.is_control() || (!c.is_ascii() && (!optional || c.is_numeric()));
        if text.chars().any(foreign) {
            return Err(VaultError::field(name, "must be plain text, digits 0 to 9 only"));
        }
        if holds_card_number(text) {
            return Err(VaultError::CardNumberRefused { field: name });
        }
    }
    Ok(())
}

/// Whether `text` holds 12 to 19 digits, separators between them ignored, that pass the Luhn check (ISO/IEC 7812-1,
/// annex B).
///
/// Digits are taken in whole groups, so that a card number followed by its expiry date is found and a long numeric
/// token is not cut up until some part fits; only in a group longer than any card number is every part tried.
fn holds_card_number(text: &str) -> bool {
    let mut row: Vec<Vec<u8>> = Vec::new();
    let mut group = Vec::new();
    let mut found = false;
    for c in text.chars().chain(std::iter::once('x')) {
        match c.to_digit(10) {
            Some(digit) => group.push(digit as u8),
            None => {
                if !group.is_empty() {
                    row.push(std::mem::take(&mut group));
                }
                if c.is_alphanumeric() {
                    found |= row_holds_card_number(&row);
                    row.clear();
                }
            }
        }
    }
    found
}

fn row_holds_card_number(row: &[Vec<u8>]) -> bool {
    let longest = *CARD_DIGITS.end();
    let joined = (0..row.len()).flat_map(|first| (first..row.len()).map(move |last| row[first..=last].concat()));
    let parts = row
        .iter()
        .filter(|group| group.len() > longest)
        .flat_map(|group| CARD_DIGITS.flat_map(move |length| group.windows(length).map(<[u8]>::to_vec)));
    joined.chain(parts).any(|digits| CARD_DIGITS.contains(&digits.len()) && passes_luhn(&digits))
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| {
            let doubled = u32::from(digit) << (place % 2);
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|&digit| digit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(customer: &str) -> Payment {
        Payment {
            provider: "test".to_owned(),
            customer: customer.to_owned(),
            payment_method: "pm_1".to_owned(),
            label: "Test account anna".to_owned(),
        }
    }

    #[test]
    fn card_numbers_are_refused() {
        // Test numbers that card schemes and providers publish.
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "6304000000000000",
            "card 5555555555554444 exp 12/27",
            "4111 1111 1111 1111 12/27",
            "4111.1111_1111/1111",
            "00004111111111111111",
            "x4111111111111111x",
        ] {
            let error = check(&payment(card)).expect_err(card);
            assert!(matches!(error, VaultError::CardNumberRefused { field: "payment.customer" }), "{card}: {error}");
        }
    }

    #[test]
    fn tokens_are_taken() {
        for token in ["cus_NffrFeUfNV2Hib", "4242", "123456789", "4111111111111112", "a1-b2-c3", "2026-11-24 10:15"] {
            assert!(check(&payment(token)).is_ok(), "{token}");
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        for (bad, field) in
            [("", "customer"), (&*"x".repeat(201), "customer"), ("a\nb", "customer"), ("４１", "customer")]
        {
            let error = check(&payment(bad)).expect_err(bad);
            assert!(matches!(error, VaultError::Field { field: name, .. } if name.ends_with(field)), "{bad}: {error}");
        }
        let mut wide = payment("c");
        wide.label = "４１１１".to_owned();
        assert!(matches!(check(&wide), Err(VaultError::Field { field: "payment.label", .. })));
        wide.label = "Konto Jürgen".to_owned();
        assert!(check(&wide).is_ok());
    }
}
