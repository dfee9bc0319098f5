//! The contract: exchanges checked against an `OpenAPI` 3.0 document of the Cloudflare API.
//!
//! The document is not part of this repository. [`Contract::load`] finds it by the variable `CLOUDFLARE_OPENAPI`, else
//! beside the workspace. Checked are path and query parameters, the request's body and content type, and the
//! response's status, content type and body. Not checked: headers, security, and `default` values.

mod schema;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cloudflare::Exchange;
use crate::http::percent_decode;
use schema::{Direction, Schema, Schemas};

/// The variable that names the document.
pub const VARIABLE: &str = "CLOUDFLARE_OPENAPI";

/// Where the document is looked for otherwise, from the workspace's root.
const DEFAULT_PATH: &str = "../shared/reference/cloudflare-openapi.json";

/// An `OpenAPI` document, ready to check exchanges. Schemas are compiled when they are first needed, once.
#[derive(Debug)]
pub struct Contract {
    /// The path that the server's URL ends in, such as `/client/v4`.
    base: String,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    id: String,
    method: String,
    segments: Vec<Segment>,
    path_parameters: BTreeMap<String, Parameter>,
    query_parameters: BTreeMap<String, Parameter>,
    body: Option<Body>,
    responses: BTreeMap<String, BTreeMap<String, Schema>>,
}

#[derive(Debug)]
enum Segment {
    Fixed(String),
    Parameter(String),
}

#[derive(Debug)]
struct Parameter {
    required: bool,
    is_array: bool,
    /// Of one item, where it is an array.
    schema_type: String,
    schema: Schema,
}

#[derive(Debug)]
struct Body {
    required: bool,
    content: BTreeMap<String, Schema>,
}

impl Contract {
    /// The document named by [`VARIABLE`], else the one beside the workspace; `None` where there is none.
    ///
    /// # Panics
    ///
    /// When it is there and cannot be read.
    #[expect(clippy::panic, reason = "a contract that is there and cannot be read must not pass for an absent one")]
    pub fn load() -> Option<Self> {
        let path = std::env::var_os(VARIABLE)
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DEFAULT_PATH), PathBuf::from);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        match Self::parse(&text) {
            Ok(contract) => Some(contract),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Reads an `OpenAPI` 3.0 document.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let schemas = Schemas::of(&document);
        let server = document.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or("");
        let base =
            server.split_once("://").map_or(server, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let paths = document.get("paths").and_then(Value::as_object).ok_or("it has no paths")?;
        let mut operations = Vec::new();
        for (path, item) in paths {
            let shared = item.get("parameters");
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation.get("responses").is_some() {
                    operations.push(Operation::of(path, method, operation, shared, &schemas)?);
                }
            }
        }
        // `/tokens/verify` before `/tokens/{token_id}`.
        operations.sort_by_key(|operation| operation.path_parameters.len());
        Ok(Self { base: format!("/{}", base.trim_matches('/')), operations })
    }

    /// The `operationId` that an exchange falls under.
    pub fn operation_id(&self, exchange: &Exchange) -> Option<&str> {
        self.find(exchange).ok().map(|(operation, _)| operation.id.as_str())
    }

    /// Checks request and response. Each complaint says where it is and what is wrong.
    pub fn check(&self, exchange: &Exchange) -> Result<(), Vec<String>> {
        let mut complaints = self.check_request(exchange).err().unwrap_or_default();
        let response = self.check_response(exchange).err().unwrap_or_default();
        for complaint in response {
            if !complaints.contains(&complaint) {
                complaints.push(complaint);
            }
        }
        if complaints.is_empty() { Ok(()) } else { Err(complaints) }
    }

    /// Checks the request alone: an unknown path or method is a complaint too.
    pub fn check_request(&self, exchange: &Exchange) -> Result<(), Vec<String>> {
        let mut complaints = Complaints::about(exchange);
        match self.find(exchange) {
            Ok((operation, ids)) => {
                operation.check_path(&ids, &mut complaints);
                operation.check_query(&exchange.query, &mut complaints);
                operation.check_body(exchange, &mut complaints);
            }
            Err(unknown) => complaints.add("request", unknown),
        }
        complaints.verdict()
    }

    /// Checks the response alone. A dropped connection is none. What no operation documents must be answered by a
    /// failure.
    pub fn check_response(&self, exchange: &Exchange) -> Result<(), Vec<String>> {
        let mut complaints = Complaints::about(exchange);
        let Some(status) = exchange.status else { return Ok(()) };
        match self.find(exchange) {
            Ok((operation, _)) => operation.check_response(status, exchange, &mut complaints),
            Err(unknown) => {
                // Any operation's failures will do: they all have the same schema.
                let failure = self.operations.iter().find_map(|operation| operation.responses.get("4XX"));
                match failure.and_then(|content| content.get("application/json")) {
                    Some(schema) if (400..500).contains(&status) => {
                        complaints.add_all("response body", schema.errors(&exchange.response_json()));
                    }
                    _ => complaints.add("response", format!("{unknown}, and yet the status is {status}")),
                }
            }
        }
        complaints.verdict()
    }

    /// The operation of an exchange and the values of its path parameters.
    fn find(&self, exchange: &Exchange) -> Result<(&Operation, Vec<String>), String> {
        let Some(path) = exchange.path.strip_prefix(self.base.trim_end_matches('/')) else {
            return Err(format!("the path does not begin with {}", self.base));
        };
        let segments: Vec<String> = path.trim_start_matches('/').split('/').map(percent_decode).collect();
        let mut known_path = false;
        for operation in &self.operations {
            if let Some(ids) = operation.matches(&segments) {
                known_path = true;
                if operation.method == exchange.method {
                    return Ok((operation, ids));
                }
            }
        }
        Err(if known_path { "the path has no such method".into() } else { "no such path is documented".into() })
    }
}

