//! A Worker that is killed and starts again, with C1 in front of it: the Coordinator of each life over the same world, its alarm, and
//! deliveries that come again until there is an answer.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod account;
pub(crate) mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use c1_cloudflare::base::ports::Clock as _;
use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::coordinator::Settings;
use c1_cloudflare::coordinator::{self, Command, Coordinator, Reply};
use c1_cloudflare::model::operation::{Outcome, Request};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use world::{CALLBACKS, World};

/// C1 gives up after this: far beyond what any scenario takes.
const PATIENCE: Duration = Duration::from_hours(30);

/// The Worker through all of its lives.
pub(crate) struct Lives {
    pub(crate) world: World,
    config: RefCell<Rc<Settings>>,
    now: RefCell<Rc<Coordinator>>,
    life: watch::Sender<usize>,
    stopped: Cell<bool>,
    /// The most requests and callbacks that the alarm sent when it rang once.
    pub(crate) most_sent: Cell<usize>,
}

/// An alarm that rings this often in one moment rings without end.
const MOST_RINGS: usize = 200;

/// How many requests one invocation may send, where a test would ever meet the plan's bound (`reference/cloudflare.md` 4).
fn most_in_ring(config: &Settings) -> Option<usize> {
    (config.plan == Plan::Free).then_some(50)
}

/// How an operation ended, as C1 was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its number in the journal: the order in which operations arrived.
    pub(crate) id: i64,
    pub(crate) outcome: Outcome,
}

impl Lives {
    pub(crate) fn begin(world: World, config: Settings) -> Self {
        coordinator::init(&world).unwrap();
        world.most.set(most_in_ring(&config));
        let now = RefCell::new(Rc::new(Coordinator::default()));
        let config = RefCell::new(Rc::new(config));
        Self { world, config, now, life: watch::Sender::new(0), stopped: Cell::new(false), most_sent: Cell::new(0) }
    }

    /// The isolate is lost with everything that it had in memory, and the next one starts.
    pub(crate) fn kill(&self) {
        coordinator::init(&self.world).unwrap();
        self.now.replace(Rc::new(Coordinator::default()));
        self.life.send_modify(|life| *life += 1);
    }

    /// A life with another configuration.
    pub(crate) fn reconfigure(&self, config: Settings) {
        self.world.most.set(most_in_ring(&config));
        self.config.replace(Rc::new(config));
        self.kill();
    }

    /// The runtime's part: rings the alarm when its time comes, and once more after a life that ended within it and had set no other time.
    pub(crate) async fn ring(&self) {
        let mut life = self.life.subscribe();
        let mut rung = (self.world.now(), 0);
        while !self.stopped.get() {
            if !self.world.rings().await {
                continue;
            }
            rung = if rung.0 == self.world.now() { (rung.0, rung.1 + 1) } else { (self.world.now(), 1) };
            assert!(rung.1 < MOST_RINGS, "the alarm rings without end at {}", rung.0);
            life.mark_unchanged();
            let (coordinator, config) = (self.now.borrow().clone(), self.config.borrow().clone());
            tokio::select! {
                () = self.world.ring(Box::pin(coordinator.alarm(&self.world, &config))) => {}
                _ = life.changed() => self.world.rings_again(),
            }
            self.most_sent.set(self.most_sent.get().max(self.world.sent_in_ring.get()));
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.world.alarm_set.notify_waiters();
    }

    /// Asks for something that every life answers at once.
    pub(crate) async fn ask(&self, command: Command) -> Reply {
        let (coordinator, config) = (self.now.borrow().clone(), self.config.borrow().clone());
        coordinator.handle(&self.world, &config, command).await
    }

    /// Syncs the account.
    pub(crate) async fn sync(&self) {
        self.ask(Command::begin_sync("test", true)).await;
        for _ in 0..20_000 {
            sleep(Duration::from_millis(200)).await;
            let status = c1_cloudflare::sync::status(&self.world).unwrap();
            if status.running.is_none() {
                return;
            }
        }
        panic!("the sync does not end");
    }

    /// Delivers a task until C1 is told how it ended.
    pub(crate) async fn deliver(&self, request: Request) -> Told {
        let key = request.key.clone().unwrap();
        let outcome = tokio::time::timeout(PATIENCE, Box::pin(self.until_told(request, &key))).await;
        let entry = match self.ask(Command::Operation(key.clone())).await {
            Reply::Operations(mut entries) => entries.remove(0),
            other => panic!("{other:?}"),
        };
        let Ok(outcome) = outcome else { panic!("{key} is never answered: {entry:?}") };
        let settled = entry.outcome.clone().unwrap_or(outcome);
        Told { id: entry.id.0, outcome: settled }
    }

    async fn until_told(&self, request: Request, key: &str) -> Outcome {
        let mut life = self.life.subscribe();
        loop {
            life.mark_unchanged();
            let (coordinator, config) = (self.now.borrow().clone(), self.config.borrow().clone());
            let command = Command::Provision {
                request: Box::new(request.clone()),
                callback_url: Some(format!("{CALLBACKS}{key}")),
            };
            let reply = tokio::select! {
                reply = Box::pin(coordinator.handle(&self.world, &config, command)) => reply,
                _ = life.changed() => Reply::Noted,
            };
            match reply {
                Reply::Outcome(Outcome::NotNow { .. }) | Reply::Noted | Reply::Failed { .. } => {
                    sleep(Duration::from_secs(2)).await;
                }
                Reply::Outcome(outcome) => return outcome,
                Reply::Accepted => return self.called_back(key).await,
                other => panic!("{key}: {other:?}"),
            }
        }
    }

    async fn called_back(&self, key: &str) -> Outcome {
        loop {
            let called = self.world.called_back.notified();
            if let Some(body) = self.world.callbacks.borrow().get(key) {
                return outcome_of(body);
            }
            called.await;
        }
    }
}

/// The outcome as far as a callback tells it; the journal has the rest.
fn outcome_of(document: &Value) -> Outcome {
    Outcome::NotNow { message: document.to_string(), retry_at: None }
}
