//! Both ceremonies with the authenticator in software, and what each step refuses.

mod attestations;
mod ceremonies;
mod lists;
mod parsers;

use crate::{
    CreationOptions, Expected, Refusal, Registered, RelyingParty, RequestOptions, Requirement, software::Authenticator,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

const ORIGIN: &str = "https://id.example.org";
const CHALLENGE: [u8; 64] = [7; 64];
const HANDLE: &[u8] = b"handle of maja";

fn site() -> RelyingParty {
    RelyingParty::of(ORIGIN).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_777_636_800, 0).unwrap()
}

fn creation(user_verification: Requirement) -> Map<String, Value> {
    CreationOptions {
        relying_party: &site(),
        site_name: "Weir",
        user_handle: HANDLE,
        user_name: "maja",
        display_name: "Maja",
        challenge: &CHALLENGE,
        user_verification,
        resident_key: Requirement::Preferred,
        attachment: None,
        hints: &[],
    }
    .json()
}

fn request(allowed: &[Vec<u8>], user_verification: Requirement) -> Map<String, Value> {
    let relying_party = site();
    RequestOptions { relying_party: &relying_party, challenge: &CHALLENGE, allowed, user_verification, hints: &[] }
        .json()
}

fn registered(answer: &Map<String, Value>) -> Result<Registered, Refusal> {
    let relying_party = site();
    let expected = Expected { challenge: &CHALLENGE, relying_party: &relying_party, user_verification: false };
    crate::registration::verify(answer, &expected, now())
}

/// Has a credential made and verified.
fn enrol(authenticator: &mut Authenticator) -> Registered {
    registered(&authenticator.create(&creation(Requirement::Preferred), ORIGIN)).unwrap()
}
