//! A request's way through the simulator: count, delay, strike, limit, authenticate, authorize, carry out, log.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::audit::{self, AuditedCall};
use super::auth;
use super::envelope::{Answer, Failure, failure, success};
use super::fault::{Fault, too_many};
use super::limiter::{self, Verdict};
use super::log::Exchange;
use super::route::{Call, Resolved, Route, resolve};
use super::visit::Visit;
use super::{Cloudflare, State, iam, lock, members, objects, people, scim, tokens, user_groups};
use crate::http::{Handler, Reply, ReplyFuture, Request, Server};

impl Cloudflare {
    /// Serves the account on a loopback port (0 picks a free one) until the server is dropped.
    pub async fn serve(&self, port: u16) -> std::io::Result<Server> {
        Server::start(port, Arc::new(self.clone())).await
    }

    /// The base URL of the API on a server, for `CLOUDFLARE_API_URL`.
    pub fn api_url(server: &Server) -> String {
        format!("{}{}", server.url(), super::route::BASE)
    }

    async fn answer(&self, request: Request) -> Reply {
        let started = self.shared.began.elapsed();
        let resolved = resolve(&request);
        let call = match &resolved {
            Resolved::Found(call) => Some(call),
            Resolved::WrongMethod(_) | Resolved::Unknown => None,
        };
        let route = call.map(|call| call.route);
        lock(&self.shared.log).begin(route);
        let (fault, latency) = {
            let mut control = lock(&self.shared.control);
            (route.and_then(|route| control.strike(route)), control.latency(route))
        };
        // Half of the way there, half of the way back.
        tokio::time::sleep(latency / 2).await;
        match &fault {
            Some(Fault::Held) => self.hold(request.clone()),
            Some(Fault::Late(time)) => {
                let (cloudflare, request, time) = (self.clone(), request.clone(), *time);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    cloudflare.carry_out_unseen(&request);
                });
            }
            _ => {}
        }
        let (reply, applied) = self.decide(&request, &resolved, fault.as_ref());
        let wait = fault.as_ref().map(Fault::wait).unwrap_or_default();
        tokio::time::sleep(latency / 2 + wait).await;
        let (status, response_headers, response_body) = match &reply {
            Reply::Response { status, headers, body } => (Some(*status), headers.clone(), body.clone()),
            Reply::Reset => (None, Vec::new(), Bytes::new()),
        };
        lock(&self.shared.log).end(Exchange {
            route,
            method: request.method,
            path: request.path,
            query: request.query,
            request_headers: request.headers,
            request_body: request.body,
            status,
            response_headers,
            response_body,
            applied,
            fault: fault.map(|fault| fault.name()),
            started,
            finished: self.shared.began.elapsed(),
        });
        reply
    }

    /// The reply, and whether the account was changed.
    fn decide(&self, request: &Request, resolved: &Resolved, fault: Option<&Fault>) -> (Reply, bool) {
        let ray = lock(&self.shared.control).ray();
        let limits = lock(&self.shared.state).limiter.limits;
        let with_ray = |reply: Reply| reply.with_header("cf-ray", format!("{ray}-SIM"));
        if let Some(fault) = fault.filter(|fault| !fault.applies()) {
            return (with_ray(fault.reply(limits, &ray).unwrap_or(Reply::Reset)), false);
        }
        if let Resolved::Found(call) = resolved {
            self.run_hooks_before(call);
        }
        let (reply, applied) = lock(&self.shared.state).process(request, resolved, &ray);
        if let Resolved::Found(call) = resolved {
            self.run_hooks_after(call);
        }
        let reply = match fault {
            Some(fault) => fault.spoil(reply, limits, &ray),
            None => reply,
        };
        (with_ray(reply), applied)
    }
}

impl State {
    /// Answers a request that nothing strikes.
    pub(super) fn process(&mut self, request: &Request, resolved: &Resolved, ray: &str) -> (Reply, bool) {
        let credential = request.header("authorization").unwrap_or("").to_owned();
        let limits = self.limiter.limits;
        let (left, resets_in) = match self.limiter.take(&credential, Instant::now()) {
            Verdict::Allowed { left, resets_in } => (left, resets_in),
            Verdict::Blocked { ends_in } => {
                let mut reply = too_many(limits).with_header("retry-after", limiter::seconds(ends_in).to_string());
                for (name, value) in limiter::headers(limits, 0, ends_in) {
                    reply = reply.with_header(name, value);
                }
                return (reply, false);
            }
        };
        let (mut reply, applied) = match self.admit(request, resolved, ray) {
            Ok((reply, applied)) => (reply, applied),
            Err(refusal) => (refusal.reply(), false),
        };
        if self.behaviour.ratelimit_headers {
            for (name, value) in limiter::headers(limits, left, resets_in) {
                reply = reply.with_header(name, value);
            }
        }
        (reply, applied)
    }

