//! Whose API token the connector calls with: what tells its own entries of the audit log from others', and who must not be
//! locked out by it.

use crate::account::Stopped;
use crate::base::hash::sha256_hex;
use crate::base::ports::{Clock, Http, Sql, SqlError};
use crate::cloudflare::{ApiError, Client, MemberRecord, TokenKind};
use crate::model::id::{TokenId, UserId};
use crate::model::operation::{Outcome, Refusal};

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The account's.
    Account,
    /// This person's.
    User(UserId),
    /// A person's, and the token may not tell whose.
    Unknown,
}

/// What is known of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub token: TokenId,
    /// Whose it is.
    pub owner: Owner,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS identity (
            id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL DEFAULT 1, secret TEXT NOT NULL,
            token TEXT NOT NULL, owner TEXT)",
        &[],
    )?;
    Ok(())
}

/// Who the token is. Asked once for each token, and kept: neither its id nor its owner ever changes. The secret itself is not
/// kept; a part of its hash tells whether it is still the same one.
pub async fn identity<P: Http + Clock + Sql>(ports: &P, client: &Client<'_, P>) -> Result<Identity, ApiError> {
    let secret: String = sha256_hex(client.settings().token.expose().as_bytes()).chars().take(32).collect();
    if let Some(known) = kept(ports, &secret)? {
        return Ok(known);
    }
    let verified = client.verify_token().await?;
    let owner = match verified.kind {
        TokenKind::Account => Owner::Account,
        TokenKind::User => match client.token_owner().await {
            Ok(user) => Owner::User(user),
            Err(error) if error.is_retryable() => return Err(error),
            Err(_) => Owner::Unknown,
        },
    };
    let text = match owner {
        Owner::Account => None,
        Owner::User(user) => Some(user.to_string()),
        // A permission may be added: it is asked again.
        Owner::Unknown => return Ok(Identity { token: verified.id, owner }),
    };
    ports.query(
        "INSERT OR REPLACE INTO identity (id, secret, token, owner) VALUES (1, ?, ?, ?)",
        &[secret.into(), verified.id.to_string().into(), text.into()],
    )?;
    Ok(Identity { token: verified.id, owner })
}

fn kept(sql: &dyn Sql, secret: &str) -> Result<Option<Identity>, SqlError> {
    let rows = sql.query("SELECT token, owner FROM identity WHERE id = 1 AND secret = ?", &[secret.into()])?;
    let Some([token, owner]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let Some(token) = token.text().and_then(|token| token.parse().ok()) else { return Ok(None) };
    Ok(match owner.text() {
        None => Some(Identity { token, owner: Owner::Account }),
        Some(owner) => owner.parse().ok().map(|owner| Identity { token, owner: Owner::User(owner) }),
    })
}

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
    let message = match identity(ports, client).await?.owner {
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
    Err(Stopped::Refused(Outcome::refused(Refusal::TokenOwner, message)))
}

#[cfg(test)]
mod tests {
    use super::{Owner, init, kept};
    use crate::base::fakes::Desk;
    use crate::base::ports::Sql as _;

    #[test]
    fn what_is_known_of_one_token_is_not_believed_of_another() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let id = "05784afa30c1afe1440e79d9351c7430";
        assert_eq!(kept(&desk, "a").unwrap(), None);
        desk.query("INSERT INTO identity (id, secret, token, owner) VALUES (1, 'a', ?1, ?1)", &[id.into()]).unwrap();
        assert_eq!(kept(&desk, "a").unwrap().unwrap().owner, Owner::User(id.parse().unwrap()));
        assert_eq!(kept(&desk, "b").unwrap(), None);
    }
}
