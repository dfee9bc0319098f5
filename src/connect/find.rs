//! Finds the app and lists its entitlements.

use super::catalogue::{self, Evidence};
use super::entitlements::{self, ListedEntitlement};
use super::journal;
use super::run::{AUTO_WIRE, NamedApp, Phase, Ports, What};
use super::steps::{Step, Trouble};
use crate::base::remedy::{CONNECT, NAME_APP};
use crate::conductorone::api::ApiError;
use crate::conductorone::apps::{App, AppEntitlement, ListPage};

/// Pages of an app's accounts that are looked through for one of this account's members: 500 accounts.
const MAX_USER_PAGES: u32 = 5;

/// A tenant with more apps is asked to say which one it is, rather than have each looked into.
const MAX_APPS: usize = 1_000;

impl<P: Ports> Step<'_, '_, P> {
    /// Takes the app that was named, else the one of the last time, and looks into it; else looks for one. Whoever names an app may name
    /// another account's, whose roles have the same ids, and the app of the last time may stand for another account by now.
    pub(super) async fn app(&mut self) -> Result<(), Trouble> {
        let named = self.run.options.app_id.clone().or_else(|| self.settings.app_id.clone());
        let before = journal::connection(self.ports)?.app.map(|app| app.id);
        // Nobody asked for that one to be connected.
        if let (AUTO_WIRE, Some(named), true) = (self.run.by.as_str(), &named, named != before) {
            return Err(Trouble::Stop(format!(
                "C1_APP_ID is {named}, and another app was connected, so nothing was pointed here: {CONNECT}."
            )));
        }
        let Some(id) = named.clone().or(before) else {
            self.look_for_app();
            return Ok(());
        };
        match self.client.app(&id).await {
            Ok(App { id, display_name: name }) => {
                self.run.phase = Phase::examine(vec![NamedApp { id, name }], None, Some(false));
                Ok(())
            }
            Err(ApiError::NotFound { .. }) if named.is_some() => Err(Trouble::Stop(format!(
                "There is no app {id} in ConductorOne, or the API key may not see it; take the id from the address bar when you look at the app."
            ))),
            // Nobody said that another app is this account's: the tenant may be another one by now, or the API key may see less than it did.
            Err(ApiError::NotFound { .. }) if self.run.by == AUTO_WIRE => Err(Trouble::Stop(format!(
                "The app {id}, which this connector was connected to, is not in ConductorOne, or the API key may not see it, so nothing was pointed here: {CONNECT}."
            ))),
            Err(ApiError::NotFound { .. }) => {
                self.look_for_app();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn look_for_app(&mut self) {
        self.run.phase = Phase::Apps { page: None, apps: Vec::new() };
    }

    fn settle_app(&mut self, app: NamedApp) -> Result<(), Trouble> {
        self.say(What::Found, None, format!("The app is {:?} ({}).", app.name, app.id))?;
        self.run.app = Some(app);
        self.run.phase = Phase::List { page: None };
        Ok(())
    }

    /// Lists apps.
    pub(super) async fn apps(&mut self, page: Option<String>, mut apps: Vec<NamedApp>) -> Result<(), Trouble> {
        let found = self.client.apps_page(page.as_deref()).await?;
        for App { id, display_name: name } in found.items {
            // A list that moves while it is read has an app twice, which are not several.
            if !apps.iter().any(|known| known.id == id) {
                apps.push(NamedApp { id, name });
            }
        }
        // An undo cannot be told which one it is.
        if apps.len() > MAX_APPS && !self.run.options.undo {
            return Err(Trouble::Stop(format!(
                "There are more than {MAX_APPS} apps in ConductorOne: say which one it is with app_id, or C1_APP_ID."
            )));
        }
        self.run.phase = match found.next {
            Some(next) if Some(&next) != page.as_ref() => Phase::Apps { page: Some(next), apps },
            _ => Phase::examine(apps, None, None),
        };
        Ok(())
    }

    /// Looks into the next app, page by page, for ids that only this account has. Role ids are the same in every account, so an app that
    /// has those alone may be another account's.
    pub(super) async fn examine(
        &mut self,
        mut left: Vec<NamedApp>,
        mut found: Vec<NamedApp>,
        mut alike: Vec<NamedApp>,
        page: Option<String>,
        mut another: Option<bool>,
    ) -> Result<(), Trouble> {
        if let Some(app) = left.pop() {
            let known = self.offers.known(self.ports).await?;
            let (mut next, mut evidence) = (None, Evidence::Nothing);
            match self.client.entitlements_page(&app.id, page.as_deref()).await {
                Ok(listed) => {
                    for told in listed.items.iter().map(|entitlement| known.evidence(entitlement)) {
                        another = another.map(|another| another || told == Evidence::Another);
                        evidence = evidence.max(told);
                    }
                    next = listed.next.filter(|next| Some(next) != page.as_ref());
                }
                // One app of many that the key may not look into is none that it could change.
                Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if (evidence >= Evidence::Alike || another.is_some()) && alike.last() != Some(&app) {
                alike.push(app.clone());
            }
            // Only what was named, or looks like a Cloudflare app so far, is worth reading further: first the rest of its entitlements, then its
            // accounts.
            let mut users = 0;
            if evidence == Evidence::Account {
                found.push(app);
                next = None;
            } else if alike.last() == Some(&app) {
                left.push(app);
                users = u32::from(next.is_none());
            } else {
                next = None;
            }
            self.run.phase = Phase::Examine { left, found, alike, page: next, users, another };
            return Ok(());
        }
        let named = |apps: &[NamedApp]| {
            apps.iter().map(|app| format!("{:?} ({})", app.name, app.id)).collect::<Vec<_>>().join(", ")
        };
        match (found.as_slice(), alike.as_slice(), another) {
            // Whoever owns an app may give it what this account alone has, so nothing is settled beside one of which nobody can tell.
            ([app], [only], _) if app == only => self.settle_app(app.clone()),
            ([], [app], Some(false)) => {
                self.settle_app(app.clone())?;
                let text = "Nothing that only this account has, such as a user group, a scoped role or an account's membership id, was found in that app: see that it stands for no other Cloudflare account.";
                self.say(What::Left, None, text.to_owned())?;
                Ok(())
            }
            ([], apps, Some(true)) => Err(Trouble::Stop(format!(
                "{} has user groups, scoped roles or accounts of another Cloudflare account and none of this one's, so nothing was changed: say which app is this account's {NAME_APP}; where it is this one all the same, let the API key list its accounts, let this connector sync and then ConductorOne (one user group of this account that it knows is enough), and connect again.",
                named(apps)
            ))),
            ([], [], _) => Err(Trouble::Stop(format!(
                "No app in ConductorOne is seen to be this account's: let ConductorOne sync the account first, or say which app it is: {NAME_APP}."
            ))),
            ([], alike, _) => Err(Trouble::Stop(format!(
                "Role ids are the same in every Cloudflare account, and nothing that only this account has, such as a user group, a scoped role or an account's membership id (which the API key has to be allowed to list), was found in ConductorOne: {} may stand for this account or for another one. Say which app it is: {NAME_APP}.",
                named(alike)
            ))),
            (_, several, _) => Err(Trouble::Stop(format!(
                "Several apps in ConductorOne have entitlements with these ids: {}. Say which one it is: {NAME_APP}.",
                named(several)
            ))),
        }
    }

    /// Looks for a member of this account among the next app's accounts: a membership id is drawn for one account, while a Cloudflare user may
    /// be in several.
    pub(super) async fn examine_users(
        &mut self,
        mut left: Vec<NamedApp>,
        mut found: Vec<NamedApp>,
        mut alike: Vec<NamedApp>,
        page: Option<String>,
        users: u32,
        mut another: Option<bool>,
    ) -> Result<(), Trouble> {
        let (mut next, mut users) = (None, users);
        if let Some(app) = left.pop() {
            let listed = match self.client.memberships_page(&app.id, page.as_deref()).await {
                Ok(listed) => listed,
                // Who may not see the accounts knows as much as before: this account's may be the one that was named, or any of several.
                Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. }) => {
                    ListPage { items: Vec::new(), next: None }
                }
                Err(error) => return Err(error.into()),
            };
            next = listed.next.filter(|next| Some(next) != page.as_ref() && users < MAX_USER_PAGES);
            let told = catalogue::of_members(self.ports, &listed.items).await?;
            another = another.map(|another| another || told == Evidence::Another);
            if told == Evidence::Account {
                found.push(app);
                next = None;
            } else if next.is_some() {
                left.push(app);
            } else if told == Evidence::Another && another.is_none() {
                // Beside this account's, another account's is no question.
                alike.pop();
            }
        }
        users = if next.is_some() { users + 1 } else { 0 };
        self.run.phase = Phase::Examine { left, found, alike, page: next, users, another };
        Ok(())
    }

    /// Lists the app's entitlements.
    pub(super) async fn list(&mut self, page: Option<String>) -> Result<(), Trouble> {
        let app = self.app_id()?;
        let known = self.offers.known(self.ports).await?;
        let found = self.client.entitlements_page(&app, page.as_deref()).await?;
        if page.is_none() {
            entitlements::forget_listed(self.ports)?;
        }
        for entitlement in found.items {
            let own = known.own(&entitlement);
            let AppEntitlement { id, named, provisioner, deprovisioner } = entitlement;
            let name = named.display_name.unwrap_or_default();
            let listed = ListedEntitlement { n: 0, id, name, own, provisioner, deprovisioner, settled: false };
            entitlements::list(self.ports, &listed)?;
        }
        if let Some(next) = found.next.filter(|next| Some(next) != page.as_ref()) {
            self.run.phase = Phase::List { page: Some(next) };
            return Ok(());
        }
        // An app without a single role of ours is not the Cloudflare app, whoever named it.
        if !entitlements::lists_ours(self.ports)? {
            return Err(Trouble::Stop(format!(
                "The app {app} has no entitlement that is a role or group of this account, so nothing was changed: is it the right app, and has ConductorOne synced it?"
            )));
        }
        self.run.phase = Phase::Webhook { page: None };
        Ok(())
    }
}
