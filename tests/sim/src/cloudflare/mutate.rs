//! Changes by other hands: what tests do to the account directly, as if somebody did it in the dashboard. Each is
//! written to the audit log with that somebody as its actor. An id that names nothing changes nothing.

use super::account::{Account, PolicySpec, ResourceGroup, Token, UserGroup, UserTag, generated_time};
use super::audit::{self, AuditedCall};
use super::{Cloudflare, lock, members};
use std::collections::BTreeSet;

use serde_json::json;

impl Cloudflare {
    /// Replaces a member's policies.
    pub fn set_policies(&self, member: &str, policies: Vec<PolicySpec>) {
        self.change("PUT", &format!("members/{member}"), member, |account| {
            let policies = account.issue(policies);
            if let Some(member) = account.member_mut(member) {
                member.policies = policies;
            }
        });
    }

    /// Adds one more policy to a member.
    pub fn add_policy(&self, member: &str, policy: PolicySpec) {
        self.change("PUT", &format!("members/{member}"), member, |account| {
            let policies = account.issue([policy]);
            if let Some(member) = account.member_mut(member) {
                member.policies.extend(policies);
            }
        });
    }

    /// Invites somebody; returns the membership id, that of the existing membership where there is one.
    pub fn invite(&self, email: &str, policies: Vec<PolicySpec>) -> String {
        self.add(email, false, policies)
    }

    /// Adds somebody as an accepted member; returns the membership id, that of the existing membership where there is
    /// one.
    pub fn add_member(&self, email: &str, policies: Vec<PolicySpec>) -> String {
        self.add(email, true, policies)
    }

    fn add(&self, email: &str, accepted: bool, policies: Vec<PolicySpec>) -> String {
        self.change_of("POST", "members", Clone::clone, |account| {
            if let Some(member) = account.member_by_email(email) {
                return member.id.clone();
            }
            let policies = account.issue(policies);
            members::invite(account, email, accepted, policies)
        })
    }

    /// Removes a member or cancels an invitation.
    pub fn remove_member(&self, member: &str) {
        self.change("DELETE", &format!("members/{member}"), member, |account| account.remove_member(member));
    }

    /// Accepts an invitation as the invitee: the membership id stays, and there is a user id from now on, which is
    /// returned. An expired invitation cannot be accepted.
    pub fn accept_invitation(&self, member: &str) -> Option<String> {
        self.change("PUT", &format!("members/{member}"), member, |account| {
            if account.expired.contains(member) {
                return None;
            }
            let fresh = account.new_id();
            let member = account.member_mut(member)?;
            let user = member.user.usable().map_or(fresh, str::to_owned);
            member.user = UserTag::Known(user.clone());
            member.status = "accepted".into();
            Some(user)
        })
    }

    /// Lets an invitation expire: it stays listed as pending, as if nothing had happened, and cannot be accepted. Only
    /// a new invitation helps, after this one was removed.
    pub fn expire_invitation(&self, member: &str) {
        lock(&self.shared.state).account.expired.insert(member.to_owned());
    }

    /// Sets a membership's status, also to one that no document knows.
    pub fn set_status(&self, member: &str, status: &str) {
        self.change("PUT", &format!("members/{member}"), member, |account| {
            if let Some(member) = account.member_mut(member) {
                status.clone_into(&mut member.status);
            }
        });
    }

    /// Gives a member's login another e-mail address, as the person does it: user id and membership id stay.
    pub fn change_email(&self, member: &str, email: &str) {
        self.change("PUT", "user/email", member, |account| {
            account.change_email(member, email);
        });
    }

    /// Gives a member another name, or none.
    pub fn rename(&self, member: &str, first: Option<&str>, last: Option<&str>) {
        self.change("PUT", &format!("members/{member}"), member, |account| {
            if let Some(member) = account.member_mut(member) {
                member.first_name = first.map(str::to_owned);
                member.last_name = last.map(str::to_owned);
            }
        });
    }

    /// Switches a member's two-factor authentication.
    pub fn set_two_factor(&self, member: &str, enabled: bool) {
        if let Some(member) = lock(&self.shared.state).account.member_mut(member) {
            member.two_factor = enabled;
        }
    }

    /// Puts a member into a user group.
    pub fn join_group(&self, group: &str, member: &str) {
        self.change_group("POST", group, |group| {
            group.members.insert(member.to_owned());
        });
    }

