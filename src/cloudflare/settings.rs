//! Which account, and with what its API is called.

use crate::base::ports::Secret;
use crate::base::remedy::set_secret;
use crate::base::settings::{Reader, base_url, secret};
use crate::model::id::AccountId;

/// Which account, and with what its API is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CLOUDFLARE_ACCOUNT_ID`: the account that is governed.
    pub account_id: AccountId,
    /// `CLOUDFLARE_API_TOKEN`: calls the Cloudflare API.
    pub token: Secret,
    /// `CLOUDFLARE_API_URL`: where that API is, without a slash at the end.
    pub url: String,
}

/// Cloudflare's API.
const URL: &str = "https://api.cloudflare.com/client/v4";

impl Settings {
    /// Reads them; `None` where one that is required is missing or wrong.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let account_id = reader.required(
            "CLOUDFLARE_ACCOUNT_ID",
            "set it to the account id: 32 hexadecimal digits, on the account's overview page under \"Account ID\"",
            |text| {
                text.parse::<AccountId>().map_err(|_| {
                    "must be 32 lower-case hexadecimal digits, as on the account's overview page under \"Account ID\""
                        .to_owned()
                })
            },
        );
        let token =
            reader.required("CLOUDFLARE_API_TOKEN", concat!("set it ", set_secret!("CLOUDFLARE_API_TOKEN")), secret);
        // Another service than the one that was meant is not to be called instead.
        let url = reader.protecting("CLOUDFLARE_API_URL", base_url).unwrap_or_else(|| URL.to_owned());
        Some(Self { account_id: account_id?, token: token?, url })
    }
}
