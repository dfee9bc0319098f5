//! A Cloudflare account behind the v4 API paths that the connector uses, in memory.
//!
//! [`Cloudflare::new`] makes an account from a [`Spec`]; [`Cloudflare::serve`] puts it on loopback under `/client/v4`.
//! The handle is cheap to clone, and every method takes `&self`. The API's oddities are in [`Behaviour`], its failures
//! in [`Fault`]; what was asked is in [`Cloudflare::exchanges`], and what is true in [`Cloudflare::truth`].
//!
//! Facts are from `reference/cloudflare.md`: 1 (endpoints), 2 (members), 3 (errors, limits, paging), 7.3 (checklist).

mod account;
mod audit;
mod auth;
mod catalogue;
mod envelope;
mod fault;
mod generate;
mod iam;
mod limiter;
mod log;
mod look;
mod members;
mod mutate;
mod names;
mod objects;
mod odd;
mod paging;
mod people;
mod policies;
mod render;
mod route;
mod scim;
mod serve;
mod spec;
mod tokens;
mod truth;
mod user_groups;
mod visit;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub use account::{Access, Atom, PolicySpec};
pub use catalogue::{ADMINISTRATOR_READ_ONLY, SUPER_ADMINISTRATOR};
pub use fault::{Fault, Latency, On};
pub use log::{Exchange, UNEXPECTED};
pub use look::{KnownPermissionGroup, Membership};
pub use odd::Oddity;
pub use route::{Call, Permission, Route};
pub use spec::{Behaviour, Collation, Denial, Limits, OutOfRange, ScopeShape, Spec};
pub use truth::{SCOPED_ROLE_SEPARATOR, Truth};

use account::Account;
use fault::Control;
use limiter::Limiter;
use log::Log;
use visit::{Credential, Owner, Stale};

/// A simulated Cloudflare account and its API. Clones are the same account.
#[derive(Clone)]
pub struct Cloudflare {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    control: Mutex<Control>,
    log: Mutex<Log>,
    began: Instant,
}

struct State {
    account: Account,
    behaviour: Behaviour,
    credentials: Vec<Credential>,
    stale: Stale,
    limiter: Limiter,
    odd: odd::Odd,
}

impl Cloudflare {
    /// The account of a specification.
    pub fn new(spec: Spec) -> Self {
        let mut account = generate::account(&spec);
        let token_id = account.tokens.first().map(|token| token.id.clone());
        let token_id = token_id.unwrap_or_else(|| account.new_id());
        let first = account.ordered(account::Order::Joined).first().and_then(|id| account.member(id));
        let user = first.and_then(|member| member.user.usable()).map(str::to_owned);
        let user = user.unwrap_or_else(|| account.new_id());
        let permissions = BTreeSet::from(Permission::ALL);
        let credentials = vec![
            Credential {
                secret: spec.token,
                id: token_id,
                name: "ConductorOne connector".into(),
                owner: Owner::Account,
                status: "active",
                permissions: permissions.clone(),
            },
            Credential {
                secret: "cfut_simulated0user0token00000000000000000000000000000".into(),
                id: account.new_id(),
                name: "Somebody's token".into(),
                owner: Owner::User(user),
                status: "active",
                permissions,
            },
        ];
        let state = State {
            account,
            behaviour: spec.behaviour,
            credentials,
            stale: Stale::new(),
            limiter: Limiter::new(spec.limits),
            odd: odd::Odd::default(),
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                control: Mutex::new(Control::new(spec.seed)),
                log: Mutex::new(Log::default()),
                began: Instant::now(),
            }),
        }
    }

    /// Changes how the API behaves, from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.state).behaviour);
    }

    /// Changes the rate limit and forgets what was counted.
    pub fn set_limits(&self, limits: Limits) {
        let mut state = lock(&self.shared.state);
        state.limiter.limits = limits;
        state.limiter.reset();
    }

    /// The next `reads` GETs of a member show it as it is now, whatever is written to it meanwhile.
    pub fn stale_reads(&self, member: &str, reads: usize) {
        let mut state = lock(&self.shared.state);
        if let (Some(now), true) = (state.account.member(member).cloned(), reads > 0) {
            state.stale.insert(member.to_owned(), (now, reads));
        }
    }
}

impl fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.shared.state);
        f.debug_struct("Cloudflare")
            .field("account", &state.account.id)
            .field("members", &state.account.member_count())
            .finish_non_exhaustive()
    }
}

/// Locks; a test that panicked while it held the lock has failed anyway, and the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