impl Operation {
    fn of(
        path: &str,
        method: &str,
        operation: &Value,
        shared: Option<&Value>,
        schemas: &Schemas,
    ) -> Result<Self, String> {
        let segments = path.trim_start_matches('/').split('/').map(|segment| {
            let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
            name.map_or_else(|| Segment::Fixed(segment.to_owned()), |name| Segment::Parameter(name.to_owned()))
        });
        let mut path_parameters = BTreeMap::new();
        let mut query_parameters = BTreeMap::new();
        let parameters = [shared, operation.get("parameters")];
        for parameter in parameters.into_iter().flatten().filter_map(Value::as_array).flatten() {
            let text = |field: &str| parameter.get(field).and_then(Value::as_str);
            let name = text("name").ok_or_else(|| format!("{method} {path}: a parameter has no name"))?.to_owned();
            let parsed = Parameter::of(parameter, schemas);
            match text("in") {
                Some("path") => path_parameters.insert(name, parsed),
                Some("query") => query_parameters.insert(name, parsed),
                _ => None,
            };
        }
        let body = operation.get("requestBody").map(|body| Body {
            required: body.get("required") == Some(&Value::Bool(true)),
            content: content(body, schemas, Direction::Request),
        });
        let responses = operation.get("responses").and_then(Value::as_object);
        Ok(Self {
            id: operation.get("operationId").and_then(Value::as_str).unwrap_or(path).to_owned(),
            method: method.to_uppercase(),
            segments: segments.collect(),
            path_parameters,
            query_parameters,
            body,
            responses: responses
                .into_iter()
                .flatten()
                .map(|(status, response)| (status.clone(), content(response, schemas, Direction::Response)))
                .collect(),
        })
    }

    /// The values of the path's parameters, where the path is this operation's.
    fn matches(&self, segments: &[String]) -> Option<Vec<String>> {
        if segments.len() != self.segments.len() {
            return None;
        }
        let mut ids = Vec::new();
        for (expected, segment) in self.segments.iter().zip(segments) {
            match expected {
                Segment::Fixed(text) if text != segment => return None,
                Segment::Fixed(_) => {}
                // An empty segment is no value: it would be another path.
                Segment::Parameter(_) if segment.is_empty() => return None,
                Segment::Parameter(_) => ids.push(segment.clone()),
            }
        }
        Some(ids)
    }

