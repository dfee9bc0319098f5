//! Pages: the parameters, their caps, and `result_info`.

use serde_json::{Value, json};

use super::envelope::{Failure, failure};
use super::spec::{Behaviour, OutOfRange};
use crate::http::Request;

/// The page sizes a list allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) default: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// Members, roles, permission groups and tokens: 5 to 50, else 20.
pub(super) const ORDINARY: Sizes = Sizes { default: 20, min: 5, max: 50 };
/// User groups and their members: 1 to 500, else 100.
pub(super) const USER_GROUPS: Sizes = Sizes { default: 100, min: 1, max: 500 };

/// Which page of which size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    page: u64,
    per_page: u64,
}

impl Window {
    /// The page a request asks for.
    pub(super) fn of(request: &Request, sizes: Sizes, behaviour: &Behaviour) -> Result<Self, Failure> {
        let number = |name: &str, default: u64, min: u64, max: u64| {
            let Some(text) = request.param(name) else { return Ok(default) };
            let value = text.parse::<i128>().ok();
            let inside = value.and_then(|value| u64::try_from(value).ok()).filter(|value| (min..=max).contains(value));
            match (inside, behaviour.out_of_range, value) {
                (Some(value), _, _) => Ok(value),
                (None, OutOfRange::Refuse, _) => {
                    Err(failure(400, 1001, format!("Invalid request: {name} must be between {min} and {max}")))
                }
                (None, OutOfRange::Clamp, Some(value)) => Ok(if value < i128::from(min) { min } else { max }),
                (None, OutOfRange::Clamp, None) => Ok(default),
            }
        };
        // Far beyond any account's last page, and small enough to multiply.
        let last_page = u64::from(u32::MAX);
        Ok(Self {
            page: number("page", 1, 1, last_page)?,
            per_page: number("per_page", sizes.default, sizes.min, sizes.max)?,
        })
    }

    /// This page of a list.
    pub(super) fn slice<T>(self, items: impl Iterator<Item = T>) -> Vec<T> {
        let skipped = usize::try_from((self.page - 1) * self.per_page).unwrap_or(usize::MAX);
        items.skip(skipped).take(usize::try_from(self.per_page).unwrap_or(usize::MAX)).collect()
    }

    /// `result_info` of a page with `count` items out of `total`.
    pub(super) fn info(self, count: usize, total: usize) -> Value {
        let pages = (total as u64).div_ceil(self.per_page);
        json!({
            "page": self.page, "per_page": self.per_page, "count": count, "total_count": total, "total_pages": pages,
        })
    }
}
