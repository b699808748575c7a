# Who may do what with records, as the AuthZEN 1.0 certification scenario wants it (docs/authzen.md).
# Load it beside the shipped rules: SETPOINT_POLICIES_DIR=shipped,policies/examples/authzen-certification
# A record has:  id, tenant, status, and of its deletion: action_soft.

allow(p: Principal, "read", r: record) if
    role in ["editor", "manager", "admin"] and
    role in p.roles and
    r.tenant = p.tenant;

# What is active is written by editors, …
allow(p: Principal, "write", r: record) if
    "editor" in p.roles and
    r.tenant = p.tenant and
    r.status = "active";

# … and what is archived is put right by admins.
allow(p: Principal, "write", r: record) if
    "admin" in p.roles and
    r.tenant = p.tenant and
    r.status = "archived";

# A deletion that cannot be undone is nobody's.
allow(p: Principal, "delete", r: record) if
    "editor" in p.roles and
    r.tenant = p.tenant and
    r.action_soft = true;
