# Who may do what in Setpoint.
#
# A principal has:  id, kind, tenant, roles, territories, accounts, clearance (0 public … 3 secret).
# Rules only ever grant. What no rule grants is refused. An attribute that is nil is unknown: it never grants anything.
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

# ---- Definitions: what a key is, for all tenants ------------------------------------------------------------------
# A definition has:  sensitivity.

allow(p: Principal, "read", d: Definition) if
    d.sensitivity <= p.clearance and
    role in ["platform_admin", "admin", "manager", "user", "auditor", "service"] and
    role in p.roles;

# Definitions hold for every tenant, so no tenant's admin may change them.
allow(p: Principal, "write", d: Definition) if
    d.sensitivity <= p.clearance and
    "platform_admin" in p.roles;

# ---- Scope directory: where a scope lies and who owns it ----------------------------------------------------------
# An entry has:  tenant, level, scope_id, territory, owner.

allow(p: Principal, action: String, _e: ScopeEntry) if
    action in ["read", "write"] and
    "platform_admin" in p.roles;

# Whoever can move a scope decides who may read it, so only the tenant's admin can.
allow(p: Principal, action: String, e: ScopeEntry) if
    action in ["read", "write"] and
    "admin" in p.roles and
    e.tenant = p.tenant;

allow(p: Principal, "read", e: ScopeEntry) if
    "auditor" in p.roles and
    e.tenant = p.tenant;

allow(p: Principal, "read", e: ScopeEntry) if
    role in ["manager", "user"] and
    role in p.roles and
    e.tenant = p.tenant and
    e.territory in p.territories;

allow(p: Principal, "read", e: ScopeEntry) if
    role in ["manager", "user"] and
    role in p.roles and
    e.tenant = p.tenant and
    e.owner = p.id;

# ---- Tenants ------------------------------------------------------------------------------------------------------

allow(p: Principal, action: String, _t: Tenant) if
    action in ["read", "write"] and
    "platform_admin" in p.roles;

# ---- Audit: who changed what ---------------------------------------------------------------------------------------
# An audit has:  tenant, which is "" for what belongs to no tenant. Nobody writes it: changes do.

allow(p: Principal, "read", _a: AuditTrail) if
    "platform_admin" in p.roles;

# An admin answers for the changes in its tenant, an auditor asks about them.
allow(p: Principal, "read", a: AuditTrail) if
    role in ["admin", "auditor"] and
    role in p.roles and
    a.tenant = p.tenant;