    /// Lets a request in and has it carried out.
    fn admit(&mut self, request: &Request, resolved: &Resolved, ray: &str) -> Result<(Reply, bool), Failure> {
        let route = match resolved {
            Resolved::Found(call) => Some(call.route),
            Resolved::WrongMethod(_) | Resolved::Unknown => None,
        };
        let caller = auth::authenticate(&self.credentials, request, route)?.clone();
        let call = match resolved {
            Resolved::Found(call) => call,
            Resolved::WrongMethod(path) => {
                return Err(failure(405, 10_405, format!("Method {} not allowed for {path}", request.method)));
            }
            Resolved::Unknown => {
                let path = &request.path;
                let message = format!("Could not route to {path}, perhaps your object identifier is invalid?");
                return Err(failure(404, 7003, message));
            }
        };
        auth::authorize(&caller, call, &self.account.id, &self.behaviour)?;
        if self.behaviour.roles_api_gone && matches!(call.route, Route::ListRoles | Route::GetRole) {
            return Err(failure(404, 7003, "Could not route to that path, perhaps your object identifier is invalid?"));
        }
        let mut visit = Visit {
            account: &mut self.account,
            behaviour: &self.behaviour,
            stale: &mut self.stale,
            call,
            request,
            caller: &caller,
        };
        let mut success = carry_out(&mut visit)?;
        self.odd.apply(call.route, &mut success.body);
        let applied = call.route.is_write();
        if applied {
            let result = success.body.pointer("/result/id").and_then(serde_json::Value::as_str);
            let resource_id = result.or_else(|| call.ids.last().map(String::as_str)).unwrap_or_default().to_owned();
            let uri = request.path.trim_start_matches(super::route::BASE).to_owned();
            let change = AuditedCall { method: &request.method, uri, resource_id, ray: ray.to_owned() };
            audit::record(&mut self.account, &change, Some(&caller));
        }
        Ok((success.reply(), applied))
    }
}

fn carry_out(visit: &mut Visit<'_>) -> Answer {
    let Call { route, .. } = visit.call;
    match route {
        Route::GetAccount => Ok(tokens::account(visit)),
        Route::ListMembers => members::list(visit),
        Route::CreateMember => members::create(visit),
        Route::GetMember => members::get(visit),
        Route::UpdateMember => members::update(visit),
        Route::DeleteMember => members::remove(visit),
        Route::ListRoles => iam::list_roles(visit),
        Route::GetRole => iam::get_role(visit),
        Route::ListPermissionGroups => iam::list_permission_groups(visit),
        Route::GetPermissionGroup => iam::get_permission_group(visit),
        Route::ListResourceGroups => Ok(iam::list_resource_groups(visit)),
        Route::CreateResourceGroup => iam::create_resource_group(visit),
        Route::GetResourceGroup => iam::get_resource_group(visit),
        Route::ListUserGroups => user_groups::list(visit),
        Route::CreateUserGroup => user_groups::create(visit),
        Route::GetUserGroup => user_groups::get(visit),
        Route::UpdateUserGroup => user_groups::update(visit),
        Route::DeleteUserGroup => user_groups::remove(visit),
        Route::ListUserGroupMembers => user_groups::list_members(visit),
        Route::AddUserGroupMembers => user_groups::add_members(visit),
        Route::ReplaceUserGroupMembers => user_groups::replace_members(visit),
        Route::GetUserGroupMember => user_groups::get_member(visit),
        Route::DeleteUserGroupMember => user_groups::remove_member(visit),
        Route::ListTokens => tokens::list(visit),
        Route::GetToken => tokens::get(visit),
        Route::ListOauthClients => Ok(success(visit.account.posture.oauth_clients.clone().into())),
        Route::ListSsoConnectors => Ok(success(visit.account.posture.sso_connectors.clone().into())),
        Route::ListZones => objects::list_zones(visit),
        Route::ListWorkers => Ok(objects::list_workers(visit)),
        Route::ListAccessApps => objects::list_access_apps(visit),
        Route::ListAccessUsers => people::list_access_users(visit),
        Route::ListOldAuditLogs => people::list_old_audit_logs(visit),
        Route::VerifyAccountToken => tokens::verify(visit.caller, true),
        Route::VerifyUserToken => tokens::verify(visit.caller, false),
        Route::GetUser => tokens::user(visit),
        Route::ListScimUsers => scim::list(visit),
        Route::ListAuditLogs => super::audit::list(visit),
    }
}

impl Handler for Cloudflare {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        // A task of its own: like a real server, it finishes what it began when the client is gone.
        let task = tokio::spawn(async move { self.answer(request).await });
        Box::pin(async move { task.await.unwrap_or(Reply::Reset) })
    }
}
