//! Who is asking, and whether they may (`reference/cloudflare.md` 1.1, 1.6, 3.2).

use std::collections::BTreeSet;

use super::envelope::{Failure, failure};
use super::route::{Call, Permission, Route, is_id};
use super::spec::{Behaviour, Denial};
use super::visit::{Credential, Owner};
use super::{Cloudflare, lock};
use crate::http::Request;

/// The token in a request, if the header has the right form: `Bearer` and at least 40 characters.
pub(super) fn bearer(request: &Request) -> Option<&str> {
    let token = request.header("authorization")?.strip_prefix("Bearer ")?;
    let right = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (token.len() >= 40 && token.bytes().all(right)).then_some(token)
}

/// The known credential of a request.
pub(super) fn authenticate<'a>(
    credentials: &'a [Credential],
    request: &Request,
    route: Option<Route>,
) -> Result<&'a Credential, Failure> {
    let verifying = route.is_some_and(Route::is_verify);
    if verifying && request.header("authorization").is_none() {
        return Err(failure(400, 1001, "Missing API Token"));
    }
    let Some(token) = bearer(request) else {
        return Err(
            failure(400, 6003, "Invalid request headers").caused_by(6111, "Invalid format for Authorization header")
        );
    };
    let known = credentials.iter().find(|credential| credential.secret == token);
    match known {
        Some(credential) if verifying || credential.status == "active" => Ok(credential),
        _ if verifying => Err(failure(401, 1000, "Invalid API Token")),
        _ => Err(failure(401, 10_000, "Authentication error")),
    }
}

/// Whether the caller may make this call, on this account.
pub(super) fn authorize(
    caller: &Credential,
    call: &Call,
    account_id: &str,
    behaviour: &Behaviour,
) -> Result<(), Failure> {
    let malformed =
        |id: &str| failure(404, 7003, format!("Could not route to /{id}, perhaps your object identifier is invalid?"));
    for id in call.account.iter().chain(&call.ids) {
        if !is_id(id) {
            return Err(malformed(id));
        }
    }
    if call.account.as_deref().is_some_and(|id| id != account_id) {
        return Err(denied(behaviour.foreign_account));
    }
    // A caller without a user has no `/user`, whatever its permissions; the route says so itself.
    let is_about_the_user = call.route == Route::GetUser && caller.owner == Owner::Account;
    let needed = call.route.permission().filter(|_| !is_about_the_user);
    let write = call.route.is_write().then_some(Permission::Write);
    if needed.into_iter().chain(write).all(|permission| caller.permissions.contains(&permission)) {
        Ok(())
    } else {
        Err(denied(behaviour.missing_permission))
    }
}

fn denied(how: Denial) -> Failure {
    match how {
        Denial::Unauthorized => failure(403, 9109, "Unauthorized to access requested resource"),
        Denial::AuthenticationError => failure(403, 10_000, "Authentication error"),
        Denial::NoRoute => {
            failure(404, 7003, "Could not route to that path, perhaps your object identifier is invalid?")
        }
    }
}

impl Cloudflare {
    /// The account token that is accepted.
    pub fn token(&self) -> String {
        self.credential(|credential| credential.owner == Owner::Account, |credential| credential.secret.clone())
    }

    /// The id of the account token.
    pub fn token_id(&self) -> String {
        self.credential(|credential| credential.owner == Owner::Account, |credential| credential.id.clone())
    }

    /// A user token (`cfut_`) that is accepted as well; it belongs to the first Super Administrator.
    pub fn user_token(&self) -> String {
        self.credential(|credential| credential.owner != Owner::Account, |credential| credential.secret.clone())
    }

    /// Another token of that user's, which may do the same.
    pub fn another_user_token(&self) -> String {
        let mut state = lock(&self.shared.state);
        let (id, secret) = (state.account.new_id(), "cfut_another0simulated0user0token0000000000000000000");
        let known = state.credentials.iter().find(|credential| credential.owner != Owner::Account).cloned();
        state.credentials.extend(known.map(|known| Credential { secret: secret.to_owned(), id, ..known }));
        secret.to_owned()
    }

    fn credential(&self, which: impl Fn(&Credential) -> bool, what: impl Fn(&Credential) -> String) -> String {
        lock(&self.shared.state).credentials.iter().find(|credential| which(credential)).map(what).unwrap_or_default()
    }

    /// Sets what both tokens may do.
    pub fn set_permissions(&self, permissions: impl IntoIterator<Item = Permission>) {
        let permissions: BTreeSet<Permission> = permissions.into_iter().collect();
        for credential in &mut lock(&self.shared.state).credentials {
            credential.permissions.clone_from(&permissions);
        }
    }

    /// Takes one permission from both tokens.
    pub fn revoke_permission(&self, permission: Permission) {
        for credential in &mut lock(&self.shared.state).credentials {
            credential.permissions.remove(&permission);
        }
    }

    /// Gives both tokens one permission.
    pub fn allow_permission(&self, permission: Permission) {
        for credential in &mut lock(&self.shared.state).credentials {
            credential.permissions.insert(permission);
        }
    }

    /// Sets both tokens' status: `active`, `disabled` or `expired`.
    pub fn set_token_status(&self, status: &'static str) {
        for credential in &mut lock(&self.shared.state).credentials {
            credential.status = status;
        }
    }
}
