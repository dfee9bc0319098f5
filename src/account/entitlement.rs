//! Which entitlement a request means: by its id wherever C1 may have put that (`reference/conductorone.md` 2.5), else by its name
//! where exactly one has it. Never guessed.

use super::apps::Apps;
use super::{Newest, Stopped};
use crate::base::ports::KeyValue;
use crate::model::ask::{EntitlementRef, Meaning};
use crate::model::grant::Holding;
use crate::model::operation::{Refusal, Target};
use crate::snapshot::Catalogue;

/// What a target names. Only a name has to be looked up, in the newest generation; it counts in an app that is pinned alone.
pub async fn named<P: KeyValue>(ports: &P, newest: &Newest, apps: &Apps, target: &Target) -> Result<Holding, Stopped> {
    match target {
        Target::Account | Target::Renewal => Ok(Holding::Account),
        Target::Entitlement(entitlement) => Ok(Holding::Entitlement(*entitlement)),
        Target::Named(named) => by_reference(ports, newest, apps, named).await,
    }
}

async fn by_reference<P: KeyValue>(
    ports: &P,
    newest: &Newest,
    apps: &Apps,
    named: &EntitlementRef,
) -> Result<Holding, Stopped> {
    let shown = match named.meaning() {
        // Every app of the tenant has C1's builtin entitlement.
        Meaning::Account => return apps.admit_builtin().map(|()| Holding::Account),
        Meaning::Entitlement(one) => return Ok(Holding::Entitlement(one)),
        Meaning::Called(name) => name,
        Meaning::Several { account, entitlements } => {
            let account = account.then(|| "the account itself".to_owned());
            let list: Vec<String> = account.into_iter().chain(entitlements.iter().map(ToString::to_string)).collect();
            return Err(Stopped::refused(
                Refusal::AmbiguousEntitlement,
                format!(
                    "ConductorOne names this entitlement as {} at once, so it is not clear which is meant; nothing was changed, and a sync of this connector in ConductorOne gives the entitlement one id.",
                    list.join(" and ")
                ),
            ));
        }
        Meaning::Nothing => {
            let shown = named.display_name.as_deref().or(named.id.as_deref());
            let shown = shown.or(named.candidates.first().map(String::as_str)).unwrap_or("without an id");
            return Err(Stopped::refused(
                Refusal::UnknownEntitlement,
                format!(
                    "The entitlement {shown:?} carries no id of this connector, and its name alone does not tell which is meant, so nothing was changed; where it is one of this Cloudflare account's, sync this connector in ConductorOne, so that it carries its id."
                ),
            ));
        }
    };
    apps.admit_name(shown)?;
    let found = Catalogue::load(ports, newest.last()?).await?.alone_called(shown);
    match found.as_ref().map_err(Vec::as_slice) {
        Ok(one) => Ok(Holding::Entitlement(*one)),
        Err([]) => Err(Stopped::refused(
            Refusal::UnknownEntitlement,
            format!(
                "The entitlement {shown:?} is none of this Cloudflare account's roles or groups; sync this connector in ConductorOne, so that the entitlement carries its id."
            ),
        )),
        Err(several) => {
            let list = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            Err(Stopped::refused(
                Refusal::AmbiguousEntitlement,
                format!(
                    "The entitlement {shown:?} could be {list}; nothing was changed. Sync this connector in ConductorOne, so that the entitlement carries its id."
                ),
            ))
        }
    }
}
