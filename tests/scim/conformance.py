"""Runs scim2-tester against the SCIM endpoint of a Worker: conformance.py <base URL> <bearer token>.

Prints one JSON object a line for each check: {"status", "type", "title", "reason"}. The checks are the tester's own; what is adapted
is the data it makes up, which the schema cannot tell it about:

- A userName is an e-mail address here.
- A User is active, since one that is made inactive is gone.
- A Group is a role and cannot be made or deleted: the tester is given roles that nobody holds, one after the other.
- A member's display is its name, which the server says.
"""

import json
import sys
import uuid

import scim2_tester.checkers.resource as checks
import scim2_tester.filling as filling
import scim2_tester.utils as utils
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import ListResponse
from scim2_tester import check_server

base, token = sys.argv[1:]
client = SyncSCIMClient(Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60))
example_of = filling.get_random_example_value
fix = filling._fix_ref_value
create = utils.ResourceManager.create_and_register
displays = {}
used = set()


def value_of(path):
    if str(path).rsplit(":", 1)[-1] == "userName":
        return f"{uuid.uuid4()}@example.com"
    if str(path).rsplit(":", 1)[-1] == "active":
        return True
    return example_of(path)


def with_display(context, obj):
    fix(context, obj)
    if getattr(obj, "ref", None) and "display" in type(obj).model_fields:
        obj.display = displays.get(obj.value)


def unheld_group(self, model):
    """A role that no check has used yet and that has no members."""
    listed = self.context.client.query(model)
    assert isinstance(listed, ListResponse)
    for group in listed.resources:
        if group.id.startswith("role-") and not group.members and group.id not in used:
            used.add(group.id)
            return group
    raise ValueError("no role without members is left")


def created(self, model, fill_all=False):
    if model.__name__ != "Group":
        user = create(self, model, fill_all)
        displays[user.id] = user.display_name
        return user
    group = unheld_group(self, model)
    if fill_all:
        filling.fill_with_random_values(self.context, group)
        group = self.context.client.replace(group)
    return group


filling.get_random_example_value = value_of
filling._fix_ref_value = with_display
utils.ResourceManager.create_and_register = created

# What a server with these resources cannot do, and is not asked to.
unsupported = [
    ("User", "check_remove_attribute", "active cannot be unassigned"),
    ("Group", "object_creation", "roles are Cloudflare's own"),
    ("Group", "object_deletion", "roles are Cloudflare's own"),
]


def without(kind, title, reason):
    check = getattr(checks, title)

    def checked(context, model):
        if model.__name__ != kind:
            return check(context, model)
        return [utils.CheckResult(status=utils.Status.SKIPPED, title=title, reason=reason)]

    setattr(checks, title, checked)


for one in unsupported:
    without(*one)
results = check_server(client)
for result in results:
    print(
        json.dumps(
            {
                "status": result.status.name,
                "type": result.resource_type,
                "title": result.title,
                "reason": result.reason,
            }
        )
    )
