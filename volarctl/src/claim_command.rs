//! `volarctl claim`: what a checkout backend does with a ticket.

use std::io::{self, Read};

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use volar_core::randomness::Randomness;
use volar_proto::v1::ClaimRequest;
use volar_proto::v1::checkout_service_client::CheckoutServiceClient;

use crate::arguments::ClaimArguments;
use crate::call::{announced_id, limited};
use crate::connection::Server;
use crate::convert::{self, shown};
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, facts};
use crate::waiting::Waiting;

/// Longer text is no ticket.
const TICKET_TEXT_MAX: u64 = 4_096;

pub(crate) async fn run(
    arguments: &ClaimArguments,
    vault: &Server,
    randomness: &dyn Randomness,
) -> Result<Report, Failure> {
    let ticket = ticket(&arguments.ticket)?;
    let id = announced_id(arguments.idempotency_id, randomness);
    let waiting = Waiting::for_what("claiming");
    let request = ClaimRequest { idempotency_id: id.to_string(), ticket };
    let answered = CheckoutServiceClient::new(vault.channel.clone()).claim(limited(request)).await;
    let claim = answered.map_err(|status| Failure::of(&status, vault, Some(id)))?.into_inner();
    drop(waiting);
    let mut json = convert::claim(&claim);
    json["idempotency_id"] = id.to_string().into();
    let payment = claim.payment.unwrap_or_default();
    let text = facts(vec![
        ("pays with", shown(&payment.label)),
        ("provider", shown(&payment.provider)),
        ("customer", shown(&payment.customer)),
        ("payment method", shown(&payment.payment_method)),
        ("pseudonym here", shown(&claim.pseudonym)),
        ("ticket", shown(&claim.ticket_id)),
        (
            "admitted",
            format!("{} at {}, {}", moment::written(claim.admitted_at_unix_ms), shown(&claim.site), shown(&claim.lane)),
        ),
        ("claimed", moment::written(claim.claimed_at_unix_ms)),
    ]);
    Ok(Report::new(json, text))
}

fn ticket(argument: &str) -> Result<Vec<u8>, Failure> {
    let mut text = argument.to_owned();
    if argument == "-" {
        text.clear();
        io::stdin().lock().take(TICKET_TEXT_MAX).read_to_string(&mut text)?;
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let sealed = GeneralPurpose::new(&URL_SAFE, config).decode(text.trim()).map_err(|_| Failure::NoTicket)?;
    if sealed.is_empty() { Err(Failure::NoTicket) } else { Ok(sealed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_base64url_with_or_without_padding() {
        assert_eq!(ticket("-_8").expect("no padding"), [0xfb, 0xff]);
        assert_eq!(ticket(" -_8=\n").expect("padding and white space"), [0xfb, 0xff]);
        for bad in ["", "+/8", "no ticket", "a"] {
            assert!(matches!(ticket(bad), Err(Failure::NoTicket)), "{bad}");
        }
    }
}
