//! `GET /v1/evidence`: what an auditor wants of a generation in one file. Who holds what, since when, and by whom approved; what is found to
//! be wrong; the SHA-256 of each part; and a signature over these, where there is a key.
//!
//! A line is a JSON object, and says by `part` what it is of. The file is made twice, the first time for its length and its hashes: in memory
//! is one page of it.

use futures::StreamExt as _;
use serde_json::Value;

use super::asking::{self, Ports};
use super::http::{Answer, Content, Incoming, Problem};
use super::settings::Settings;
use super::{export, ledger, paging};
use crate::base::hash::Running;
use crate::base::object::object_of;
use crate::base::ports::SignError;
use crate::base::time::Timestamp;
use crate::coordinator::{Command, Reply};
use crate::findings::BEGINS_AT;
use crate::ledger::past::{self, Question};
use crate::model::kind::Kind;
use crate::signal;
use crate::snapshot::{Catalogue, Snapshot};

/// The version of what the file says. Its findings are kept as the version of their row says.
const FORMAT: u32 = 2;

/// People and groups that one page of grants is of.
const PAGE: usize = 500;

/// What the file is made of.
struct Evidence<P> {
    ports: P,
    snapshot: Snapshot,
    catalogue: Catalogue,
    findings: Vec<Value>,
    /// The last lines: the hashes, and the signature.
    end: Vec<u8>,
}

/// How far it is made.
enum Place {
    Head,
    Grants(Option<past::Place>),
    Findings,
    End,
    Done,
}

/// Sends the evidence of the generation that `generation` names, or of the current one.
pub(super) async fn download<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Result<Answer, Problem> {
    let snapshot = export::asked(ports, request).await?;
    let generation = snapshot.manifest().generation.clone();
    let findings = match asking::ask(ports, Command::Evidence(generation.clone())).await? {
        Reply::Findings(findings) => findings,
        Reply::NotSettled { settled, secs } => {
            let newest = settled.map(|it| format!("; the newest of which that is known is generation={it}"));
            let sentence = format!(
                "it is not yet known of all that changed until this generation what it came from, or what is wrong with it is not worked out, or the generation is kept no more{}",
                newest.unwrap_or_default(),
            );
            return Err(Problem::unavailable("evidence_not_settled", sentence, secs));
        }
        _ => return Err(asking::failed()),
    };
    let failed = |error: SignError| Problem::unavailable("signing_failed", error.to_string(), 5);
    let key = settings.coordinator.signing_key.as_ref();
    // With another key the last line is another.
    let signed_by = match key {
        Some(key) => format!("-{}", signal::key_id(ports, key).await.map_err(failed)?),
        None => String::new(),
    };
    let tag = format!("\"evidence-{generation}-{FORMAT}{signed_by}\"");
    let (name, generation) = (format!("evidence-{generation}.jsonl"), generation.to_string());
    let (mut answer, is_all) = export::begun(request, &name, "application/x-ndjson", tag, &generation);
    if is_all {
        return Ok(answer);
    }
    let catalogue = Catalogue::load(ports, &snapshot).await.map_err(paging::unreadable)?;
    let mut evidence = Evidence { ports: ports.clone(), snapshot, catalogue, findings, end: Vec::new() };
    let (mut length, mut sums, mut place) =
        (0, [Running::default(), Running::default(), Running::default()], Place::Head);
    loop {
        let of = match place {
            Place::Head => 0,
            Place::Grants(_) => 1,
            Place::Findings => 2,
            Place::End | Place::Done => break,
        };
        let (piece, next) = evidence.piece(place).await?;
        length += piece.len() as u64;
        if let Some(sum) = sums.get_mut(of) {
            sum.add(&piece);
        }
        place = next;
    }
    let [head, grants, findings] = sums.map(Running::hex);
    let sha256 = object_of(vec![("head", head.into()), ("grants", grants.into()), ("findings", findings.into())]);
    let sums = object_of(vec![("part", "sums".into()), ("generation", generation.as_str().into()), ("sha256", sha256)]);
    line(&mut evidence.end, &sums);
    if let Some(key) = key {
        let jwt = signal::token(ports, key, &sums).await.map_err(failed)?;
        line(&mut evidence.end, &object_of(vec![("part", "signature".into()), ("jwt", jwt.into())]));
    }
    length += evidence.end.len() as u64;
    let log = ports.clone();
    let pieces = futures::stream::try_unfold((evidence, Place::Head), |(evidence, place)| async move {
        if matches!(place, Place::Done) {
            return Ok(None);
        }
        let (piece, next) = evidence.piece(place).await?;
        Ok(Some((piece, (evidence, next))))
    });
    let pieces = pieces.map(move |piece: Result<Vec<u8>, Problem>| {
        piece.map_err(|problem| export::broken_off(&log, "evidence", &generation, problem.detail))
    });
    answer.body = Content::Stream(Box::pin(pieces), length);
    Ok(answer)
}

impl<P: Ports> Evidence<P> {
    /// A piece of the file, and what comes after it.
    async fn piece(&self, place: Place) -> Result<(Vec<u8>, Place), Problem> {
        let (mut piece, manifest) = (Vec::new(), self.snapshot.manifest());
        let next = match place {
            Place::Head => {
                // What a list that could not be read told before is told of this generation too, and must not pass for what was seen with it: hence its lists.
                line(
                    &mut piece,
                    &object_of(vec![
                        ("part", "head".into()),
                        ("format", FORMAT.into()),
                        ("account_id", manifest.account_id.to_string().into()),
                        ("generation", manifest.generation.to_string().into()),
                        ("started_at", manifest.started_at.to_string().into()),
                        ("published_at", manifest.finished_at.to_string().into()),
                        ("digest", manifest.digest.as_str().into()),
                        ("counts", serde_json::to_value(manifest.counts).unwrap_or_default()),
                        ("capabilities", serde_json::to_value(&manifest.capabilities).unwrap_or_default()),
                        ("findings", self.findings.first().cloned().unwrap_or_default()),
                    ]),
                );
                Place::Grants(None)
            }
            Place::Grants(after) => {
                let of_all = Question::of_all(manifest.finished_at, manifest.generation.clone());
                let since = self.findings.first().and_then(|head| head.get(BEGINS_AT)).and_then(Value::as_str);
                let since = since.and_then(Timestamp::parse);
                let question = Question { after, since, ..of_all };
                let (held, after, _) = ledger::past(&self.ports, &self.snapshot, question, Kind::HOLDERS, PAGE).await?;
                for one in held {
                    let name = one.entitlement.parse().map(|it| self.catalogue.name(it)).unwrap_or_default();
                    line(
                        &mut piece,
                        &object_of(vec![
                            ("part", "grant".into()),
                            ("principal", one.principal.into()),
                            ("person", one.person.into()),
                            ("entitlement", one.entitlement.into()),
                            ("name", name.into()),
                            ("gained", one.gained.unwrap_or_default()),
                        ]),
                    );
                }
                after.map_or(Place::Findings, |after| Place::Grants(Some(after)))
            }
            Place::Findings => {
                for finding in self.findings.iter().skip(1) {
                    line(&mut piece, &object_of(vec![("part", "finding".into()), ("finding", finding.clone())]));
                }
                Place::End
            }
            Place::End => {
                piece.clone_from(&self.end);
                Place::Done
            }
            Place::Done => Place::Done,
        };
        Ok((piece, next))
    }
}

fn line(into: &mut Vec<u8>, value: &Value) {
    into.extend(value.to_string().into_bytes());
    into.push(b'\n');
}
