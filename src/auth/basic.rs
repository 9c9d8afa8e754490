//! The `default` handler: HTTP Basic (RFC 7617).

use std::sync::Arc;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{Outcome, Presented};
use crate::{
    couch::{Users, login},
    error::Error,
    passwords::Passwords,
    user_ctx::{HandlerName, UserCtx},
};

/// Clients are known to leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks name and password against users and server admins.
#[derive(Debug)]
pub struct BasicHandler {
    /// Who exists.
    pub users: Arc<Users>,
    /// Checks what he knows.
    pub passwords: Arc<Passwords>,
}

impl BasicHandler {
    pub(super) async fn authenticate(&self, presented: &Presented) -> Result<Outcome, Error> {
        let Some(credentials) = presented
            .authorization
            .as_ref()
            .and_then(|header| credentials(header.as_bytes()))
            .transpose()?
        else {
            return Ok(Outcome::NotMine);
        };
        let Some(colon) = credentials.iter().position(|byte| *byte == b':') else {
            return Ok(Outcome::NotMine);
        };
        let (name, password) = (&credentials[..colon], &credentials[colon + 1..]);
        // What Fauxton and browsers send to be logged out.
        if (name, password) == (b"_", b"_") {
            return Ok(Outcome::NotMine);
        }
        let user = login(&self.users, &self.passwords, name, password).await?;
        // A second factor cannot travel in Basic (CouchDB: `reject_if_totp`).
        if user.totp {
            return Err(Error::WrongPassword);
        }
        let identity = Arc::clone(user.identity.as_ref().map_err(|error| *error)?);
        Ok(UserCtx { identity, handler: HandlerName::Default }.into())
    }
}

/// The decoded credentials of a Basic header; `None` for other schemes. CouchDB 3.5 takes only the
/// spelling `Basic`; the scheme is case-insensitive (RFC 9110 section 11.1).
fn credentials(header: &[u8]) -> Option<Result<Zeroizing<Vec<u8>>, Error>> {
    let blank = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = header.split_at(blank);
    scheme.eq_ignore_ascii_case(b"basic").then(|| {
        BASE64
            .decode(token.trim_ascii())
            .map(Zeroizing::new)
            .map_err(|_| Error::bad_request("Authorization header has invalid base64 value"))
    })
}
