"""Uses a tenant as ConductorOne's own SDK does, which validates every answer, and prints what it read as JSON.

Takes the tenant's URL, an access token and the ids of an app and a connector from the environment. Ends with a traceback at
the first answer that the SDK cannot read.
"""

import json
import os

from conductorone_sdk import SDK
from conductorone_sdk.models import operations, shared

token, app, connector = os.environ["C1_TOKEN"], os.environ["C1_APP_ID"], os.environ["C1_CONNECTOR_ID"]
api = SDK(security=shared.Security(bearer_auth=token, oauth=f"Bearer {token}"), server_url=os.environ["C1_URL"])

URL = "https://c1-cloudflare.example.com/webhooks/conductorone"


def pages(call):
    """All items of a list, page by page."""
    items, page_token = [], ""
    while True:
        page = call(page_token)
        items.extend(page.list or [])
        page_token = page.next_page_token
        if not page_token:
            return items


# Webhooks: made, found, tested.
made = api.webhooks.create(request=shared.WebhooksServiceCreateRequest(display_name="Cloudflare", url=URL))
webhook = made.webhooks_service_create_response.webhook
assert webhook.url == URL and webhook.display_name == "Cloudflare" and webhook.id
one = api.webhooks.get(request=operations.C1APIWebhooksV1WebhooksServiceGetRequest(id=webhook.id))
assert one.webhooks_service_get_response.webhook.url == URL
webhooks = pages(
    lambda page_token: api.webhooks.list(
        request=operations.C1APIWebhooksV1WebhooksServiceListRequest(page_size=10, page_token=page_token)
    ).webhooks_service_list_response
)
found = api.webhooks_search.search(request=shared.WebhooksSearchRequest(query="cloudflare"))
tested = api.webhooks.test(request=operations.C1APIWebhooksV1WebhooksServiceTestRequest(id=webhook.id))
assert tested.webhooks_service_test_response.webhook_instance.webhook_id == webhook.id

# Apps and entitlements: listed, read, and pointed at the webhook.
apps = pages(
    lambda page_token: api.apps.list(
        request=operations.C1APIAppV1AppsListRequest(page_size=10, page_token=page_token)
    ).list_apps_response
)
assert api.apps.get(request=operations.C1APIAppV1AppsGetRequest(id=app)).get_app_response.app.id == app
entitlements = pages(
    lambda page_token: api.app_entitlements.list(
        request=operations.C1APIAppV1AppEntitlementsListRequest(app_id=app, page_size=10, page_token=page_token)
    ).list_app_entitlements_response
)
views = [view.app_entitlement for view in entitlements]
search = shared.AppEntitlementSearchServiceSearchRequest(app_ids=[app], query="Role 24")
searched = api.app_entitlement_search.search(request=search).app_entitlement_search_service_search_response
assert [view.app_entitlement.display_name for view in searched.list] == ["Role 24 Member Role"], searched.list
policy = shared.ProvisionPolicyInput(webhook_provision=shared.WebhookProvision(webhook_id=webhook.id))
change = shared.UpdateAppEntitlementRequest(
    app_entitlement=shared.AppEntitlementInput(
        display_name=views[0].display_name, provision_policy=policy, provision_policy1=policy
    ),
    update_mask="provisionerPolicy,deprovisionerPolicy",
)
api.app_entitlements.update(
    request=operations.C1APIAppV1AppEntitlementsUpdateRequest(
        app_id=app, id=views[0].id, update_app_entitlement_request=change
    )
)
read = api.app_entitlements.get(request=operations.C1APIAppV1AppEntitlementsGetRequest(app_id=app, id=views[0].id))
changed = read.get_app_entitlement_response.app_entitlement_view.app_entitlement
# The SDK's names for the deprovisioner's policy and the provisioner's.
assert changed.provision_policy.webhook_provision.webhook_id == webhook.id
assert changed.provision_policy1.webhook_provision.webhook_id == webhook.id


# The connector: told to sync, and looked at until it has.
def look():
    request = operations.C1APIAppV1ConnectorServiceGetRequest(app_id=app, id=connector)
    return api.connector.get(request=request).connector_service_get_response.connector_view.connector.connector_status


before = look()
forced = api.connector.force_sync(
    request=operations.C1APIAppV1ConnectorServiceForceSyncRequest(
        app_id=app, connector_id=connector, force_sync_request=shared.ForceSyncRequest()
    )
)
assert forced.status_code == 200
states = [look() for _ in range(3)]

unused = api.webhooks.create(request=shared.WebhooksServiceCreateRequest(display_name="Unused", url=URL))
unused = unused.webhooks_service_create_response.webhook.id
api.webhooks.delete(request=operations.C1APIWebhooksV1WebhooksServiceDeleteRequest(id=unused))

print(
    json.dumps(
        {
            "webhooks": [one.url for one in webhooks],
            "found": [one.id for one in found.webhooks_search_response.list],
            "webhook": webhook.id,
            "apps": [one.id for one in apps],
            "entitlements": {one.id: one.source_connector_ids for one in views},
            "states": [before.status, *(state.status for state in states)],
            "later": states[-1].completed_at > before.completed_at,
        }
    )
)