    /// Takes a member out of a user group.
    pub fn leave_group(&self, group: &str, member: &str) {
        self.change_group("DELETE", group, |group| {
            group.members.remove(member);
        });
    }

    /// Adds a user group that has been there for long; returns its id.
    pub fn add_group(&self, name: &str, policies: Vec<PolicySpec>) -> String {
        self.change_of("POST", "iam/user_groups", String::clone, |account| {
            let id = account.new_id();
            let now = chrono::Utc::now();
            let group = UserGroup {
                id: id.clone(),
                name: name.to_owned(),
                created_on: now,
                modified_on: now,
                created_at: None,
                policies: account.issue(policies),
                members: BTreeSet::new(),
                broken: false,
            };
            account.user_groups.insert(id.clone(), group);
            id
        })
    }

    /// Deletes a user group.
    pub fn remove_group(&self, group: &str) {
        self.change("DELETE", &format!("iam/user_groups/{group}"), group, |account| {
            account.user_groups.remove(group);
        });
    }

    /// Gives a user group another name.
    pub fn rename_group(&self, group: &str, name: &str) {
        self.change("PUT", &format!("iam/user_groups/{group}"), group, |account| {
            if let Some(group) = account.user_groups.get_mut(group) {
                group.modified_on += chrono::TimeDelta::seconds(1);
                name.clone_into(&mut group.name);
            }
        });
    }

    /// Replaces what a user group holds.
    pub fn set_group_policies(&self, group: &str, policies: Vec<PolicySpec>) {
        self.change("PUT", &format!("iam/user_groups/{group}"), group, |account| {
            let policies = account.issue(policies);
            if let Some(group) = account.user_groups.get_mut(group) {
                group.modified_on += chrono::TimeDelta::seconds(1);
                group.policies = policies;
            }
        });
    }

    /// Makes a user group's member list answer 400, as that of a group with an invalid policy does.
    pub fn break_group(&self, group: &str, broken: bool) {
        self.change_group("PUT", group, |group| group.broken = broken);
    }

    /// Makes it impossible to put a member into a user group ("do not have DSR enabled").
    pub fn without_dsr(&self, member: &str) {
        lock(&self.shared.state).account.without_dsr.insert(member.to_owned());
    }

    /// Hands a user group over to an identity provider: its members can no longer be changed here.
    pub fn manage_by_scim(&self, group: &str) {
        lock(&self.shared.state).account.scim_managed.insert(group.to_owned());
    }

    /// Makes a user group one that was created just now.
    pub fn make_new(&self, group: &str) {
        if let Some(group) = lock(&self.shared.state).account.user_groups.get_mut(group) {
            group.created_at = Some(tokio::time::Instant::now());
        }
    }

    /// Adds a resource group for one more domain; returns its id.
    pub fn add_zone(&self, name: &str) -> String {
        self.change("POST", "iam/resource_groups", name, |account| {
            let (id, zone, scope_key) = (account.new_id(), account.new_id(), account.key());
            account.zones.push(super::objects::Object { id: zone.clone(), name: name.to_owned() });
            account.resource_groups.push(ResourceGroup {
                id: id.clone(),
                name: name.to_owned(),
                kind: super::account::Level::Zone,
                editable: true,
                scope_key,
                objects: vec![format!("com.cloudflare.api.account.zone.{zone}")],
            });
            id
        })
    }

    /// Adds an active account token, issued long ago; `more` is told of it instead of what is usual. Returns its id.
    pub fn add_token(&self, name: &str, creator: Option<&str>, more: &serde_json::Value) -> String {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        account.tokens.push(Token {
            id: id.clone(),
            name: name.to_owned(),
            status: "active",
            issued_on: generated_time(100),
            last_used_on: None,
            expires_on: None,
            creator: creator.map(str::to_owned),
            more: more.as_object().cloned().unwrap_or_default(),
        });
        id
    }

    /// Adds an OAuth client; returns its id.
    pub fn add_oauth_client(&self, name: &str, visibility: &str, scopes: &[&str]) -> String {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        account.posture.oauth_clients.push(json!({
            "client_id": id, "client_name": name, "visibility": visibility, "scopes": scopes,
            "redirect_uris": ["https://app.example.com/callback"], "grant_types": ["authorization_code"],
            "created_at": "2026-06-01T00:00:00Z",
        }));
        id
    }

