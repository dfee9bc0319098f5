//! The bearer token of `/v1`.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Incoming;
use super::problem::Problem;
use crate::base::ports::Secret;
use crate::conductorone::verify::bearer;

/// Checks the token, in a time that does not depend on where a wrong one differs: digests are compared, which have one length.
pub(super) fn check(expected: &Secret, request: &Incoming) -> Result<(), Problem> {
    let given = bearer(request.header("authorization")).unwrap_or_default();
    let (given, expected) = (Sha256::digest(given), Sha256::digest(expected.expose()));
    if given.as_slice().ct_eq(expected.as_slice()).into() {
        return Ok(());
    }
    let mut problem = Problem::new(
        401,
        "unauthorized",
        "send the secret CONNECTOR_TOKEN of this Worker as: Authorization: Bearer <token>",
    );
    problem.headers.push(("WWW-Authenticate", "Bearer".to_owned()));
    Err(problem)
}
