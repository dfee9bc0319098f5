//! Whose API token the connector calls with: what tells its own entries of the audit log from others', and its own token in the list.

use crate::base::hash::sha256_hex;
use crate::base::ports::{Clock, Http, Sql, SqlError};
use crate::cloudflare::{ApiError, Client, Settings, TokenKind};
use crate::model::id::{TokenId, UserId};
use crate::model::resource::Token;

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

impl Identity {
    /// Who lists tokens by it: the person whose token it is, by the digits of their id, and where nobody's is known, the token itself.
    pub(crate) const fn lister(self) -> TokenId {
        match self.owner {
            Owner::User(user) => TokenId::of_bytes(user.bytes()),
            Owner::Account | Owner::Unknown => self.token,
        }
    }
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS identity ( \
            id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL DEFAULT 1, secret TEXT NOT NULL, \
            token TEXT NOT NULL, owner TEXT)",
        &[],
    )
}

/// Who the token is. Asked once for each token, and kept: neither its id nor its owner ever changes. The secret itself is not
/// kept; a part of its hash tells whether it is still the same one.
pub async fn identity<P: Http + Clock + Sql>(ports: &P, client: &Client<'_, P>) -> Result<Identity, ApiError> {
    let secret = secret(client.settings());
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
        // A permission may be added: whose it is is asked again, which it is is not.
        Owner::Unknown => Some(String::new()),
    };
    ports.query(
        "INSERT OR REPLACE INTO identity (id, secret, token, owner) VALUES (1, ?, ?, ?)",
        &[secret.into(), verified.id.to_string().into(), text.into()],
    )?;
    Ok(Identity { token: verified.id, owner })
}

/// What tells one token from another, and is not the token.
fn secret(settings: &Settings) -> String {
    sha256_hex(settings.token.expose().as_bytes()).chars().take(32).collect()
}

/// What is known of the token, where nothing is left to be asked.
fn kept(sql: &dyn Sql, secret: &str) -> Result<Option<Identity>, SqlError> {
    Ok(asked(sql, secret)?.filter(|known| known.owner != Owner::Unknown))
}

fn asked(sql: &dyn Sql, secret: &str) -> Result<Option<Identity>, SqlError> {
    let rows = sql.query("SELECT token, owner FROM identity WHERE id = 1 AND secret = ?", &[secret.into()])?;
    let Some([token, owner]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let Some(token) = token.text().and_then(|token| token.parse().ok()) else { return Ok(None) };
    let owner = match owner.text() {
        None => Owner::Account,
        Some(owner) => owner.parse().map_or(Owner::Unknown, Owner::User),
    };
    Ok(Some(Identity { token, owner }))
}

/// Whose token it is, as far as that was asked before.
pub(crate) fn known_owner(sql: &dyn Sql, settings: &Settings) -> Result<Option<Owner>, SqlError> {
    Ok(kept(sql, &secret(settings))?.map(|known| known.owner))
}

/// The token that the connector calls with. Asked once for each token; `None` where it cannot be told now.
pub(crate) async fn own_token<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
) -> Result<Option<Identity>, SqlError> {
    if let Some(known) = asked(ports, &secret(client.settings()))? {
        return Ok(Some(known));
    }
    match identity(ports, client).await {
        Ok(identity) => Ok(Some(identity)),
        Err(ApiError::Storage(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether a list of tokens may be short, which Cloudflare does not say (`reference/tokens.md` b.1): it lacks the account's own that the connector
/// calls with, or has the connector's own alone, which lacks the permission to list others. Where it is not known which is its own, the only one
/// may be. A person's token is on no such list.
pub(crate) fn may_be_short(tokens: &[Token], own: Option<Identity>) -> bool {
    const MAY_LIST: [&str; 2] = ["account api tokens read", "account api tokens write"];
    let Some(only) = tokens.iter().find(|token| own.is_none_or(|own| own.token == token.id)) else {
        return own.is_some_and(|own| own.owner == Owner::Account);
    };
    let may_list = only.permission_groups().iter().any(|name| MAY_LIST.contains(&name.to_ascii_lowercase().as_str()));
    tokens.len() == 1 && !may_list && only.unlisted == 0
}

/// Whether a token may be shown fewer tokens than were listed before, by another's ([`Identity::lister`]): a person's may be shown that person's alone,
/// and of which nothing is known may be a person's.
pub(crate) fn may_be_shown_less(own: Option<Identity>, listed_by: Option<TokenId>) -> bool {
    let is_less =
        |by: TokenId| own.is_none_or(|own| own.owner != Owner::Account && ![own.token, own.lister()].contains(&by));
    listed_by.is_some_and(is_less)
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
