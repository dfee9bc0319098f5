//! What every endpoint of `/scim/v2` shares: a request with what it is answered with, versions, parameters, and the form of an answer.

use crate::base::json;
use crate::base::tree::BTreeMap;

use serde_json::Value;

use crate::base::object::object_of;
use crate::base::ports::Method;
use crate::coordinator::{Command, Reply};
use crate::provision::journal::{Entry, Filter};
use crate::routes::asking::{self, Ports};
use crate::routes::http::{Answer, Content, Incoming, Problem, names};
use crate::routes::settings::Settings;
use crate::scim::plan::PlanError;
use crate::scim::projection::Projection;
use crate::scim::{self, KEYWORDS, MEDIA_TYPE, ScimError, query, resource};

/// The body of a request, in bytes at most: a list of 1,000 members with their names and URLs is 300 KB.
pub(in crate::routes) const MAX_BODY: usize = 1024 * 1024;

/// More operations than this are not under way at once.
const MOST_AWAITED: i64 = 10_000;

/// A problem as SCIM tells it (RFC 7644 section 3.12).
pub(in crate::routes) fn error(problem: Problem) -> Answer {
    let mut body = vec![
        ("schemas", scim::schemas(scim::ERROR)),
        ("status", problem.status.to_string().into()),
        ("detail", problem.detail.into()),
    ];
    if KEYWORDS.contains(&problem.code) {
        body.push(("scimType", problem.code.into()));
    }
    let mut answer = json_answer(problem.status, &object_of(body));
    answer.headers.extend(problem.headers);
    answer
}

impl From<ScimError> for Problem {
    fn from(error: ScimError) -> Self {
        Self::new(400, error.scim_type, error.detail)
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Invalid(error) => error.into(),
            PlanError::TooManyRemovals { .. } => Self::new(409, "too_many_removals", error.to_string()),
        }
    }
}

/// What a request is answered with.
pub(super) struct Call<'a, P> {
    pub(super) ports: &'a P,
    pub(super) settings: &'a Settings,
    pub(super) request: &'a Incoming,
    /// The URL of `/scim/v2`.
    pub(super) base: String,
}

impl<P: Ports> Call<'_, P> {
    /// The body, which must be an object.
    pub(super) fn body(&self) -> Result<Value, Problem> {
        let wrong = |why: String| ScimError::new("invalidSyntax", format!("the body must be a JSON object: {why}"));
        let body: Value = json::read(self.request.bytes()?).map_err(|error| Problem::from(wrong(error.to_string())))?;
        if body.is_object() { Ok(body) } else { Err(wrong("it is something else".to_owned()).into()) }
    }

    /// Operations of the journal, the newest first.
    pub(super) async fn operations(&self, filter: Filter, limit: i64) -> Result<Vec<Entry>, Problem> {
        match asking::ask(self.ports, Command::Operations { filter: Box::new(filter), limit }).await? {
            Reply::Operations(entries) => Ok(entries),
            _ => Err(asking::failed()),
        }
    }

    /// Those under way that no list shows yet ([`Filter::awaited`]).
    pub(super) async fn awaited(&self, what: &str, which: &str) -> Result<Vec<Entry>, Problem> {
        let awaited = Some((what.to_owned(), which.to_owned()));
        self.operations(Filter { awaited, ..Filter::default() }, MOST_AWAITED).await
    }

    /// What of a resource is returned.
    pub(super) fn projection(&self) -> Result<Projection, Problem> {
        let params = Params::of_query(self.request);
        Ok(query::projection(&|name| params.get(name))?)
    }

    /// A list of discovery documents, or one of them.
    pub(super) fn discover(&self, all: Vec<Value>, id: Option<String>) -> Result<Answer, Problem> {
        self.unfiltered()?;
        let Some(id) = id else { return Ok(json_answer(200, &resource::list(all.len(), 1, all))) };
        match all.into_iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id.as_str())) {
            Some(one) => Ok(json_answer(200, &one)),
            None => Err(Problem::not_found()),
        }
    }

    /// RFC 7644 section 4: a filter on discovery is forbidden.
    pub(super) fn unfiltered(&self) -> Result<(), Problem> {
        match self.request.param("filter") {
            None => Ok(()),
            Some(_) => Err(Problem::new(403, "forbidden", "this endpoint takes no filter (RFC 7644 section 4)")),
        }
    }

    /// A resource as an answer, or 304 where the client has this version.
    pub(super) fn shown(&self, status: u16, resource: Value) -> Result<Answer, Problem> {
        let tag = version(&resource);
        if status == 200 && matches!(self.request.method, Method::Get | Method::Head) && self.request.knows(&tag) {
            return Ok(Answer { status: 304, headers: vec![("ETag", tag)], body: Content::none() });
        }
        let location = resource.pointer("/meta/location").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut answer = json_answer(status, &self.projection()?.apply(resource));
        if !tag.is_empty() {
            answer.headers.push(("ETag", tag));
        }
        answer.headers.push(("Location", location));
        Ok(answer)
    }

    /// Refuses a change of another version than the one at hand (RFC 7644 section 3.14).
    pub(super) fn unchanged(&self, resource: &Value) -> Result<(), Problem> {
        match self.request.header("if-match") {
            Some(known) if !names(known, &version(resource)) => Err(Problem::new(
                412,
                "precondition_failed",
                "the resource has changed since this version of it was read; nothing was changed. Read it again.",
            )),
            _ => Ok(()),
        }
    }
}

fn version(resource: &Value) -> String {
    resource.pointer("/meta/version").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Parameters, their names in lower case.
pub(super) struct Params(BTreeMap<String, Value>);

impl Params {
    pub(super) fn of_query(request: &Incoming) -> Self {
        let query = request.query.iter();
        Self(query.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().into())).collect())
    }

    pub(super) fn of_body(body: &Value) -> Self {
        let fields = body.as_object().into_iter().flatten();
        Self(fields.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(&name.to_ascii_lowercase())
    }
}

pub(super) fn json_answer(status: u16, body: &Value) -> Answer {
    let mut answer = Answer::json(status, body);
    answer.set("Content-Type", MEDIA_TYPE);
    answer
}

#[cfg(test)]
mod tests {
    use super::{Problem, error};
    use crate::routes::scim::endpoint::owns;

    #[test]
    fn errors_under_scim_have_its_form() {
        for path in ["/scim", "/scim/", "/scim/v2/Users", "/scim/v1"] {
            assert!(owns(path), "{path}");
        }
        assert!(!owns("/scimitar") && !owns("/v1/users"));
        let read = |problem| serde_json::from_slice::<serde_json::Value>(error(problem).body.bytes()).unwrap();
        let body = read(Problem::new(400, "invalidFilter", "why"));
        assert_eq!(
            (&body["status"], &body["scimType"], &body["detail"]),
            (&"400".into(), &"invalidFilter".into(), &"why".into())
        );
        assert_eq!(read(Problem::not_found()).get("scimType"), None);
    }
}
