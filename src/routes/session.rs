//! Sessions of the page at `/`: a browser that sent the token once goes on with a cookie, which scripts cannot read and other sites cannot send.
//!
//! A session is a text that the token itself signs: what it may do and when it ends. Nothing is stored, and a token that is no longer
//! accepted takes its sessions with it.

use super::asking::Ports;
use super::auth::{Right, Tokens};
use super::entry::{self, Access};
use super::http::{Answer, Content, Incoming, Problem};
use super::public_url;
use super::settings::Settings;
use crate::base::base64;
use crate::base::hash::{hex, hmac_sha256};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::object::object_of;
use crate::base::ports::{Level, Method, Secret};
use crate::base::time::Timestamp;

/// The prefix lets a browser take it only from the Worker's own host, over TLS, for every path.
const COOKIE: &str = "__Host-connector-session";

/// A working day. Whoever reviews longer than that signs in again.
const HOURS: i64 = 8;

/// The page sends it with every request. A form or an image of another site cannot, and a script of another site is asked first (CORS),
/// which the Worker never answers.
const PAGE_HEADER: &str = "x-connector-page";

/// A sign-in that fails is answered after this long.
const SLOWED_MILLIS: u32 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

/// What a session may do and when it ends.
struct Claim {
    right: Right,
    ends: i64,
    /// Whose it is, where Cloudflare Access said so.
    who: Option<String>,
}

impl Claim {
    /// Programs have the tokens too: that Access let somebody in is signed by what the Worker alone has as well.
    fn signature(&self, token: &Secret, own: &Secret) -> String {
        let (right, ends) = (self.right.as_str(), self.ends);
        let (text, key) = match &self.who {
            None => (format!("the page's session, version 1\n{right}\n{ends}"), token.expose().to_owned()),
            Some(who) => (
                format!("the page's session, version 3\n{right}\n{ends}\n{who}"),
                format!("{}\n{}", token.expose(), own.expose()),
            ),
        };
        hex(&hmac_sha256(key.as_bytes(), text.as_bytes()))
    }

    /// The cookie's value, signed by a token.
    fn seal(&self, token: &Secret, own: &Secret) -> String {
        let who = self.who.as_ref().map(|who| format!(".{}", base64::url(who))).unwrap_or_default();
        format!("{}.{}.{}{who}", self.right.as_str(), self.ends, self.signature(token, own))
    }

    /// The claim of a cookie that one of the tokens signed, and that has not ended.
    fn open(value: &str, tokens: &Tokens, own: &Secret, now: Timestamp) -> Option<Self> {
        let mut parts = value.split('.');
        let (right, ends, signature) = (Right::parse(parts.next()?)?, parts.next()?.parse().ok()?, parts.next()?);
        let who = match parts.next() {
            None => None,
            Some(text) => Some(named(text)?),
        };
        let claim = Self { right, ends, who };
        // What Access opened, the full token has signed, whatever it may do.
        let signer = if claim.who.is_some() { Right::Full } else { right };
        let is_ours = parts.next().is_none() && tokens.signed(signer, signature, |token| claim.signature(token, own));
        (is_ours && now.millis() < ends.saturating_mul(1_000)).then_some(claim)
    }
}

/// What the session of a request may do; nothing where it has none, or sends a token itself. Refuses a session's cookie that another site could have made the browser send.
pub(super) fn right(
    (tokens, own): (&Tokens, &Secret),
    request: &Incoming,
    now: Timestamp,
) -> Result<Option<Right>, Problem> {
    if request.header("authorization").is_some() {
        return Ok(None);
    }
    let Some(claim) = cookie(request).and_then(|value| Claim::open(value, tokens, own, now)) else { return Ok(None) };
    own_site(request)?;
    Ok(Some(claim.right))
}

