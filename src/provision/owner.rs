//! Whose token the connector calls with. A person's own token goes when that person goes, so their account and their Super
//! Administrator role are not taken away with it; an account's token is nobody's.

use crate::cloudflare::{ApiError, Client, TokenKind};
use crate::config::Config;
use crate::hash::sha256_hex;
use crate::ports::{Clock, Http, Sql, SqlError, SqlValue};

/// The connector's token, as far as Cloudflare tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The token's id.
    pub(super) id: String,
    /// The user whose token it is; `None` where it is the account's own, or where the token may not read whose it is.
    pub(super) user: Option<String>,
}

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS own_token (fingerprint TEXT PRIMARY KEY, id TEXT NOT NULL, user_id TEXT) WITHOUT ROWID",
        &[],
    )?;
    Ok(())
}

/// What is known of the token; asked of Cloudflare once for each token.
pub(super) async fn of_token<P: Http + Clock + Sql>(
    ports: &P,
    config: &Config,
    client: &Client<'_, P>,
) -> Result<Token, ApiError> {
    // The digest of a random text of 40 characters tells nothing of it.
    let fingerprint = sha256_hex(config.cloudflare_token.expose().as_bytes());
    let rows =
        ports.query("SELECT id, user_id FROM own_token WHERE fingerprint = ?", &[fingerprint.as_str().into()])?;
    if let Some([id, user]) = rows.first().map(Vec::as_slice)
        && let Some(id) = id.text()
    {
        return Ok(Token { id: id.to_owned(), user: user.text().map(str::to_owned) });
    }
    let verified = client.verify_token().await?;
    let user = match verified.kind {
        TokenKind::Account => None,
        TokenKind::User => match client.user_id().await {
            Ok(user) => Some(user.to_string()),
            // Without `User Details: Read` nobody can say.
            Err(ApiError::Forbidden(_) | ApiError::Unauthorized(_) | ApiError::NotFound(_)) => None,
            Err(error) => return Err(error),
        },
    };
    let token = Token { id: verified.id.to_string(), user };
    ports.query("DELETE FROM own_token", &[])?;
    ports.query(
        "INSERT INTO own_token (fingerprint, id, user_id) VALUES (?, ?, ?)",
        &[fingerprint.into(), token.id.as_str().into(), SqlValue::from(token.user.clone())],
    )?;
    Ok(token)
}
