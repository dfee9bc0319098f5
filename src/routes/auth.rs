//! The bearer tokens of `/v1` and `/scim/v2`, and what each of them may do.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::http::{Incoming, Problem};
use crate::base::ports::Secret;
use crate::base::remedy::set_secret;
use crate::base::settings::{Reader, secret};
use crate::base::words::words;
use crate::conductorone::verify::bearer;

/// The tokens that are accepted. Each right has two while one of them is rotated: the new one, and the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// `CONNECTOR_TOKEN` and `CONNECTOR_TOKEN_PREVIOUS`: everything.
    full: Vec<Secret>,
    /// `CONNECTOR_READ_TOKEN` and `CONNECTOR_READ_TOKEN_PREVIOUS`: lists, exports, status.
    read: Vec<Secret>,
}

words! {
    /// What a token lets its bearer do, under the name that the journal has for it.
    pub(super) enum Right {
        /// To read what is known of the account, and how the connector stands.
        Read = "read",
        /// Everything.
        Full = "full",
    }
}

const FULL: &str = "CONNECTOR_TOKEN";
const READ: &str = "CONNECTOR_READ_TOKEN";

/// 32 hexadecimal digits are 128 bits, beyond guessing; what people type by hand is not.
const MIN_LENGTH: usize = 32;

impl Tokens {
    /// Reads them; `None` where the full one is missing or wrong.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let full = reader.required(
            FULL,
            concat!(
                "set it ",
                set_secret!("CONNECTOR_TOKEN"),
                " (a long random text, such as the output of: openssl rand -hex 32)"
            ),
            token,
        );
        let previous = reader.optional("CONNECTOR_TOKEN_PREVIOUS", token);
        let read = reader.optional(READ, token);
        let read_previous = reader.optional("CONNECTOR_READ_TOKEN_PREVIOUS", token);
        let full: Vec<Secret> = [full?].into_iter().chain(previous).collect();
        let both = [(READ, read), ("CONNECTOR_READ_TOKEN_PREVIOUS", read_previous)];
        let mut reads = Vec::new();
        for (name, token) in both.into_iter().filter_map(|(name, token)| Some((name, token?))) {
            if full.contains(&token) {
                // Whoever was given it to read could do everything.
                reader.fatal(
                    name,
                    format!("must be another text than {FULL} and CONNECTOR_TOKEN_PREVIOUS, which may do everything"),
                );
            }
            reads.push(token);
        }
        Some(Self { full, read: reads })
    }

    /// The full token alone, for a Worker that is not configured.
    pub(super) fn guard(&self) -> Secret {
        self.full.first().cloned().unwrap_or_else(|| Secret::new(String::new()))
    }

    /// Whose text this is: the accepted token, and what it may do. It takes a time that does not depend on which token is right or where a
    /// wrong one differs: digests are compared, which have one length, and all of them are.
    pub(super) fn of(&self, given: &str) -> Option<(Right, &Secret)> {
        let given = Sha256::digest(given);
        let mut found = None;
        for (right, tokens) in [(Right::Read, &self.read), (Right::Full, &self.full)] {
            for token in tokens {
                if bool::from(Sha256::digest(token.expose()).as_slice().ct_eq(given.as_slice())) {
                    found = Some((right, token));
                }
            }
        }
        found
    }

    /// Whether a text is what a token with this right makes of something.
    pub(super) fn signed(&self, right: Right, signature: &str, sign: impl Fn(&Secret) -> String) -> bool {
        let tokens = if right == Right::Full { &self.full } else { &self.read };
        let none = Choice::from(0);
        tokens.iter().fold(none, |is, token| is | sign(token).as_bytes().ct_eq(signature.as_bytes())).into()
    }

    /// What the token of a request may do.
    pub(super) fn right(&self, request: &Incoming) -> Result<Right, Problem> {
        let given = bearer(request.header("authorization")).unwrap_or_default();
        self.of(given).map(|(right, _)| right).ok_or_else(|| {
            let mut problem = Problem::new(
                401,
                "unauthorized",
                "send the secret CONNECTOR_TOKEN of this Worker as: Authorization: Bearer <token>",
            );
            problem.headers.push(("WWW-Authenticate", "Bearer".to_owned()));
            problem
        })
    }
}

impl Right {
    /// Refuses where more is needed.
    pub(super) fn suffice(self, needed: Self) -> Result<(), Problem> {
        if self >= needed {
            return Ok(());
        }
        Err(Problem::new(
            403,
            "read_only_token",
            format!("the token that was sent is {READ}, which reads lists, exports and the status; this takes {FULL}"),
        ))
    }
}

