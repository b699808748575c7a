# A change window, beside the shipped policy:  SETPOINT_POLICIES_DIR=shipped,policies/examples/change-window
#
# What holds for everybody or for a whole tenant is changed Monday to Friday from 08:00 to 18:00 UTC, by whomever; at
# other times with a reason to override, which the audit keeps. The time is the server's, to the minute, taken once when
# the request comes in. Nothing is granted here: who may not write within the window may not outside of it either.

forbid(_p: Principal, "write", s: Setting, c: Circumstances) if
    s.level in ["GLOBAL", "TENANT"] and
    c.override_reason = nil and
    outside_of_the_window(c);

outside_of_the_window(c: Circumstances) if c.weekday > 5;
outside_of_the_window(c: Circumstances) if c.hour < 8;
outside_of_the_window(c: Circumstances) if c.hour >= 18;
