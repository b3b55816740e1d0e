#pragma once
/* Where HTTP is served: "127.0.0.1:8788", "[::1]:8788", "localhost:0". */
#include "common/settings.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { LISTENER_ERROR = 512, LISTENER_TEXT = 64 };

/* Reads an address. secure: others may reach it, since it is encrypted or they are let. 0;
 * STATUS_INVALID: it is none; STATUS_DENIED: others could reach it; both with a sentence. */
int listener_parse(const char *address, bool secure, struct sockaddr_storage *ret_address,
                   char error[LISTENER_ERROR]);

/* Listens there. 0: *ret_fd, and where the address that it got; or as above; or -errno, with a
 * sentence. */
int listener_open(const struct settings *settings, int *ret_fd, char where[LISTENER_TEXT],
                  char error[LISTENER_ERROR]);
