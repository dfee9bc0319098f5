"""Uses an account as Cloudflare's own SDK does, with its strict validation of every answer, and prints what it read as JSON.

Takes the API's base URL, the account's id and its token from the environment. Ends with a traceback at the first answer that
is not what Cloudflare's API description says.
"""

import json
import os
import warnings

from cloudflare import Cloudflare

warnings.filterwarnings("ignore", category=DeprecationWarning)  # the roles list is deprecated, and still there

# Pages, so that the SDK has to turn some.
PER_PAGE = 20

account = {"account_id": os.environ["CLOUDFLARE_ACCOUNT_ID"]}
api = Cloudflare(
    api_token=os.environ["CLOUDFLARE_API_TOKEN"],
    base_url=os.environ["CLOUDFLARE_API_URL"],
    max_retries=0,
    _strict_response_validation=True,
)

api.accounts.get(**account)
members = list(api.accounts.members.list(**account, per_page=PER_PAGE))
roles = list(api.accounts.roles.list(**account, per_page=PER_PAGE))
permission_groups = list(api.iam.permission_groups.list(**account, per_page=PER_PAGE))
resource_groups = list(api.iam.resource_groups.list(**account))
user_groups = list(api.iam.user_groups.list(**account))
tokens = list(api.accounts.tokens.list(**account))
assert api.accounts.tokens.get(tokens[0].id, **account).id == tokens[0].id
group_members = {
    group.id: [member.id for member in api.iam.user_groups.members.list(group.id, **account)] for group in user_groups
}
api.accounts.roles.get(roles[0].id, **account)
api.iam.permission_groups.get(permission_groups[0].id, **account)
api.iam.resource_groups.get(resource_groups[0].id, **account)
api.iam.user_groups.get(user_groups[0].id, **account)
api.accounts.tokens.verify(**account)
zones = list(api.zones.list(account={"id": account["account_id"]}, per_page=PER_PAGE))
list(api.workers.scripts.list(**account))
list(api.zero_trust.access.applications.list(**account))
list(api.accounts.logs.audit.list(**account, since="2020-01-01", before="2100-01-01"))
list(api.zero_trust.access.users.list(**account))
list(api.audit_logs.list(**account))

# An access of one's own: given, seen, changed, taken away.
whole = next(group for group in resource_groups if group.name.endswith(account["account_id"]))
policy = {
    "access": "allow",
    "permission_groups": [{"id": next(group.id for group in permission_groups if group.meta.label == "admin")}],
    "resource_groups": [{"id": whole.id}],
}
invited = api.accounts.members.create(**account, email="sdk@example.com", policies=[policy])
assert invited.status == "pending" and invited.policies[0].permission_groups[0].id == policy["permission_groups"][0]["id"]
member = api.accounts.members.update(members[5].id, **account, policies=[policy])
assert api.accounts.members.get(member.id, **account).policies[0].id == member.policies[0].id
api.accounts.members.delete(invited.id, **account)
zone = f"com.cloudflare.api.account.zone.{'a' * 32}"
scope = {"key": whole.name, "objects": [{"key": zone}]}
assert api.iam.resource_groups.create(**account, name="One domain", scope=scope).id
own = api.iam.user_groups.create(**account, name="Made by the SDK", policies=[policy])
added = api.iam.user_groups.members.create(own.id, **account, members=[{"id": member.id}])
assert [one.id for one in added] == [member.id]
api.iam.user_groups.members.update(own.id, **account, members=[{"id": members[6].id}])
api.iam.user_groups.members.get(members[6].id, **account, user_group_id=own.id)
api.iam.user_groups.members.delete(members[6].id, **account, user_group_id=own.id)
api.iam.user_groups.update(own.id, **account, name="Renamed by the SDK")
api.iam.user_groups.delete(own.id, **account)
changes = list(api.accounts.logs.audit.list(**account, since="2020-01-01", before="2100-01-01"))

print(
    json.dumps(
        {
            "members": {one.id: one.email for one in members},
            "roles": [one.id for one in roles],
            "permission_groups": [one.id for one in permission_groups],
            "resource_groups": [one.id for one in resource_groups],
            "user_groups": [one.id for one in user_groups],
            "group_members": group_members,
            "tokens": [one.id for one in tokens],
            "changes": len(changes),
            "zones": [one.name for one in zones],
        }
    )
)
