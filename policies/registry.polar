# What keys are, where scopes lie, and whose they are. The words are explained in settings.polar.

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
