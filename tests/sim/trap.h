#pragma once
/* What a message is, and whether a trap was set for it. */
#include "tests/sim/net.h"

enum { ASKED = 64 };

/* The latest requests of a connection: what an ANSWER is an answer to. */
struct asked {
    uint64_t request[ASKED];
    uint8_t verb[ASKED];
    unsigned next;
};

/* Notes the message; to: NULL when it is lost anyway. The trap that it springs, or NULL. */
const struct trap *trap_look(struct asked *asked, const struct sock *from, const struct sock *to,
                             struct packet *packet);
