//! Who must not be locked out by the connector: the owner of the API token that it calls with.

use crate::account::Stopped;
use crate::account::identity::{Owner, identity};
use crate::base::ports::{Clock, Http, Sql};
use crate::cloudflare::{Client, MemberRecord};
use crate::model::operation::Refusal;

/// The owner of the connector's own token is neither removed nor made less than Super Administrator: either would take the
/// token's rights away with it. Where nobody tells who that is, no Super Administrator is.
pub(super) async fn spared<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
    is_super_administrator: bool,
) -> Result<(), Stopped> {
    // What an account owns says so in its first letters.
    if client.settings().token.expose().starts_with("cfat_") {
        return Ok(());
    }
    spared_by(identity(ports, client).await?.owner, member, is_super_administrator)
}

/// The same, by whose token it is.
pub(super) fn spared_by(owner: Owner, member: &MemberRecord, is_super_administrator: bool) -> Result<(), Stopped> {
    let message = match owner {
        Owner::User(owner) if member.user_id == Some(owner) => format!(
            "{} owns the API token that this connector works with, which would lose its rights, so nothing was changed; give the connector an account's token (Manage Account > Account API Tokens), or change this in Cloudflare's dashboard.",
            member.email
        ),
        Owner::Unknown if is_super_administrator => format!(
            "The connector's API token is a person's and may not tell whose, so {} might be the owner, and nothing was changed; add the permission User Details: Read to the token, or give the connector an account's token.",
            member.email
        ),
        _ => return Ok(()),
    };
    Err(Stopped::refused(Refusal::TokenOwner, message))
}
