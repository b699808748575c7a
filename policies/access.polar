# Who may look after access itself, and who may ask about it. The words are explained in settings.polar.

# ---- Audit: who changed what ---------------------------------------------------------------------------------------
# An audit has:  tenant, which is "" for what belongs to no tenant. Nobody writes it: changes do.

allow(p: Principal, "read", _a: AuditTrail) if
    "platform_admin" in p.roles;

# An admin answers for the changes in its tenant, an auditor asks about them.
allow(p: Principal, "read", a: AuditTrail) if
    role in ["admin", "auditor"] and
    role in p.roles and
    a.tenant = p.tenant;

# ---- API keys and revocations -------------------------------------------------------------------------------------
# An API key has:  tenant, which is "" for those of platform admins, and owner, who made it.

allow(p: Principal, action: String, _k: ApiKey) if
    action in ["read", "write"] and
    "platform_admin" in p.roles;

allow(p: Principal, action: String, k: ApiKey) if
    action in ["read", "write"] and
    "admin" in p.roles and
    k.tenant = p.tenant;

allow(p: Principal, "read", k: ApiKey) if
    "auditor" in p.roles and
    k.tenant = p.tenant;

# ---- The policy, and decisions for others -------------------------------------------------------------------------

allow(p: Principal, "read", _p: Policy) if
    role in ["platform_admin", "admin", "auditor"] and
    role in p.roles;

# A decision point has:  tenant. Whoever reads it may ask what others are allowed.
allow(p: Principal, "read", _d: DecisionPoint) if
    "platform_admin" in p.roles;

allow(p: Principal, "read", d: DecisionPoint) if
    role in ["admin", "auditor", "service"] and
    role in p.roles and
    d.tenant = p.tenant;

# To be believed about others takes more than a role: a credential that was made for it.
allow(p: Principal, "assert", _d: DecisionPoint) if
    "pdp:assert" in p.scopes and
    "platform_admin" in p.roles;

allow(p: Principal, "assert", d: DecisionPoint) if
    "pdp:assert" in p.scopes and
    role in ["admin", "service"] and
    role in p.roles and
    d.tenant = p.tenant;

# ---- Operations: how the service is doing -------------------------------------------------------------------------
# Operations have:  tenant, which is "" for what concerns all of them.

allow(p: Principal, action: String, _o: Operations) if
    action in ["read", "write"] and
    "platform_admin" in p.roles;

allow(p: Principal, "read", o: Operations) if
    role in ["admin", "auditor"] and
    role in p.roles and
    o.tenant = p.tenant;
