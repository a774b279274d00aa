//! What servers are sent, and what they keep.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use prost::Message;
use volar_core::challenge::{CANDIDATES_MAX, Challenge, ChallengeError};
use volar_core::clock::Timestamp;
use volar_core::randomness::SeededRandomness;
use volar_core::secret::Key;
use volar_core::shard::Shard;
use volar_core::ticket::{Ticket, TicketError, TicketKey};
use volar_matcher::convert;
use volar_proto::v1;
use volar_service::identity::Peer;

use crate::split;

pub(crate) fn record(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    volar_vault::fuzzing::record(which, bytes);
}

pub(crate) fn to_vault(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    volar_vault::fuzzing::message(which, bytes);
}

/// As a ticket or a challenge that somebody made up, then as the plain text of one that is sealed.
pub(crate) fn ticket(bytes: &[u8]) {
    let key = TicketKey { epoch: 7, key: Key::new([1; 32]) };
    challenge(bytes, &key);
    let now = Timestamp::from_unix_milliseconds(1_500);
    let open = |sealed: &[u8]| Ticket::open(sealed, now, |_| Some(key.clone()));
    assert!(open(bytes).is_err(), "made without the key");
    match open(&sealed_as("volar.v1 ticket", &key, bytes)) {
        Ok(ticket) => {
            assert!(now < ticket.expires_at);
            let again = ticket.seal(&key, &SeededRandomness::new(1));
            assert_eq!(open(&again), Ok(ticket));
        }
        Err(error) => assert_ne!(error, TicketError::Forged, "sealed under the key"),
    }
}

fn challenge(bytes: &[u8], key: &TicketKey) {
    let now = Timestamp::from_unix_milliseconds(1_500);
    let open = |sealed: &[u8]| Challenge::open(sealed, now, |_| Some(key.clone()));
    assert!(open(bytes).is_err(), "made without the key");
    match open(&sealed_as("volar.v1 second-factor challenge", key, bytes)) {
        Ok(challenge) => {
            assert!(now < challenge.expires_at && challenge.candidates().count() <= CANDIDATES_MAX);
            let again = challenge.seal(key, &SeededRandomness::new(1));
            assert_eq!(open(&again), Ok(challenge));
        }
        Err(error) => assert_ne!(error, ChallengeError::Forged, "sealed under the key"),
    }
}

fn sealed_as(what: &str, key: &TicketKey, plain: &[u8]) -> Vec<u8> {
    let head = [&[1], key.epoch.to_be_bytes().as_slice()].concat();
    let aad = [what.as_bytes(), &head].concat();
    let text =
        Aes256Gcm::new(key.key.expose().into()).encrypt(&Nonce::from([0; 12]), Payload { msg: plain, aad: &aad });
    [head, vec![0; 12], text.expect("short")].concat()
}

pub(crate) fn to_matcher(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    match which % 6 {
        0 => with(bytes, |request: v1::IdentifyRequest| {
            let _ = convert::digest(&request);
            drop(convert::call(request));
        }),
        1 => with(bytes, |mut request: v1::SearchRequest| {
            drop(convert::search(request.clone()));
            request.probe.iter_mut().for_each(convert::wipe);
            let probe = request.probe.and_then(|probe| probe.probe);
            let wiped = probe.is_none_or(|probe| probe.embedding.iter().all(|value| *value == 0.0));
            assert!(wiped, "the palm is wiped");
        }),
        2 => with(bytes, |response: v1::FollowResponse| drop(convert::item(response))),
        3 => with(bytes, |response: v1::SearchResponse| {
            let Some(v1::Shard { index, count }) = response.shard else { return };
            let Ok(shard) = Shard::new(index, count) else { return };
            if let Ok(candidates) = convert::candidates(shard, response.candidates) {
                assert!(candidates.iter().all(|found| shard.holds(found.subject) && found.score.value().is_finite()));
            }
        }),
        4 => with(bytes, |request: v1::VerifySecondFactorRequest| {
            let _ = convert::factor_digest(&request);
            drop(convert::factor_call(request));
        }),
        _ => drop(convert::gallery(&String::from_utf8_lossy(bytes))),
    }
}

fn with<M: Message + Default>(bytes: &[u8], check: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        check(message);
    }
}

pub(crate) fn certificate(bytes: &[u8]) {
    let written = |peer: Peer| assert_eq!(peer.to_string().parse::<Peer>().ok(), Some(peer), "a name names one peer");
    let _ = Peer::from_certificate(bytes).map(written);
    let _ = String::from_utf8_lossy(bytes).parse().map(written);
}
