#pragma once
/* What the kernel knows of a connection. In a file of its own, as its header bears no other beside
 * it. */
#include <stdbool.h>
#include <stdint.h>

struct tcp_figures {
    uint64_t received; /* bytes that came, ever */
    uint64_t taken;    /* bytes that the peer has acknowledged, ever */
    bool unsent;       /* some are on their way, or wait for room */
    bool left;         /* the peer sends no more, or has gone */
};

/* All zero when nothing can be learned. */
struct tcp_figures tcp_look(int fd);
