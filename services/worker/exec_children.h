#pragma once
/* The children of this process, found in /proc. */

/* SIGKILL to each that is a child now. To a subreaper the children of those become children in
 * turn, so called until none is left to wait for it ends a whole tree. */
void exec_kill_children(void);