    fn check_path(&self, ids: &[String], complaints: &mut Complaints) {
        let names = self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name),
            Segment::Fixed(_) => None,
        });
        for (name, id) in names.zip(ids) {
            if let Some(parameter) = self.path_parameters.get(name) {
                complaints.add_all(&format!("path parameter {name}"), parameter.errors(&[id]));
            }
        }
    }

    fn check_query(&self, query: &str, complaints: &mut Complaints) {
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            given.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        for (name, values) in &given {
            let place = format!("query parameter {name}");
            match self.query_parameters.get(name) {
                Some(parameter) => complaints.add_all(&place, parameter.errors(values)),
                None => complaints.add(&place, "it is not documented"),
            }
        }
        for (name, parameter) in &self.query_parameters {
            if parameter.required && !given.contains_key(name) {
                complaints.add(&format!("query parameter {name}"), "it is required");
            }
        }
    }

    fn check_body(&self, exchange: &Exchange, complaints: &mut Complaints) {
        let sent = !exchange.request_body.is_empty();
        match &self.body {
            None if sent => complaints.add("request body", "none is documented"),
            Some(body) if !sent && body.required => complaints.add("request body", "it is required"),
            Some(body) if sent => {
                let content_type = exchange.request_header("content-type");
                check_content("request", &body.content, content_type, &exchange.request_body, complaints);
            }
            None | Some(_) => {}
        }
    }

    fn check_response(&self, status: u16, exchange: &Exchange, complaints: &mut Complaints) {
        let class = format!("{}XX", status / 100);
        let documented = [status.to_string(), class, "default".into()];
        let Some(content) = documented.iter().find_map(|status| self.responses.get(status)) else {
            complaints.add("response", format!("status {status} is not documented"));
            return;
        };
        let content_type = exchange.response_header("content-type");
        check_content("response", content, content_type, &exchange.response_body, complaints);
    }
}

/// Checks a body against the schema of its content type.
fn check_content(
    what: &str,
    content: &BTreeMap<String, Schema>,
    content_type: Option<&str>,
    body: &[u8],
    complaints: &mut Complaints,
) {
    let essence = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let Some(schema) = content.get(&essence) else {
        let documented: Vec<&str> = content.keys().map(String::as_str).collect();
        complaints.add(what, format!("content type {essence:?} is not among {documented:?}"));
        return;
    };
    let value = if essence.ends_with("json") {
        match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(error) => return complaints.add(&format!("{what} body"), format!("it is not JSON: {error}")),
        }
    } else {
        Value::String(String::from_utf8_lossy(body).into_owned())
    };
    complaints.add_all(&format!("{what} body"), schema.errors(&value));
}

fn content(holder: &Value, schemas: &Schemas, direction: Direction) -> BTreeMap<String, Schema> {
    let content = holder.get("content").and_then(Value::as_object).into_iter().flatten();
    let empty = Value::Object(Map::new());
    content
        .map(|(content_type, media)| {
            let schema = media.get("schema").unwrap_or(&empty);
            (content_type.clone(), schemas.schema(schema, direction))
        })
        .collect()
}

impl Parameter {
    fn of(parameter: &Value, schemas: &Schemas) -> Self {
        let declared = schemas.resolve(parameter.get("schema").unwrap_or(&Value::Null));
        let kind = |schema: &Value| schema.get("type").and_then(Value::as_str).unwrap_or("string").to_owned();
        let is_array = kind(declared) == "array";
        let one = if is_array { declared.get("items").unwrap_or(&Value::Null) } else { declared };
        let one = schemas.resolve(one);
        Self {
            required: parameter.get("required") == Some(&Value::Bool(true)),
            is_array,
            schema_type: kind(one),
            schema: schemas.schema(one, Direction::Request),
        }
    }

    fn errors(&self, values: &[impl AsRef<str>]) -> Vec<String> {
        let mut errors = Vec::new();
        if !self.is_array && values.len() > 1 {
            errors.push("it is given more than once".to_owned());
        }
        for value in values {
            let text = value.as_ref();
            let typed = match self.schema_type.as_str() {
                "integer" | "number" | "boolean" => serde_json::from_str(text).unwrap_or(Value::String(text.into())),
                _ => Value::String(text.into()),
            };
            errors.extend(self.schema.errors(&typed));
        }
        errors
    }
}

/// What is wrong with an exchange.
struct Complaints {
    exchange: String,
    found: Vec<String>,
}

impl Complaints {
    fn about(exchange: &Exchange) -> Self {
        let mut text = format!("{} {}", exchange.method, exchange.path);
        if !exchange.query.is_empty() {
            let _ = write!(text, "?{}", exchange.query);
        }
        if let Some(status) = exchange.status {
            let _ = write!(text, " → {status}");
        }
        Self { exchange: text, found: Vec::new() }
    }

    fn add(&mut self, place: &str, what: impl std::fmt::Display) {
        self.found.push(format!("{}: {place}: {what}", self.exchange));
    }

    fn add_all(&mut self, place: &str, errors: Vec<String>) {
        for error in errors {
            self.add(place, error);
        }
    }

    fn verdict(self) -> Result<(), Vec<String>> {
        if self.found.is_empty() { Ok(()) } else { Err(self.found) }
    }
}
