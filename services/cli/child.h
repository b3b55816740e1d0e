#pragma once
/* What stands between `gantry up` and a child: gantry itself, which prepares the process and
 * becomes the child's program. So that a child ends when `gantry up` is killed, whatever way. */

#define CHILD_VERB "--child"

/* gantry --child PARENT SIGNAL LOCK PROGRAM [ARGUMENT...]: SIGNAL comes to the program when PARENT
 * dies; a LOCK other than "-" is a file that is locked first (waiting for a former holder) and
 * until the program ends. Answers an exit code, 126 or 127 as shells do, when the program could not
 * be run. */
int child_main(int argc, char **argv);