/// Opens a session, tells of it, or ends it.
pub(super) async fn answer<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Result<Answer, Problem> {
    own_site(request)?;
    match request.method {
        Method::Post => open(ports, settings, request).await,
        Method::Delete => Ok(with_cookie(no_content(), "", 0)),
        _ => {
            let (tokens, own) = signers(settings);
            let claim = cookie(request).and_then(|value| Claim::open(value, tokens, &own, ports.now()));
            claim.map(|claim| told(&claim)).ok_or_else(|| signed_out(settings))
        }
    }
}

/// What sessions are signed by: the tokens, and what the Worker alone has. Whom Access lets in, and who of them may change access, was settled when
/// they signed in: whoever sets that otherwise ends what was settled before.
pub(super) fn signers(settings: &Settings) -> (&Tokens, Secret) {
    let access = settings.access.as_ref().map(Access::told).unwrap_or_default();
    let own = format!("{}\n{access}", settings.coordinator.cloudflare.token.expose());
    (&settings.tokens, Secret::new(own))
}

/// There is no session; where Access is set up, the page offers that way too.
fn signed_out(settings: &Settings) -> Problem {
    let mut problem =
        Problem::new(401, "signed_out", "there is no session, or it has ended; sign in with the connector's token");
    if settings.access.is_some() {
        problem.headers.push(("Link", format!("<{}>; rel=\"authenticate\"", entry::PATH)));
    }
    problem
}

async fn open<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Result<Answer, Problem> {
    let SignIn { token } = json::read(request.bytes()?)
        // The reason of serde's would repeat what was sent.
        .map_err(|_| Problem::invalid("the body must be {\"token\": \"…\"}"))?;
    let Some((right, token)) = settings.tokens.of(&token) else {
        failed(ports, request, "the token is none of this Worker's").await;
        return Err(Problem::new(
            401,
            "unauthorized",
            "that is not CONNECTOR_TOKEN of this Worker, nor CONNECTOR_READ_TOKEN",
        ));
    };
    if right == Right::Full {
        public_url::teach(ports, settings, request).await;
    }
    let claim = Claim { who: None, right, ends: ports.now().plus_secs(HOURS * 60 * 60).millis() / 1_000 };
    let value = claim.seal(token, &signers(settings).1);
    Ok(with_cookie(told(&claim), &value, HOURS * 60 * 60))
}

/// Opens a session for whom Cloudflare Access let in, and leads to the page.
pub(super) async fn enter<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Result<Answer, Problem> {
    let Some(access) = &settings.access else { return Err(Problem::not_found()) };
    let person = match access.person(ports, request).await {
        Ok(person) => person,
        Err(why) => {
            failed(ports, request, &why).await;
            return Err(Problem::new(
                401,
                "access_refused",
                format!("Cloudflare Access did not let anybody in that this Worker knows: {why}"),
            ));
        }
    };
    let now = ports.now();
    let ends = person.ends.min(now.plus_secs(HOURS * 60 * 60).secs());
    let right = if person.is_editor { Right::Full } else { Right::Read };
    let claim = Claim { right, ends, who: Some(person.email) };
    let value = claim.seal(&settings.tokens.guard(), &signers(settings).1);
    let mut answer = with_cookie(no_content(), &value, ends - now.secs());
    answer.status = 303;
    answer.headers.push(("Location", "/".to_owned()));
    Ok(answer)
}

/// Notes a sign-in that failed, and takes its time. It is counted as any request is: nothing is asked of the Coordinator for anybody who only claims
/// to be somebody.
async fn failed<P: Ports>(ports: &P, request: &Incoming, why: &str) {
    let fields = object_of(vec![("from", request.header("cf-connecting-ip").into()), ("why", why.into())]);
    ports.log(Level::Warn, "a sign-in failed", fields);
    ports.sleep(SLOWED_MILLIS).await;
}

fn told(claim: &Claim) -> Answer {
    let ends = Timestamp::from_secs(claim.ends).to_string();
    let told =
        vec![("right", claim.right.as_str().into()), ("ends_at", ends.into()), ("who", claim.who.as_deref().into())];
    Answer::json(200, &object_of(told))
}

fn no_content() -> Answer {
    Answer { status: 204, headers: vec![("Cache-Control", "no-store".to_owned())], body: Content::none() }
}

