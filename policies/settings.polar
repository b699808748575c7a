# Who may do what in Setpoint.
#
# A principal has:      id, kind, tenant, roles, territories, accounts, clearance (0 public … 3 secret), scopes, scoped.
# Circumstances have:   hour, minute, weekday (1 Monday … 7 Sunday), all UTC, and override_reason.
# `allow` rules grant; what none grants is refused. `forbid` rules stand above them. Both take the principal, the action
# and the resource, and the circumstances as a fourth when they ask for them. An attribute that is nil is unknown: it
# never grants anything.
#
# Actions: "resolve" uses an effective value without seeing where it was set, "read" sees, "write" changes.
# Do not use `cut` or `not rule(…)`: both mean something else to the compiler than to a reader (docs/policies.md).

# ---- Settings: a value at one scope -------------------------------------------------------------------------------
# A setting has:  tenant, level, scope_id, territory, owner, sensitivity.

allow(p: Principal, action: String, s: Setting) if
    s.sensitivity <= p.clearance and
    may(p, action, s);

# platform_admin: everything, for all tenants.
may(p: Principal, action: String, _s: Setting) if
    action in ["resolve", "read", "write"] and
    "platform_admin" in p.roles;

# What is set for everybody may be read by everybody.
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read"] and
    s.level = "GLOBAL" and
    role in ["admin", "manager", "user", "auditor"] and
    role in p.roles;

# What is set for a whole tenant may be read by all of its people.
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read"] and
    s.level = "TENANT" and
    own_tenant(p, s) and
    role in ["admin", "manager", "user", "auditor"] and
    role in p.roles;

# admin: everything in its tenant.
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read", "write"] and
    "admin" in p.roles and
    own_tenant(p, s);

# auditor: sees everything in its tenant, changes nothing.
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read"] and
    "auditor" in p.roles and
    own_tenant(p, s);

# service: uses effective values everywhere in its tenant, without their details.
may(p: Principal, "resolve", s: Setting) if
    "service" in p.roles and
    (s.level = "GLOBAL" or own_tenant(p, s));

# manager: its territories and what lies in them.
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read", "write"] and
    "manager" in p.roles and
    own_tenant(p, s) and
    s.territory in p.territories;

# user: sees what lies in its territory …
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read"] and
    "user" in p.roles and
    own_tenant(p, s) and
    s.territory in p.territories;

# … and owns its own USER scope and the scopes that the directory says it owns.
may(p: Principal, action: String, s: Setting) if
    action in ["resolve", "read", "write"] and
    role in ["user", "manager"] and
    role in p.roles and
    own_tenant(p, s) and
    s.owner = p.id;

own_tenant(p: Principal, s: Setting) if s.tenant != nil and s.tenant = p.tenant;

# manager, with a reason to override: the other territories of its tenant as well. The audit keeps the reason.
allow(p: Principal, action: String, s: Setting, c: Circumstances) if
    c.override_reason != nil and
    action in ["resolve", "read", "write"] and
    "manager" in p.roles and
    own_tenant(p, s) and
    s.territory != nil and
    s.sensitivity <= p.clearance;
