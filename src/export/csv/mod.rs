//! The two CSV files, with exactly the column names that C1 knows by itself (`reference/conductorone.md` 5).

pub(crate) mod cell;
#[cfg(test)]
mod tests;

use cell::Line;

use super::chunks::{Chunks, Cursor};
use super::directory::{Directory, PersonGrant};
use super::file::{ExportError, PIECE};
use crate::model::grant::Principal;
use crate::model::kind::Kind;
use crate::model::offer::SLUG;
use crate::model::resource::{Member, Row};
use crate::snapshot::Manifest;

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Identity-focused.
    Users,
    /// Grant-focused.
    Grants,
}

/// What both files say of a person. There is no `User Type` other than people, and `Last Login` is empty where none is known.
const PERSON: [&str; 8] =
    ["User ID", "Username", "Email Address", "Full Name", "First Name", "Last Name", "User Status", "Last Login"];

const USERS: [&str; 2] = ["Groups", "Roles"];

const GRANTS: [&str; 6] = [
    "Resource Type",
    "Resource Name",
    "Entitlement",
    "Entitlement Display Name",
    "Entitlement Slug",
    "Entitlement Description",
];

/// A CSV file that is being made, a chunk at a time.
#[derive(Debug)]
pub(super) struct Csv {
    table: Table,
    directory: Directory,
    begun: bool,
    cursor: Cursor,
}

impl Csv {
    /// Makes all lines once, to know how long the file is.
    pub(super) async fn open<F>(chunks: &Chunks<'_, F>, table: Table) -> Result<(Self, u64), ExportError> {
        let directory = Directory::read(chunks).await?;
        let mut csv = Self { table, directory, begun: false, cursor: Cursor::default() };
        let mut length = 0;
        while let Some(lines) = csv.next(chunks).await? {
            length += lines.len() as u64;
        }
        (csv.begun, csv.cursor) = (false, Cursor::default());
        Ok((csv, length))
    }

    /// The next lines, with the head before the first ones.
    pub(super) async fn next<F>(&mut self, chunks: &Chunks<'_, F>) -> Result<Option<Vec<u8>>, ExportError> {
        let mut lines = Vec::new();
        // A user group's own grants are told as those of its members.
        while let Some(row) = self.cursor.next(chunks, Kind::PEOPLE).await? {
            self.head(&mut lines);
            self.row(&row, chunks.manifest(), &mut lines);
            if lines.len() >= PIECE {
                return Ok(Some(lines));
            }
        }
        self.head(&mut lines);
        Ok((!lines.is_empty()).then_some(lines))
    }

    fn head(&mut self, lines: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut line = Line::new(lines);
        let rest = match self.table {
            Table::Users => USERS.as_slice(),
            Table::Grants => GRANTS.as_slice(),
        };
        for name in PERSON.iter().chain(rest) {
            line.text(name);
        }
        line.end();
    }

    fn row(&self, row: &Row, manifest: &Manifest, lines: &mut Vec<u8>) {
        let Some(member) = row.as_member() else { return };
        let Some((principal, held)) = self.directory.held(row, manifest) else { return };
        match self.table {
            Table::Users => {
                let mut line = Line::new(lines);
                person(&mut line, principal, member);
                line.list(self.names(&held, |kind| kind == Kind::Group));
                line.list(self.names(&held, |kind| kind != Kind::Group));
                line.end();
            }
            Table::Grants => {
                for held in held {
                    let Some((resource, offer)) = self.directory.offer(held.entitlement) else { continue };
                    let mut line = Line::new(lines);
                    person(&mut line, principal, member);
                    line.text(resource.kind().facts().short_title);
                    line.text(&name(resource));
                    line.text(&offer.entitlement.to_string());
                    line.text(&offer.display_name);
                    line.text(SLUG);
                    line.text(&offer.description);
                    line.end();
                }
            }
        }
    }

    fn names(&self, held: &[PersonGrant], wanted: impl Fn(Kind) -> bool) -> Vec<String> {
        let resources = held.iter().filter_map(|held| self.directory.resource(held.entitlement));
        resources.filter(|row| wanted(row.kind())).map(name).collect()
    }
}

/// The name by which C1 knows a resource from one file to the next: a resource group's own, whatever is in it today.
fn name(resource: &Row) -> String {
    resource.names().pop().unwrap_or_default()
}

fn person(line: &mut Line<'_>, principal: Principal, member: &Member) {
    // An invitation's id says that it is one: nothing else in these files does.
    line.text(&match principal {
        Principal::User(id) => id.to_string(),
        Principal::Invitation(_) | Principal::Group(_) => principal.to_string(),
    });
    line.address(&member.email);
    line.address(&member.email);
    line.text(&member.display_name());
    line.text(member.first_name.as_deref().unwrap_or_default());
    line.text(member.last_name.as_deref().unwrap_or_default());
    line.text(if member.status.is_live() { "enabled" } else { "disabled" });
    line.text(member.signs.last_login_day.as_deref().unwrap_or_default());
}