    /// Says how a domain stands with an identity provider of its own: its verification, and whether it is in use.
    pub fn set_sso_domain(&self, domain: &str, status: &str, enabled: bool) {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        account.posture.sso_connectors.retain(|known| known["email_domain"] != domain);
        account.posture.sso_connectors.push(json!({
            "id": id, "email_domain": domain, "enabled": enabled, "use_fedramp_language": false,
            "verification": { "status": status, "code": "cloudflare_dashboard_sso=1" },
            "created_on": "2026-06-01T00:00:00Z", "updated_on": "2026-06-01T00:00:00Z",
        }));
    }

    /// Locks members without a second factor out, or lets them in.
    pub fn enforce_two_factor(&self, enforces: bool) {
        lock(&self.shared.state).account.posture.enforces_two_factor = Some(enforces);
    }

    /// Makes the account one for which it was never set whether members without a second factor are locked out: they are let in.
    pub fn unset_two_factor(&self) {
        lock(&self.shared.state).account.posture.enforces_two_factor = None;
    }

    /// Puts the account into an organization.
    pub fn set_organization(&self, id: &str, name: &str) {
        lock(&self.shared.state).account.posture.organization = Some((id.to_owned(), name.to_owned()));
    }

    /// What time it is for the audit log from now on, in milliseconds: tests with a clock of their own say so.
    pub fn set_log_time(&self, millis: i64) {
        lock(&self.shared.state).account.log_clock = chrono::DateTime::from_timestamp_millis(millis);
    }

    /// How many seconds after a change its entry can be read.
    pub fn set_log_delay(&self, secs: i64) {
        lock(&self.shared.state).account.log_delay = secs;
    }

    /// Writes an entry of one's own into the audit log, as of a time, to be read some seconds from now.
    pub fn log_entry(&self, at: Option<i64>, shown_after: i64, entry: serde_json::Value) {
        audit::write(&mut lock(&self.shared.state).account, at, shown_after, entry);
    }

    /// Forgets the oldest entries of the audit log.
    pub fn forget_log_entries(&self, count: usize) {
        let entries = &mut lock(&self.shared.state).account.audit;
        entries.sort_by_key(|entry| entry.time);
        entries.drain(..count.min(entries.len()));
    }

    /// Removes an account token.
    pub fn remove_token(&self, token: &str) {
        self.change("DELETE", &format!("tokens/{token}"), token, |account| {
            account.tokens.retain(|known| known.id != token);
        });
    }

    /// Has somebody make an account token now; returns its id.
    pub fn make_token(&self, name: &str, creator: Option<&str>, more: &serde_json::Value) -> String {
        let id = self.add_token(name, creator, more);
        self.change("POST", "tokens", &id, |_| ());
        id
    }

    /// Changes what is told of an account token.
    pub fn change_token(&self, token: &str, more: &serde_json::Value) {
        self.change("PUT", &format!("tokens/{token}"), token, |account| {
            if let Some(token) = account.tokens.iter_mut().find(|known| known.id == token) {
                token.more.extend(more.as_object().cloned().unwrap_or_default());
            }
        });
    }

    fn change_group(&self, method: &str, id: &str, change: impl FnOnce(&mut UserGroup)) {
        self.change(method, &format!("iam/user_groups/{id}/members"), id, |account| {
            if let Some(group) = account.user_groups.get_mut(id) {
                change(group);
            }
        });
    }

    fn change<T>(&self, method: &str, path: &str, resource: &str, change: impl FnOnce(&mut Account) -> T) -> T {
        self.change_of(method, path, |_| resource.to_owned(), change)
    }

    /// A change of what its result tells.
    fn change_of<T>(
        &self,
        method: &str,
        path: &str,
        resource: impl FnOnce(&T) -> String,
        change: impl FnOnce(&mut Account) -> T,
    ) -> T {
        let mut state = lock(&self.shared.state);
        let changed = change(&mut state.account);
        let uri = format!("/accounts/{}/{path}", state.account.id);
        let ray = state.account.new_id();
        let written = AuditedCall { method, uri, resource_id: resource(&changed), ray: ray.chars().take(16).collect() };
        audit::record(&mut state.account, &written, None);
        changed
    }
}