/// A Worker without a configuration answers to its full token, where that at least is right.
pub(super) fn check_alone(token: &Secret, request: &Incoming) -> Result<(), Problem> {
    Tokens { full: vec![token.clone()], read: Vec::new() }.right(request)?.suffice(Right::Full)
}

fn token(text: &str) -> Result<Secret, String> {
    if text.len() < MIN_LENGTH {
        return Err(format!("must have at least {MIN_LENGTH} characters, such as the output of: openssl rand -hex 32"));
    }
    secret(text)
}

#[cfg(test)]
mod tests {
    use super::{Right, Tokens};
    use crate::base::ports::Method;
    use crate::base::settings::Reader;
    use crate::routes::http::{Body, Incoming};

    const NAMES: [&str; 4] =
        ["CONNECTOR_TOKEN", "CONNECTOR_TOKEN_PREVIOUS", "CONNECTOR_READ_TOKEN", "CONNECTOR_READ_TOKEN_PREVIOUS"];

    fn value(name: &str) -> String {
        format!("{name}-0123456789abcdef")
    }

    fn with(token: &str) -> Incoming {
        Incoming {
            origin: String::new(),
            method: Method::Get,
            path: "/v1/users".to_owned(),
            query: Vec::new(),
            headers: vec![("authorization".to_owned(), format!("Bearer {token}"))],
            body: Body::Read(Vec::new()),
        }
    }

    fn read(set: &[(&str, String)]) -> (Option<Tokens>, Vec<(&'static str, bool)>) {
        let lookup = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let mut reader = Reader::new(&lookup);
        let tokens = Tokens::read(&mut reader);
        (tokens, reader.problems.iter().map(|problem| (problem.name, problem.is_fatal())).collect())
    }

    #[test]
    fn each_token_has_its_right_and_the_one_before_has_it_too() {
        let all: Vec<_> = NAMES.iter().map(|name| (*name, value(name))).collect();
        let (tokens, problems) = read(&all);
        assert_eq!(problems, []);
        let tokens = tokens.unwrap();
        let rights = NAMES.map(|name| tokens.right(&with(&value(name))).unwrap());
        assert_eq!(rights, [Right::Full, Right::Full, Right::Read, Right::Read]);
        for name in NAMES {
            let read_only = name.contains("READ");
            assert!(tokens.right(&with(&value(name))).and_then(|right| right.suffice(Right::Read)).is_ok());
            let full = tokens
                .right(&with(&value(name)))
                .and_then(|right| right.suffice(Right::Full))
                .map_err(|problem| (problem.status, problem.code));
            assert_eq!(full, if read_only { Err((403, "read_only_token")) } else { Ok(()) });
        }
        for wrong in ["", "x", &value("CONNECTOR_TOKEN")[1..], &format!("{}x", value("CONNECTOR_TOKEN"))] {
            assert_eq!(tokens.right(&with(wrong)).unwrap_err().status, 401, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_is_not_set_is_not_accepted() {
        let (tokens, _) = read(&[("CONNECTOR_TOKEN", value("CONNECTOR_TOKEN"))]);
        let tokens = tokens.unwrap();
        assert!(tokens.right(&with(&value("CONNECTOR_TOKEN"))).and_then(|right| right.suffice(Right::Full)).is_ok());
        for other in ["CONNECTOR_TOKEN_PREVIOUS", "CONNECTOR_READ_TOKEN", ""] {
            assert_eq!(tokens.right(&with(&value(other))).unwrap_err().status, 401, "{other}");
        }
        assert_eq!(tokens.right(&with("")).unwrap_err().status, 401);
    }

    #[test]
    fn a_short_second_token_is_off_and_one_that_may_do_everything_stops_all() {
        let full = ("CONNECTOR_TOKEN", value("CONNECTOR_TOKEN"));
        let (tokens, problems) = read(&[full.clone(), ("CONNECTOR_READ_TOKEN", "short".to_owned())]);
        assert_eq!(problems, [("CONNECTOR_READ_TOKEN", false)]);
        let tokens = tokens.unwrap();
        assert_eq!(tokens.right(&with("short")).unwrap_err().status, 401);
        assert!(tokens.right(&with(&full.1)).and_then(|right| right.suffice(Right::Full)).is_ok());
        let same = ("CONNECTOR_READ_TOKEN", full.1.clone());
        assert_eq!(read(&[full, same]).1, [("CONNECTOR_READ_TOKEN", true)]);
    }
}
