#pragma once
/* The address that HTTP is served on. `gantry up` holds it from before its gantry-front starts
 * until the system has ended, so that a port which is taken is told at once, and port 0 is one and
 * the same for every gantry-front that is started again. */
#include <stdbool.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT = 64 };

struct address {
    struct sockaddr_storage name;
    socklen_t size;
};

/* "127.0.0.1:8788", "[::1]:8788", "localhost:0". False when it is none or the host is not known. */
bool address_find(const char *text, struct address *ret_address);

/* Binds a socket to it and never listens: a program that sets SO_REUSEADDR can serve there, nobody
 * else is given the port. Port 0 becomes a free one. 0 or -errno (-EADDRINUSE: somebody serves). */
int address_hold(struct address *address, int *ret_fd);

/* Somebody takes connections there. Blocks for some 50 ms at most. */
bool address_answers(const struct address *address);

/* "127.0.0.1:8788" */
const char *address_print(const struct address *address, char text[ADDRESS_TEXT]);
