//! The simulators as programs of their own, for looking around by hand and for `wrangler dev`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use sim::cloudflare::{Cloudflare, Spec};
use sim::conductorone::{ConductorOne, Delivery, Entitlement, HOST, Options, PUBLIC_URL, Person, Task, Verdict};
use sim::http::{Handler, Server};

/// The simulators of Cloudflare's API and of ConductorOne.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a simulated Cloudflare account until Ctrl-C.
    Cloudflare(CloudflareArguments),
    /// Serve a simulated ConductorOne tenant until Ctrl-C: its keys and its callback URLs.
    Conductorone(TenantArguments),
    /// Send a webhook, signed by the tenant, to a Worker.
    Deliver(DeliverArguments),
}

#[derive(Debug, Args)]
struct CloudflareArguments {
    /// The port on loopback; 0 is any.
    #[arg(long, default_value_t = 9401)]
    port: u16,
    /// How many memberships, pending ones included.
    #[arg(long, default_value_t = 100)]
    members: usize,
    /// How many roles, Super Administrator not counted.
    #[arg(long, default_value_t = 60)]
    roles: usize,
    /// How many user groups.
    #[arg(long, default_value_t = 4)]
    groups: usize,
    /// The account follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct TenantArguments {
    /// The port on loopback of the tenant.
    #[arg(long, default_value_t = 9402)]
    port: u16,
    /// The tenant's host, as its tokens name it.
    #[arg(long, default_value = HOST)]
    host: String,
    /// The tenant's keys follow from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl TenantArguments {
    fn tenant(&self, public_url: &str) -> ConductorOne {
        ConductorOne::with(Options {
            host: self.host.clone(),
            base_url: format!("http://127.0.0.1:{}", self.port),
            webhook_url: format!("{}/webhooks/conductorone", public_url.trim_end_matches('/')),
            seed: self.seed,
            ..Options::default()
        })
    }
}

#[derive(Debug, Args)]
struct DeliverArguments {
    #[command(flatten)]
    tenant: TenantArguments,
    /// Where the Worker is, such as <http://127.0.0.1:8787>.
    #[arg(long)]
    to: String,
    /// The Worker's `PUBLIC_URL`.
    #[arg(long, default_value = PUBLIC_URL)]
    public_url: String,
    #[command(subcommand)]
    event: Event,
}

#[derive(Debug, Subcommand)]
enum Event {
    /// The event of "Test webhook".
    Test,
    /// A grant of a role.
    Grant(TaskArguments),
    /// A revoke of a role.
    Revoke(TaskArguments),
}

#[derive(Debug, Args)]
struct TaskArguments {
    /// The role's id: 32 hexadecimal digits.
    #[arg(long)]
    role: String,
    /// The role's name.
    #[arg(long, default_value = "Role")]
    role_name: String,
    /// The person's e-mail address.
    #[arg(long)]
    email: String,
    /// The Cloudflare user id that the last sync gave; without it the person has no account.
    #[arg(long)]
    user: Option<String>,
    /// The membership id that the last sync gave.
    #[arg(long, default_value = "", requires = "user")]
    member: String,
    /// A task id, to deliver the same task again; without it, a new one.
    #[arg(long)]
    task: Option<String>,
}

impl TaskArguments {
    fn entitlement(&self) -> Entitlement {
        Entitlement::role(&self.role, &self.role_name)
    }

    fn person(&self) -> Person {
        match &self.user {
            Some(user) => Person::member(&self.email, user, &self.member),
            None => Person::newcomer(&self.email),
        }
    }

    fn identified(&self, task: Task) -> Task {
        match &self.task {
            Some(id) => task.id(id).step_id(&sim::conductorone::derived_id(&format!("step of {id}"))),
            None => task,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> std::io::Result<ExitCode> {
    match command {
        Command::Cloudflare(arguments) => {
            let spec = Spec {
                members: arguments.members,
                roles: arguments.roles,
                groups: arguments.groups,
                seed: arguments.seed,
                ..Spec::default()
            };
            let (account, token) = (spec.account_id.clone(), spec.token.clone());
            let server = serve(arguments.port, Arc::new(Cloudflare::new(spec))).await?;
            println!(
                "CLOUDFLARE_API_URL={}/client/v4\nCLOUDFLARE_ACCOUNT_ID={account}\nCLOUDFLARE_API_TOKEN={token}",
                server.url()
            );
            tokio::signal::ctrl_c().await?;
        }
        Command::Conductorone(arguments) => {
            let tenant = arguments.tenant(PUBLIC_URL);
            let server = serve(arguments.port, tenant.handler()).await?;
            println!("C1_URL={}\nC1_TENANT={}", server.url(), tenant.host());
            tokio::signal::ctrl_c().await?;
        }
        Command::Deliver(arguments) => return Ok(deliver(&arguments).await),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(port: u16, handler: Arc<dyn Handler>) -> std::io::Result<Server> {
    Server::start(port, handler)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on 127.0.0.1:{port}: {error}")))
}

async fn deliver(arguments: &DeliverArguments) -> ExitCode {
    let tenant = arguments.tenant.tenant(&arguments.public_url);
    let delivery: Delivery = match &arguments.event {
        Event::Test => tenant.test_event(),
        Event::Grant(task) => tenant.task(&task.identified(Task::grant(task.entitlement(), task.person()))),
        Event::Revoke(task) => tenant.task(&task.identified(Task::revoke(task.entitlement(), task.person()))),
    };
    let outcome = tenant.deliver(&arguments.to, &delivery).await;
    for attempt in &outcome.attempts {
        let milliseconds = attempt.duration.as_millis();
        match &attempt.result {
            Ok(answer) => println!("{} in {milliseconds} ms: {}", answer.status, answer.text()),
            Err(error) => println!("{error} after {milliseconds} ms"),
        }
    }
    match outcome.verdict {
        Verdict::Answered(_) | Verdict::Accepted => ExitCode::SUCCESS,
        Verdict::Gone => failed("the Worker said that this webhook is gone"),
        Verdict::Invalid(error) => failed(&error.to_string()),
        Verdict::GaveUp => failed("gave up"),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("sim: {why}");
    ExitCode::FAILURE
}
