//! `/scim/v2`: which handler answers which endpoint. The protocol itself is [`crate::scim`].

mod call;
pub(super) mod endpoint;
mod groups;
mod lists;
mod users;

use super::asking::Ports;
use super::http::{Answer, Incoming, Problem};
use super::public_url;
use super::settings::Settings;
use crate::scim::{PATH, discovery, schema};
use call::{Call, Params, json_answer};
use endpoint::{Endpoint, Kind};

pub(super) use call::{MAX_BODY, error};

/// Answers.
pub(super) async fn answer<P: Ports>(
    ports: &P,
    settings: &Settings,
    endpoint: Endpoint,
    request: &Incoming,
) -> Result<Answer, Problem> {
    // Whoever made the host up is told of it and nobody else.
    let base = public_url::known(ports, settings).await.map_or_else(|_| request.origin.clone(), |it| it.base);
    let call = Call { ports, settings, request, base: format!("{base}{PATH}") };
    if matches!(endpoint, Endpoint::Create | Endpoint::Replace(..) | Endpoint::Patch(..)) {
        // What the answer is to show is read before anything is changed: a refusal afterwards would read as if nothing had been.
        call.projection()?;
    }
    match endpoint {
        Endpoint::ServiceProviderConfig => {
            call.unfiltered()?;
            Ok(json_answer(200, &discovery::service_provider_config(&call.base)))
        }
        Endpoint::ResourceTypes(id) => call.discover(discovery::resource_types(&call.base), id),
        Endpoint::Schemas(id) => call.discover(schema::all(&call.base), id),
        Endpoint::List(kind) => lists::list(&call, kind, &Params::of_query(request)).await,
        Endpoint::Search(kind) => lists::list(&call, kind, &Params::of_body(&call.body()?)).await,
        Endpoint::Show(Kind::User, id) => users::show(&call, &id).await,
        Endpoint::Show(Kind::Group, id) => groups::show(&call, &id).await,
        Endpoint::Create => users::create(&call).await,
        Endpoint::Replace(Kind::User, id) => users::replace(&call, &id).await,
        Endpoint::Replace(Kind::Group, id) => groups::replace(&call, &id).await,
        Endpoint::Patch(Kind::User, id) => users::patch(&call, &id).await,
        Endpoint::Patch(Kind::Group, id) => groups::patch(&call, &id).await,
        Endpoint::Delete(id) => users::delete(&call, &id).await,
        Endpoint::Unsupported(what) => {
            Err(Problem::new(501, "not_implemented", format!("{what} is not supported; see /ServiceProviderConfig")))
        }
    }
}
