#pragma once
/* Where a socket is bound: ipc://PATH or tcp://ADDRESS:PORT. A refusal comes with a sentence for a
 * person. */
#include <stdbool.h>

enum { ENDPOINT_ERROR = 512, ENDPOINT_IPC_MAX = 107 /* bytes of a path that the kernel takes */ };

/* One endpoint. 0; STATUS_INVALID: none that can be bound, or the ipc path is too long;
 * STATUS_DENIED: tcp on an address that is not loopback, and insecure is false. */
int endpoint_check(const char *endpoint, bool insecure, char error[ENDPOINT_ERROR]);

/* Binds a ZeroMQ socket to each of a comma separated list, all checked first. The folder of an ipc
 * path is made (for its owner only); the file of a process that has gone is replaced. As
 * endpoint_check, and STATUS_CONFLICT: somebody listens there; -errno. */
int endpoint_bind(void *socket, const char *endpoints, bool insecure, char error[ENDPOINT_ERROR]);
