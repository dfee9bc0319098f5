//! The Durable Objects of this Worker: which one is the account's Coordinator, how it is asked, and whose part of KV that makes.

use worker::Env;

use super::io;
use crate::base::json;
use crate::base::space::Space;
use crate::coordinator::succession::{FORMER, Standing};
use crate::coordinator::{Ask, Command, Reply, Unreachable};
use crate::model::id::AccountId;

/// A Durable Object that can be asked.
pub(super) struct Object<'a> {
    env: &'a Env,
    name: String,
}

impl<'a> Object<'a> {
    /// The Coordinator of an account: it is named by the account's id.
    pub(super) fn of(env: &'a Env, account: AccountId) -> Self {
        Self { env, name: account.to_string() }
    }

    /// The one object that there was before.
    pub(super) fn former(env: &'a Env) -> Self {
        Self { env, name: FORMER.to_owned() }
    }

    fn id(&self) -> Result<String, String> {
        io::of_id(self.env.as_ref(), &self.name)
    }
}

impl Ask for Object<'_> {
    async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
        let command = serde_json::to_string(&command).map_err(|error| Unreachable(error.to_string()))?;
        let reply = io::of_object(self.env.as_ref(), &self.name, &command).await.map_err(Unreachable)?;
        json::read(&reply).map_err(|error| Unreachable(error.to_string()))
    }
}

/// The part of KV that is an account's and this Worker's: the id of the account's Coordinator is another one in each Worker.
pub(super) fn space(env: &Env, account: AccountId) -> Result<Space, String> {
    Ok(Space::new(account, &Object::of(env, account).id()?))
}

/// What the object with this id is to an account.
pub(super) fn standing(env: &Env, id: &str, account: AccountId) -> Result<Standing, String> {
    Ok(Standing::of(id, &Object::of(env, account).id()?, &Object::former(env).id()?))
}

/// Whether the object with this id is the one that there was before. Where that cannot be told, there are no objects at all.
pub(super) fn is_former(env: &Env, id: &str) -> bool {
    Object::former(env).id().is_ok_and(|former| former == id)
}
