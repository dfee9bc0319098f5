//! API tokens: those the account owns, and the one this connector calls with (`reference/cloudflare.md` 1.6).

use serde::Deserialize;

use super::SIZES;
use super::client::{Call, Client, Page, Record, filled, id, required};
use super::error::ApiError;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::time::Timestamp;
use crate::model::id::{TokenId, UserId};

/// An API token that the account owns. Its secret is not in any answer that is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token's id.
    pub id: TokenId,
    /// The token's name.
    pub name: String,
    /// `active`, `disabled`, `expired`.
    pub status: String,
    /// When it was issued.
    pub issued_on: Option<Timestamp>,
    /// When it expires.
    pub expires_on: Option<Timestamp>,
    /// When it was last used.
    pub last_used_on: Option<Timestamp>,
}

/// Whose token a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The account's own; it stays when people leave.
    Account,
    /// A person's; it goes when the person goes, and shares the person's request budget.
    User,
}

/// What Cloudflare says of the token that this connector calls with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenVerification {
    /// The token's id.
    pub id: TokenId,
    /// `active`, `disabled`, `expired`.
    pub status: String,
    /// When it expires.
    pub expires_on: Option<Timestamp>,
    /// Whose it is.
    pub kind: TokenKind,
}

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// One page of the account's tokens. A token that may only list itself sees only itself here, without any sign of it.
    pub async fn tokens_page(&self, page: u32) -> Result<Page<TokenRecord>, ApiError> {
        self.page_of(page, &SIZES, |page, size| {
            self.account_path(&format!("/tokens?page={page}&per_page={size}&direction=asc"))
        })
        .await
    }

    /// Asks whether the connector's token is valid, and whose it is. Each kind has a route of its own, and the other kind is
    /// refused there with code 1000; a token in the older form without a prefix is tried on both.
    pub async fn verify_token(&self) -> Result<TokenVerification, ApiError> {
        let token = self.settings().token.expose();
        if !token.starts_with("cfut_") {
            let verified = self.object::<Verified>(Call::get(self.account_path("/tokens/verify"))).await;
            match verified {
                Ok(verified) => return Ok(verified.of(TokenKind::Account)),
                Err(error) if token.starts_with("cfat_") => return Err(error),
                Err(error) if error.is_retryable() => return Err(error),
                Err(_) => {}
            }
        }
        let verified = self.object::<Verified>(Call::get("/user/tokens/verify".to_owned())).await?;
        Ok(verified.of(TokenKind::User))
    }

    /// The person whose token this is. An account's token has nobody, and a user's may lack the permission to tell
    /// (*User Details: Read*): both are refused.
    pub async fn token_owner(&self) -> Result<UserId, ApiError> {
        self.object::<Owner>(Call::get("/user".to_owned())).await.map(|owner| owner.0)
    }
}

struct Owner(UserId);

#[derive(Deserialize)]
pub(super) struct OwnerWire {
    id: Option<String>,
}

impl Record for Owner {
    type Wire = OwnerWire;

    fn read(wire: OwnerWire) -> Result<Self, String> {
        Ok(Self(id(wire.id.as_deref(), "id")?))
    }
}

struct Verified {
    id: TokenId,
    status: String,
    expires_on: Option<Timestamp>,
}

impl Verified {
    fn of(self, kind: TokenKind) -> TokenVerification {
        TokenVerification { id: self.id, status: self.status, expires_on: self.expires_on, kind }
    }
}

#[derive(Deserialize)]
pub(super) struct TokenWire {
    id: Option<String>,
    name: Option<String>,
    status: Option<String>,
    issued_on: Option<String>,
    expires_on: Option<String>,
    last_used_on: Option<String>,
}

/// A time that cannot be read counts as absent: nothing is decided by it.
fn time(text: Option<String>) -> Option<Timestamp> {
    text.and_then(|text| Timestamp::parse(&text))
}

impl Record for Verified {
    type Wire = TokenWire;

    fn read(wire: TokenWire) -> Result<Self, String> {
        Ok(Self {
            id: id(wire.id.as_deref(), "id")?,
            status: required(wire.status, "status")?,
            expires_on: time(wire.expires_on),
        })
    }
}

impl Record for TokenRecord {
    type Wire = TokenWire;

    fn read(wire: TokenWire) -> Result<Self, String> {
        let id: TokenId = id(wire.id.as_deref(), "id")?;
        Ok(Self {
            id,
            name: filled(wire.name).unwrap_or_else(|| id.to_string()),
            status: filled(wire.status).unwrap_or_else(|| "unknown".to_owned()),
            issued_on: time(wire.issued_on),
            expires_on: time(wire.expires_on),
            last_used_on: time(wire.last_used_on),
        })
    }
}