fn with_cookie(mut answer: Answer, value: &str, max_age_secs: i64) -> Answer {
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={max_age_secs}; HttpOnly; Secure; SameSite=Strict");
    answer.headers.push(("Set-Cookie", cookie));
    answer
}

/// What the journal calls the way by which a request came.
pub(super) fn by(request: &Incoming) -> &'static str {
    if request.header("authorization").is_none() { "page" } else { "rest" }
}

/// Who it is that asks through the page, where Access said so. Of a request whose session was taken.
pub(super) fn who(request: &Incoming) -> Option<String> {
    if request.header("authorization").is_some() {
        return None;
    }
    named(cookie(request)?.split('.').nth(3)?)
}

fn named(text: &str) -> Option<String> {
    String::from_utf8(base64::read_url(text)?).ok()
}

fn cookie(request: &Incoming) -> Option<&str> {
    let cookies = request.header("cookie")?.split(';');
    cookies.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Lets only the page itself use a session: it sends a header of its own, and a browser names the origin of whatever changes something.
fn own_site(request: &Incoming) -> Result<(), Problem> {
    let foreign_origin = match (request.header("origin"), request.header("host")) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, authority)| authority != host),
        (Some(_), None) => true,
        // A browser sends none with a GET of its own site.
        (None, _) => false,
    };
    let foreign_site = request.header("sec-fetch-site").is_some_and(|site| site != "same-origin");
    if request.header(PAGE_HEADER).is_none() || foreign_origin || foreign_site {
        return Err(Problem::new(
            403,
            "not_from_the_page",
            "a session is for this Worker's own page; programs send Authorization: Bearer <token>",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{COOKIE, Claim, Right, right};
    use crate::base::base64;
    use crate::base::ports::{Method, Secret};
    use crate::base::settings::Reader;
    use crate::base::time::Timestamp;
    use crate::routes::auth::Tokens;
    use crate::routes::http::{Body, Incoming};

    const FULL: &str = "full-0123456789abcdef0123456789abcdef";
    const READ: &str = "read-0123456789abcdef0123456789abcdef";
    const NOW: i64 = 1_800_000_000;

    fn own() -> Secret {
        Secret::new("the-workers-own-0123456789abcdef")
    }

    fn tokens(full: &str, previous: Option<&str>) -> Tokens {
        let lookup = |name: &str| match name {
            "CONNECTOR_TOKEN" => Some(full.to_owned()),
            "CONNECTOR_TOKEN_PREVIOUS" => previous.map(str::to_owned),
            "CONNECTOR_READ_TOKEN" => Some(READ.to_owned()),
            _ => None,
        };
        Tokens::read(&mut Reader::new(&lookup)).unwrap()
    }

    fn sealed(right: Right, by: &str) -> String {
        let tokens = tokens(FULL, Some("before-0123456789abcdef0123456789abcdef"));
        Claim { right, ends: NOW + 60, who: None }.seal(tokens.of(by).unwrap().1, &own())
    }

    fn asked(value: &str, headers: &[(&str, &str)]) -> Incoming {
        let cookie = ("cookie".to_owned(), format!("other=1; {COOKIE}={value}"));
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Incoming {
            origin: String::new(),
            method: Method::Get,
            path: "/v1/users".to_owned(),
            query: Vec::new(),
            headers: headers.chain([cookie]).collect(),
            body: Body::Read(Vec::new()),
        }
    }

    fn of(tokens: &Tokens, value: &str, secs: i64) -> Option<Right> {
        right((tokens, &own()), &asked(value, &[("x-connector-page", "1")]), Timestamp::from_secs(secs)).unwrap()
    }

    #[test]
    fn a_session_has_its_tokens_right_until_its_end() {
        let tokens = tokens(FULL, None);
        for (expected, by) in [(Right::Full, FULL), (Right::Read, READ)] {
            let value = sealed(expected, by);
            assert_eq!(of(&tokens, &value, NOW), Some(expected));
            assert_eq!(of(&tokens, &value, NOW + 59), Some(expected));
            assert_eq!(of(&tokens, &value, NOW + 60), None);
        }
    }

    #[test]
    fn a_session_that_was_changed_is_none() {
        let tokens = tokens(FULL, None);
        let value = sealed(Right::Read, READ);
        let later = value.replace(&(NOW + 60).to_string(), &(NOW + 6_000).to_string());
        let more = value.replace("read.", "full.");
        for wrong in [&later, &more, &value[..value.len() - 1], &format!("{value}.x"), "", "full", "full.x.y"] {
            assert_eq!(of(&tokens, wrong, NOW), None, "{wrong}");
        }
    }

    #[test]
    fn a_session_that_access_opened_says_whose_it_is_and_nobody_else_can_say_so() {
        let tokens = tokens(FULL, None);
        let sealed = |who: Option<&str>| {
            let claim = Claim { right: Right::Read, ends: NOW + 60, who: who.map(str::to_owned) };
            claim.seal(tokens.of(FULL).unwrap().1, &own())
        };
        let value = sealed(Some("jane@example.com"));
        assert_eq!(of(&tokens, &value, NOW), Some(Right::Read));
        assert_eq!(super::who(&asked(&value, &[])).as_deref(), Some("jane@example.com"));
        assert_eq!(super::who(&asked(&value, &[("authorization", "Bearer x")])), None);
        let other = value.replace(value.rsplit('.').next().unwrap(), &base64::url("joe@example.com"));
        let nobody = value.rsplit_once('.').unwrap().0;
        for wrong in [
            other.as_str(),
            nobody,
            &value.replace("read.", "full."),
            &format!("{value}.x"),
            &format!("{nobody}.%"),
            &sealed(None),
        ] {
            assert_eq!(of(&tokens, wrong, NOW), None, "{wrong}");
        }
        // The read token signs for itself alone.
        let by_reader = Claim { right: Right::Read, ends: NOW + 60, who: Some("jane@example.com".to_owned()) };
        assert_eq!(of(&tokens, &by_reader.seal(tokens.of(READ).unwrap().1, &own()), NOW), None);
        // Nor does who has the full token and not what the Worker alone has, as any program of the team's may.
        let by_program = Claim { right: Right::Full, ends: NOW + 60, who: Some("jane@example.com".to_owned()) };
        for known in [FULL, READ, ""] {
            assert_eq!(of(&tokens, &by_program.seal(tokens.of(FULL).unwrap().1, &Secret::new(known)), NOW), None);
        }
        assert!(of(&tokens, &by_program.seal(tokens.of(FULL).unwrap().1, &own()), NOW).is_some(), "the control");
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let before = "before-0123456789abcdef0123456789abcdef";
        let value = sealed(Right::Full, before);
        assert_eq!(of(&tokens(FULL, Some(before)), &value, NOW), Some(Right::Full));
        assert_eq!(of(&tokens(FULL, None), &value, NOW), None);
    }

    #[test]
    fn a_session_is_for_the_page_alone() {
        let tokens = tokens(FULL, None);
        let value = sealed(Right::Full, FULL);
        let page = ("x-connector-page", "1");
        let host = ("host", "connector.example.com");
        let code = |headers: &[(&str, &str)]| {
            right((&tokens, &own()), &asked(&value, headers), Timestamp::from_secs(NOW)).map_err(|problem| problem.code)
        };
        for fine in [
            &[page][..],
            &[page, host, ("origin", "https://connector.example.com")],
            &[page, ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(code(fine), Ok(Some(Right::Full)), "{fine:?}");
        }
        for foreign in [
            &[][..],
            &[host],
            &[page, host, ("origin", "https://evil.example.com")],
            &[page, host, ("origin", "null")],
            &[page, host, ("origin", "https://connector.example.com.evil.example")],
            &[page, ("origin", "https://connector.example.com")],
            &[page, ("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(code(foreign), Err("not_from_the_page"), "{foreign:?}");
        }
    }
}
