# Who may publish and follow business events. The words are explained in settings.polar.
# An event has:  tenant, type, aggregate_type.

allow(p: Principal, action: String, _e: Event) if
    action in ["read", "write"] and
    "platform_admin" in p.roles;

# What happens in a tenant is said by its services and its admins, …
allow(p: Principal, action: String, e: Event) if
    action in ["read", "write"] and
    role in ["admin", "service"] and
    role in p.roles and
    e.tenant = p.tenant;

# … and looked at by its auditors.
allow(p: Principal, "read", e: Event) if
    "auditor" in p.roles and
    e.tenant = p.tenant;
